//! A role and an inventory for a fleet, beside the artifacts: the rollout is Ansible's, not ours.
//!
//! *Input*: the site, and which machines have artifacts. *Output*: files below `ansible/`. They hold no address of the
//! machine they were made on and name the build by its place beside them.
//!
//! *Design decisions*. One machine after the other (`serial: 1`), and the run stops at the first that fails
//! (`any_errors_fatal`). On each: apply on trial, drop the connection, confirm over a new one. A machine that a new
//! connection does not reach is rolled back by its own watchdog; one that says no, by the role.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::model::{Action, End, HostId, LegId, Site, Term};
use crate::net::Proto;

use super::HostArtifacts;

/// The files by their names in a build.
#[must_use]
pub fn files(site: &Site, hosts: &[HostArtifacts]) -> BTreeMap<String, String> {
    let named = [
        ("ansible/inventory.yml", inventory(site, hosts)),
        ("ansible/site.yml", SITE.to_owned()),
        ("ansible/roles/fwc/defaults/main.yml", DEFAULTS.to_owned()),
        ("ansible/roles/fwc/tasks/main.yml", TASKS.to_owned()),
    ];
    named.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

/// Every machine with artifacts, by its name; with an address where the policy knows one to which ssh is allowed.
fn inventory(site: &Site, hosts: &[HostArtifacts]) -> String {
    let mut text = String::from(
        "# Written by fwc. Where a machine has no `ansible_host` its name is what ssh is given: ~/.ssh/config, or DNS.\n\
         fwc:\n  hosts:\n",
    );
    let taken = by_ssh(site);
    for host in hosts {
        // Quoted: `no`, `on` and numbers are words of YAML.
        let _ = writeln!(text, "    \"{}\":", host.name);
        let _ = writeln!(text, "      fwc_host: \"{}\"", host.name);
        // The first static address at which it is taken.
        let mut legs = site.host(host.host).into_iter().flat_map(|machine| machine.legs());
        let addr = legs.find_map(|(id, leg)| {
            leg.addresses.first().copied().filter(|_| taken.contains(&(host.host, id)))
        });
        if let Some(addr) = addr {
            let _ = writeln!(text, "      ansible_host: \"{addr}\"");
        }
    }
    text
}

/// The legs at which some `allow` takes TCP 22.
fn by_ssh(site: &Site) -> BTreeSet<(HostId, LegId)> {
    let speaks = |term: &Term| match term {
        Term::Ports { proto, to, .. } => *proto == Proto::TCP && to.contains(22),
        Term::Icmp { .. } | Term::Protos(_) => false,
    };
    let leg = |end: &End| match end {
        End::Leg(host, leg) => Some((*host, *leg)),
        End::Host(_) | End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
    };
    let allows = site.accesses.iter().filter(|access| access.action == Action::Allow);
    let ssh = allows.filter(|access| access.terms.iter().any(speaks));
    ssh.flat_map(|access| access.to.plus.iter().filter_map(leg)).collect()
}

const SITE: &str = "\
# Written by fwc: one machine after the other; the run stops at the first that fails.
- name: Firewall rulesets, on trial and then confirmed
  hosts: fwc
  gather_facts: false
  serial: 1
  any_errors_fatal: true
  roles:
    - fwc
";

const DEFAULTS: &str = "\
# Written by fwc.
# The build: the folder above this one.
fwc_build: \"{{ playbook_dir }}/..\"
# Where the artifacts go on the machine, in a folder of their own for each run.
fwc_incoming: /var/lib/fwc/incoming
# The program there.
fwc_program: fwc
# How long a machine waits for a new connection before it rolls back.
fwc_confirm_within: 90s
# Whether to set the kernel's parameters of sysctl.conf too.
fwc_sysctl: true
# Whether to end the connections that the new rules would not let start.
fwc_cut: false
";

const TASKS: &str = "\
# Written by fwc.
- name: A place for the artifacts
  ansible.builtin.file:
    path: \"{{ fwc_incoming }}\"
    state: directory
    mode: \"0700\"

# Of this run alone: another's build in its place would be applied, and confirmed, for ours.
- name: A folder of its own in it
  ansible.builtin.tempfile:
    path: \"{{ fwc_incoming }}\"
    state: directory
  register: fwc_folder

- name: A folder for the artifacts
  ansible.builtin.file:
    path: \"{{ fwc_folder.path }}/hosts/{{ fwc_host }}\"
    state: directory
    mode: \"0700\"

- name: The manifest, with the digest of every file
  ansible.builtin.copy:
    src: \"{{ fwc_build }}/manifest.json\"
    dest: \"{{ fwc_folder.path }}/manifest.json\"
    mode: \"0600\"

- name: The artifacts of this machine
  ansible.builtin.copy:
    src: \"{{ fwc_build }}/hosts/{{ fwc_host }}/\"
    dest: \"{{ fwc_folder.path }}/hosts/{{ fwc_host }}/\"
    mode: \"0600\"

- name: On trial, and confirmed over a new connection
  block:
    - name: Apply
      ansible.builtin.command:
        argv: \"{{ [fwc_program, 'apply', fwc_folder.path, '--host', fwc_host, '--confirm-within', fwc_confirm_within]
          + (['--sysctl'] if fwc_sysctl | bool else []) }}\"
      register: fwc_applied
      changed_when: \"'nothing to do' not in fwc_applied.stderr\"

    - name: End the connection over which it was applied
      ansible.builtin.meta: reset_connection

    - name: Confirm
      ansible.builtin.command:
        argv: \"{{ [fwc_program, 'confirm', '--generation',
          fwc_applied.stderr | regex_search('generation ([0-9]+) of .* is loaded, on trial', '\\\\1') | first]
          + (['--cut'] if fwc_cut | bool else []) }}\"
      when: fwc_applied is changed
      register: fwc_confirmed
      # Unreachable is no failure to Ansible: the run would go on to the next machine (tried).
      ignore_unreachable: true

    - name: No new connection reaches it
      ansible.builtin.fail:
        msg: \"its own watchdog rolls it back within {{ fwc_confirm_within }}\"
      when: fwc_confirmed.unreachable | default(false)
  rescue:
    # Only what this run put on trial: where `apply` did not, a trial that there is is somebody else's. Where that is not on
    # trial any more it says so and ends with 0, and nothing was rolled back.
    - name: Roll back
      ansible.builtin.command:
        argv: \"{{ [fwc_program, 'rollback', '--generation',
          fwc_applied.stderr | regex_search('generation ([0-9]+) of .* is loaded, on trial', '\\\\1') | first] }}\"
      when: fwc_applied is changed and fwc_applied.rc | default(1) == 0
      register: fwc_rolled_back
      changed_when: \"'is rolled back' in fwc_rolled_back.stderr | default('')\"
      failed_when: false
      ignore_unreachable: true

    - name: Stop here
      ansible.builtin.fail:
        msg: \"{{ fwc_host }}: {{ fwc_confirmed.stderr | default(fwc_applied.stderr, true) | default(fwc_applied.msg, true) | default('it was not applied', true) }}{{ '; rolled back' if 'is rolled back' in fwc_rolled_back.stderr | default('') else '; not rolled back by this run, `fwc status` there says what stands' if fwc_applied is changed and fwc_applied.rc | default(1) == 0 else '' }}\"
  always:
    - name: The folder goes
      ansible.builtin.file:
        path: \"{{ fwc_folder.path }}\"
        state: absent
      failed_when: false
      ignore_unreachable: true
";
