//! People: their keys judged, what each sshd host is told, and who goes round.

use super::{HostArtifacts, Options, unprintable};
use crate::diag::{Diagnostic, Findings, code};
use crate::ir::Program;
use crate::model::Site;
use crate::target::sshd;
use crate::verify::{self, Report, Servers};

/// Keys are judged where keys are understood.
#[cfg(feature = "bastion")]
pub(super) fn people(site: &Site, findings: &mut Findings) {
    crate::bastion::people::check(site, findings);
}

/// Without that nobody is let in anywhere.
#[cfg(not(feature = "bastion"))]
pub(super) fn people(site: &Site, findings: &mut Findings) {
    if let Some(person) = site.people.first() {
        let message = "this fwc was built without the feature `bastion`, and knows nothing of people";
        findings.push(
            Diagnostic::error(code::NOT_SUPPORTED_YET, person.span, message)
                .help("build it with its default features"),
        );
    }
}

/// What each sshd host is told, as it is read back from the texts that will be written.
pub(super) fn written(
    site: &Site,
    program: &Program,
    hosts: &mut Vec<HostArtifacts>,
    options: &Options,
    findings: &mut Findings,
) -> Option<Servers> {
    let mut servers = Servers::new();
    for (host, server) in sshd::emit::emit(&program.ssh, site, options.sshd, findings)? {
        let mut files = vec![("ssh/00-fwc.conf".to_owned(), sshd::print::config(&server.config))];
        for (account, lines) in &server.keys {
            files.push((format!("ssh/authorized_keys/{account}"), sshd::print::keys(lines)));
        }
        match read_back(&files) {
            Ok(read) => drop(servers.insert(host, read)),
            Err(why) => {
                let why = format!("it does not read back: {why}");
                findings.push(unprintable(site, host, "what its sshd is told", &why));
            }
        }
        files.extend(sshd::emit::client::files(site, host));
        let served = site.host(host).and_then(|machine| machine.sshd.as_ref()?.serve);
        files.extend(served.map(|uid| ("ssh/fwc-bastion.service".to_owned(), sshd::emit::unit::unit(uid))));
        match hosts.iter_mut().find(|h| h.host == host) {
            Some(known) => known.files.extend(files),
            None => {
                let name = site.host(host).map(|h| h.name.clone()).unwrap_or_default();
                hosts.push(HostArtifacts { host, name, files });
            }
        }
    }
    hosts.sort_by_key(|host| host.host);
    (!findings.has_errors()).then_some(servers)
}

fn read_back(files: &[(String, String)]) -> Result<sshd::artifact::Server, sshd::read::Unread> {
    let mut server = sshd::artifact::Server::default();
    for (name, text) in files {
        match name.strip_prefix("ssh/authorized_keys/") {
            Some(account) => drop(server.keys.insert(account.to_owned(), sshd::read::keys(text)?)),
            None => server.config = sshd::read::config(text)?,
        }
    }
    Ok(server)
}

/// S65: a way to an sshd that goes round its people says so where it stands.
pub(super) fn ways_round(site: &Site, report: &Report, findings: &mut Findings) {
    for way in report.bastions.ways.iter().filter(|way| way.excuse == verify::Excuse::None) {
        let (Some(machine), Some(access)) = (site.host(way.host), way.access.and_then(|id| site.access(id)))
        else {
            continue;
        };
        let sshd = machine.sshd.as_ref().map_or(machine.span, |sshd| sshd.span);
        let message = format!("this reaches the sshd of `{}`, and names nobody", machine.name);
        findings.push(
            Diagnostic::error(code::ROUND_THE_BASTION, access.span, message)
                .also(sshd, "an sshd for people")
                .help("name who logs in, `as ana`; or say why it is there: `{ break-glass \"…\" }`"),
        );
    }
}
