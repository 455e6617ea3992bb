//! What a machine does when it starts: it loads what is confirmed, before the network is up and before anything is
//! forwarded.
//!
//! The unit is ordered before `network-pre.target`, and before `systemd-sysctl.service`, which may turn forwarding on;
//! its own parameters come after its rules, and after it is known that these are whole, since the commands of a oneshot unit run one after the other and end at the
//! first that fails (systemd.service(5)). It never flushes. Where bridged packets are filtered by the forward hook, the kernel must
//! show them there: the module that does is loaded before, and without it the unit fails. Where it fails it has turned no forwarding on;
//! files for `systemd-sysctl` that do so all the same are named, and so are units of the distribution that flush ([`warnings`]):
//! it is ordered after `nftables.service`, and so loads again what that one's start has flushed.

#![expect(clippy::disallowed_methods, reason = "reads units of the machine, and writes one")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::live::MARK;
use super::state::{BOOT, DEFAULT, ROLLBACK, State};
use super::{ApplyError, damage, parameters};
use crate::durable;

/// The unit's name.
pub const UNIT: &str = "fwc-boot.service";

/// The text of the unit. `nft` and `sysctl` are absolute paths.
///
/// # Errors
/// When systemd would read a path otherwise than it is, or what is there is not for the unit to see.
pub fn unit(state: &Path, nft: &Path, sysctl: &Path) -> Result<String, ApplyError> {
    for path in [state, nft, sysctl] {
        seen(path)?;
    }
    if state.starts_with("/run") {
        return Err(unfit(state, "/run", "which is empty when the machine starts"));
    }
    let (state, nft, sysctl) = (said(state)?, said(nft)?, said(sysctl)?);
    let shown = format!(
        "grep -q \"^{key} = 1\" {state}/confirmed/sysctl.conf || exit 0; test -e {file} || modprobe br_netfilter; test -e {file}",
        key = parameters::SHOWN.replace('/', "."),
        file = Path::new("/proc/sys").join(parameters::SHOWN).display(),
    );
    // What follows the first line has the digest that stands there (`damage::sealed`); an older fwc wrote no such line, neither
    // into this file nor into the one beside it.
    let confirmed = format!("{state}/confirmed/{BOOT}");
    let whole = format!(
        "if grep -q -s \"^# [a-z]*.nft of generation\" {confirmed} {state}/confirmed/{ROLLBACK}; then tail -n +2 {confirmed} | sha256sum | cut -c 1-64 | grep -q -F -f - {confirmed}; \
         else grep -q \"chain {MARK}\" {confirmed}; fi",
    );
    Ok(format!(
        "# Written by `fwc boot install`.\n\
         [Unit]\n\
         Description=The confirmed firewall ruleset of fwc\n\
         Documentation=man:nft(8)\n\
         DefaultDependencies=no\n\
         Wants=network-pre.target\n\
         Before=network-pre.target systemd-sysctl.service shutdown.target\n\
         After=local-fs.target nftables.service\n\
         Conflicts=shutdown.target\n\
         RequiresMountsFor={state}\n\
         ConditionPathExists={confirmed}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         StandardInput=null\n\
         ProtectHome=yes\n\
         ExecStart={nft} -f {confirmed}\n\
         # A file that was cut may load in part, or be nothing: some rules are better than none, and this turns no forwarding on.\n\
         ExecStart=/bin/sh -c '{whole}'\n\
         # Without this module the forward hook sees nothing of what the ports of a bridge say to each other.\n\
         ExecStart=/bin/sh -c '{shown}'\n\
         # Only once the rules stand: forwarding is one of these. Interfaces that are not there yet take the defaults.\n\
         ExecStart={sysctl} --quiet --ignore --load={state}/confirmed/sysctl.conf\n\
         \n\
         [Install]\n\
         WantedBy=sysinit.target\n"
    ))
}

/// A path as it stands in a unit. Blanks, quotes, `%`, `$`, `\` and the like mean something there, and not the same in a
/// command, a list of paths and a condition (systemd.syntax(7), systemd.service(5)): such paths are refused, not quoted.
fn said(path: &Path) -> Result<&str, ApplyError> {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',' | '=' | '@' | ':');
    path.to_str().filter(|text| text.chars().all(plain)).ok_or_else(|| {
        let why = "cannot stand in a unit of systemd: only letters, digits and `/._-+,=@:` may";
        ApplyError::Cannot(format!("`{}` {why}", path.display()))
    })
}

/// Refuses what the unit could not read: its `ProtectHome=yes` hides these folders (systemd.exec(5)), where users may write
/// what root would load.
fn seen(path: &Path) -> Result<(), ApplyError> {
    let homes = ["/home", "/root", "/run/user"];
    match homes.into_iter().find(|home| path.starts_with(home)) {
        Some(home) => Err(unfit(path, home, "which the unit does not see (`ProtectHome=yes`)")),
        None => Ok(()),
    }
}

fn unfit(path: &Path, folder: &str, why: &str) -> ApplyError {
    let path = path.display();
    ApplyError::Cannot(format!(
        "`{path}` is below `{folder}`, {why}: choose another folder, as `{DEFAULT}` is"
    ))
}

/// What [`install`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Where the unit is.
    pub unit: PathBuf,
    /// What the administrator should know.
    pub warnings: Vec<String>,
}

