//! What is unwise about people: a login that names nobody, one that never ends, and one that a firewall cannot tell apart.

use super::waives;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, Action, End, Site, Term};
use crate::net::Proto;

/// The lints about people. A policy that names nobody has nobody to name, so there is nothing to say of it.
pub(super) fn check(site: &Site, now_ns: u64, findings: &mut Findings) {
    if site.people.is_empty() {
        return;
    }
    for person in site.people.iter().filter(|person| person.until.is_some_and(|until| until <= now_ns)) {
        let message = format!("the time of `{}` has ended: they log in nowhere any more", person.name);
        findings.push(
            Diagnostic::warning(code::EXPIRED, person.span, message)
                .help("remove them, or give them a new date"),
        );
    }
    for access in site.accesses.iter().filter(|access| access.action == Action::Allow) {
        without_as(site, access, findings);
        without_end(site, access, findings);
        unconfined(site, access, findings);
    }
}

/// `ssh` that names nobody. Where it meets an sshd of ours it is an error, which the proof reports.
fn without_as(site: &Site, access: &Access, findings: &mut Findings) {
    let ssh = |term: &Term| match term {
        Term::Ports { proto, to, .. } => *proto == Proto::TCP && to.ranges() == [(22, 22)],
        Term::Icmp { .. } | Term::Protos(_) => false,
    };
    let ours = |end: &End| match end {
        End::Host(host) | End::Leg(host, _) => site.host(*host).is_some_and(|host| host.sshd.is_some()),
        End::Zone(_) | End::Addrs(_) | End::Anywhere => false,
    };
    let named = !access.people.is_empty()
        || access.remarks().break_glass.is_some()
        || access.to.plus.iter().any(ours);
    if named || !access.terms.iter().any(ssh) || waives(access, code::SSH_WITHOUT_AS) {
        return;
    }
    findings.push(
        Diagnostic::warning(code::SSH_WITHOUT_AS, access.span, "this is `ssh` for nobody in particular")
            .help("say who logs in: `as ana`"),
    );
}

fn without_end(site: &Site, access: &Access, findings: &mut Findings) {
    if access.until.is_some() || waives(access, code::NO_EXPIRY) {
        return;
    }
    let people = access.people.iter().filter_map(|id| site.person(*id));
    for person in people.filter(|person| person.until.is_none()) {
        let message = format!("nothing ends what `{}` may do", person.name);
        findings.push(
            Diagnostic::warning(code::NO_EXPIRY, access.span, message)
                .also(person.span, "declared here")
                .help("give them a date, `until 2027-06-30`, here or where they are declared"),
        );
    }
}

/// A jump from a machine that filters, by somebody whose user is not known (S63).
fn unconfined(site: &Site, access: &Access, findings: &mut Findings) {
    if waives(access, code::UNCONFINED_ACCOUNT) {
        return;
    }
    let mut near = site.hosts().filter(|(id, host)| host.filters() && site.jumps_from(access, *id));
    let Some((id, host)) =
        near.find(|(id, _)| access.people.iter().any(|one| site.uid_at(*id, *one).is_none()))
    else {
        return;
    };
    let people = access.people.iter().filter(|one| site.uid_at(id, **one).is_none());
    for person in people.filter_map(|one| site.person(*one)) {
        let message = format!(
            "the firewall of `{}` lets everybody there send this: it does not know the user of `{}`",
            host.name, person.name
        );
        findings.push(
            Diagnostic::warning(code::UNCONFINED_ACCOUNT, access.span, message)
                .also(person.span, "declared here")
                .help("say `uid 1001` there, as `id -u` shows it for the account"),
        );
    }
}