/// Writes the unit below a root directory, and has it wanted at boot, as `systemctl enable` would.
///
/// # Errors
/// When a path cannot stand in a unit, or something cannot be written.
pub fn install(root: &Path, state: &State, nft: &Path) -> Result<Installed, ApplyError> {
    let sysctl = ["/usr/sbin/sysctl", "/sbin/sysctl"].map(PathBuf::from);
    let sysctl = sysctl.into_iter().find(|path| path.is_file());
    let sysctl = sysctl.ok_or_else(|| ApplyError::Cannot("there is no `sysctl` (procps)".to_owned()))?;
    let text = unit(state.root(), nft, &sysctl)?;
    let folder = root.join("etc/systemd/system");
    let wants = folder.join("sysinit.target.wants");
    fs::create_dir_all(&wants).map_err(ApplyError::system(format!("cannot make `{}`", wants.display())))?;
    let path = folder.join(UNIT);
    // A unit is for everybody to read.
    durable::replace(&path, text.as_bytes(), 0o644)
        .map_err(ApplyError::system(format!("cannot write `{}`", path.display())))?;
    let link = wants.join(UNIT);
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(format!("/etc/systemd/system/{UNIT}"), &link)
        .map_err(ApplyError::system(format!("cannot write `{}`", link.display())))?;
    let mut warnings = warnings(root);
    match state.confirmed() {
        Err(why) => warnings.push(format!("{why}: until another is confirmed the unit loads nothing")),
        Ok(None) => warnings.push("nothing is confirmed yet: until then the unit loads nothing".to_owned()),
        Ok(Some(generation)) if !state.generation(generation).join(BOOT).is_file() => {
            let why = "is confirmed, and its rules are not there";
            warnings.push(format!(
                "generation {generation} {why}: until another is confirmed the unit loads nothing"
            ));
        }
        Ok(Some(generation)) => {
            let fails = |fault| {
                format!("{fault}: until another is confirmed the unit fails, and turns no forwarding on")
            };
            warnings.extend(damage::boot_fault(state, generation).map(fails));
            match parameters::of_generation(state, generation) {
                Ok(wanted) => warnings.extend(parameters::unshown(&wanted)),
                Err(why) => warnings.push(why.to_string()),
            }
        }
    }
    Ok(Installed { unit: path, warnings })
}

/// What turns forwarding on (ip-sysctl of the kernel's documentation).
const FORWARDING: [&str; 3] =
    ["net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding"];

/// Lines for `systemd-sysctl` that turn forwarding on, whatever becomes of the boot unit: it is ordered after that one and does not
/// ask how it ended. Of files with one name that of the first folder counts (sysctl.d(5)).
fn forwarders(root: &Path) -> Vec<String> {
    let folders =
        ["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"];
    let mut files = BTreeMap::new();
    for folder in folders {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "conf") {
                files.entry(entry.file_name()).or_insert(path);
            }
        }
    }
    let turned_on = |line: &str| {
        let (key, value) = line.trim().trim_start_matches('-').split_once('=')?;
        let key = key.trim().replace('/', ".");
        (FORWARDING.contains(&key.as_str()) && value.trim() != "0").then_some(key)
    };
    let mut all = Vec::new();
    for path in files.values() {
        let text = fs::read_to_string(path).unwrap_or_default();
        let keys: BTreeSet<String> = text.lines().filter_map(turned_on).collect();
        all.extend(keys.into_iter().map(|key| {
            format!(
                "`/{}` turns `{key}` on, whether the rules are loaded or not: take it out there, what the build wants is set once they are",
                path.strip_prefix(root).unwrap_or(path).display()
            )
        }));
    }
    all
}

/// Units that would flush what the boot unit loads, or load rules of their own, and files that turn forwarding on without it.
#[must_use]
pub fn warnings(root: &Path) -> Vec<String> {
    let folders =
        ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
    let text = |name: &str| {
        folders
            .iter()
            .find_map(|folder| fs::read_to_string(root.join(folder).join(name)).ok())
            .unwrap_or_default()
    };
    let enabled = |name: &str| {
        let wants = fs::read_dir(root.join("etc/systemd/system")).into_iter().flatten().flatten();
        let mut folders =
            wants.map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "wants"));
        folders.any(|folder| folder.join(name).symlink_metadata().is_ok())
    };
    let mut all = Vec::new();
    let nftables = text("nftables.service");
    let config = fs::read_to_string(root.join("etc/nftables.conf")).unwrap_or_default();
    let flushes =
        |text: &str| text.lines().any(|l| !l.trim().starts_with('#') && l.contains("flush ruleset"));
    if enabled("nftables.service") {
        if flushes(&nftables) {
            all.push(
                "`nftables.service` is enabled and flushes every table when it is stopped or restarted: \
                 `systemctl disable nftables.service`"
                    .to_owned(),
            );
        }
        if flushes(&config) {
            all.push(
                "`/etc/nftables.conf` begins with `flush ruleset`: whoever reloads it takes our tables away; \
                 take that line out"
                    .to_owned(),
            );
        }
    } else if flushes(&nftables) {
        all.push(
            "`nftables.service` flushes every table when it is stopped: it is not enabled, leave it so"
                .to_owned(),
        );
    }
    for other in ["ufw.service", "firewalld.service", "netfilter-persistent.service", "iptables.service"] {
        if enabled(other) {
            all.push(format!("`{other}` is enabled and loads rules of its own: `systemctl disable {other}`"));
        }
    }
    all.extend(forwarders(root));
    all
}
