//! Names that are declared and never used: each a warning, silent where the policy waives it by name:
//! `waive lint unused-service smtp "why"`.
//!
//! Used is what another statement names. A machine that filters is used: it gets a ruleset. So is a
//! member of a group, and a zone with a leg in it. Where anything could not be read, nothing is said: it may be named there.

use std::collections::BTreeSet;

use super::names::{Names, unknown};
use crate::diag::{Code, Diagnostic, Findings, code};
use crate::syntax::ast::{
    Clause, ClauseKind, Host, HostKind, HostLine, Name, PlaceKind, Places, ServiceItem, ServiceKind,
};

/// What is excused, by name.
pub(super) type Waived<'a> = BTreeSet<(Code, &'a str)>;

/// Looks for all of them.
pub(super) fn check(names: &Names, waived: &Waived<'_>, findings: &mut Findings) {
    let declared = declared(names);
    if findings.has_errors() || !names.unread.is_empty() {
        return;
    }
    let used = Used::of(names);
    for Declared { code, noun, name } in &declared {
        if used.has(*code, &name.text) || waived.contains(&(*code, name.text.as_str())) {
            continue;
        }
        findings.push(
            Diagnostic::warning(*code, name.span, format!("nothing names the {noun} `{}`", name.text))
                .help("remove it, or `waive lint` it by name with the reason to keep it"),
        );
    }
}

/// A name that another statement ought to use.
struct Declared<'a> {
    code: Code,
    noun: &'static str,
    name: &'a Name,
}

fn declared<'a>(names: &Names<'a>) -> Vec<Declared<'a>> {
    let mut all = Vec::new();
    let mut add = |code, noun, name| all.push(Declared { code, noun, name });
    for zone in &names.zones {
        add(code::UNUSED_ZONE, "zone", &zone.name);
    }
    for (host, _) in names.hosts.iter().filter(|(host, _)| !filters(host)) {
        add(code::UNUSED_HOST, "host", &host.name);
    }
    let security: BTreeSet<usize> = names.security_groups.iter().map(|(_, def)| *def).collect();
    // A security group is used: it is made.
    for (_, def) in names.defs.iter().enumerate().filter(|(at, _)| !security.contains(at)) {
        let (code, noun) =
            if def.group { (code::UNUSED_GROUP, "group") } else { (code::UNUSED_VARIABLE, "variable") };
        add(code, noun, def.name);
    }
    for list in &names.lists {
        add(code::UNUSED_LIST, "list", &list.name);
    }
    for service in &names.services {
        add(code::UNUSED_SERVICE, "service", service.name);
    }
    for user in &names.users {
        add(code::UNUSED_USER, "user", &user.name);
    }
    all
}

/// A machine that forwards or filters is part of the site whoever names it.
fn filters(host: &Host) -> bool {
    host.kind != HostKind::Host
        || host.lines.iter().any(|line| matches!(line, HostLine::Nftables(_) | HostLine::Docker(_)))
}

/// What `waive lint CODE NAME "why"` excuses, of names that are declared and never used and of others.
pub(super) fn waived<'a>(names: &Names<'a>, findings: &mut Findings) -> Waived<'a> {
    let declared = declared(names);
    let mut waived = BTreeSet::new();
    for waive in &names.waives {
        if waive.target.text != "lint" {
            let finding = unknown(code::UNKNOWN_WAIVER, "target", &waive.target, ["lint"].into_iter());
            findings.push(finding.help("of what is declared, write `waive lint CODE NAME \"why\"`"));
            continue;
        }
        let Some(code) = CODES.into_iter().find(|code| code.as_str() == waive.what.text) else {
            let all = CODES.iter().map(|code| code.as_str());
            findings.push(unknown(code::UNKNOWN_CODE, "finding about a name", &waive.what, all));
            continue;
        };
        let machines = names.hosts.iter().filter(|_| code == code::UNUSABLE_ADDRESS);
        let machines = machines.map(|(host, _)| host.name.text.as_str());
        let unused = declared.iter().filter(|d| d.code == code).map(|d| d.name.text.as_str());
        let of_kind = || machines.clone().chain(unused.clone());
        if of_kind().any(|name| name == waive.name.text) {
            waived.insert((code, waive.name.text.as_str()));
        } else if code == code::UNUSED_HOST
            && names.hosts.iter().any(|(host, _)| host.name.text == waive.name.text)
        {
            let message = format!("`{}` forwards or filters: it is never unused", waive.name.text);
            let finding = Diagnostic::error(code::UNKNOWN_WAIVER, waive.name.span, message);
            findings.push(finding.help("leave the waiver out"));
        } else if !names.unread.contains(&waive.name.text) {
            findings.push(unknown(code::UNKNOWN_WAIVER, "name", &waive.name, of_kind()));
        }
    }
    waived
}

const CODES: [Code; 8] = [
    code::UNUSABLE_ADDRESS,
    code::UNUSED_GROUP,
    code::UNUSED_HOST,
    code::UNUSED_LIST,
    code::UNUSED_SERVICE,
    code::UNUSED_USER,
    code::UNUSED_VARIABLE,
    code::UNUSED_ZONE,
];

/// What the statements name: places, services and users have name spaces of their own (S2).
#[derive(Default)]
struct Used<'a> {
    places: BTreeSet<&'a str>,
    services: BTreeSet<&'a str>,
    users: BTreeSet<&'a str>,
}

impl<'a> Used<'a> {
    fn of(names: &Names<'a>) -> Self {
        let mut used = Self::default();
        for access in &names.accesses {
            used.sentence(&access.services, [&access.from, &access.to], &access.people);
            used.clause(access.clause.as_deref());
        }
        for expect in names.tests.iter().flat_map(|(test, _)| &test.expects) {
            used.sentence(&expect.services, [&expect.from, &expect.to], &expect.people);
        }
        for part in names.defs.iter().flat_map(|def| &def.parts) {
            used.all(part);
        }
        for items in names.services.iter().filter_map(|service| service.items) {
            used.items(items);
        }
        for sshd in &names.sshds {
            used.all(&sshd.hosts);
        }
        let gateways = names.vpcs.iter().filter_map(|vpc| vpc.gateway.as_ref());
        used.places.extend(gateways.map(|zone| zone.text.as_str()));
        for (host, _) in &names.hosts {
            used.lines(&host.lines);
        }
        for each in &names.each {
            used.places.insert(&each.group.text);
            used.lines(&each.lines);
        }
        used
    }

    fn has(&self, code: Code, name: &str) -> bool {
        match code {
            code::UNUSED_SERVICE => self.services.contains(name),
            code::UNUSED_USER => self.users.contains(name),
            // A variable is a place or a service.
            code::UNUSED_VARIABLE => self.places.contains(name) || self.services.contains(name),
            _ => self.places.contains(name),
        }
    }

    fn sentence(&mut self, services: &'a [ServiceItem], ends: [&'a Places; 2], people: &'a [Name]) {
        self.items(services);
        for end in ends {
            self.all(end);
        }
        self.users.extend(people.iter().map(|person| person.text.as_str()));
    }

    fn clause(&mut self, clause: Option<&'a Clause>) {
        match clause.map(|clause| &clause.kind) {
            Some(ClauseKind::Dnat { to, .. } | ClauseKind::Snat(to)) => self.place(&to.kind),
            Some(ClauseKind::Ipvs { to, .. }) => self.all(to),
            Some(ClauseKind::Masquerade) | None => {}
        }
    }

    fn lines(&mut self, lines: &'a [HostLine]) {
        for line in lines {
            match line {
                HostLine::Leg(leg) => {
                    self.places.insert(&leg.zone.text);
                }
                HostLine::Route { to, via, .. } => {
                    self.all(to);
                    self.places.extend([via.host.text.as_str(), via.zone.text.as_str()]);
                }
                HostLine::Log { from, .. } | HostLine::Reject { from, .. } => self.all(from),
                HostLine::StrictSource(_)
                | HostLine::Nftables(_)
                | HostLine::Docker(_)
                | HostLine::SshPort { .. }
                | HostLine::HostKey(_) => {}
            }
        }
    }

    fn all(&mut self, places: &'a Places) {
        for place in places.plus.iter().chain(&places.except) {
            self.place(&place.kind);
        }
    }

    fn place(&mut self, kind: &'a PlaceKind) {
        match kind {
            PlaceKind::Name(name) => {
                self.places.insert(&name.text);
            }
            PlaceKind::Leg(name, zone) => self.places.extend([name.text.as_str(), zone.text.as_str()]),
            PlaceKind::Address(_) | PlaceKind::Anywhere => {}
        }
    }

    fn items(&mut self, items: &'a [ServiceItem]) {
        for item in items {
            if let ServiceKind::Name(name) = &item.kind {
                self.services.insert(&name.text);
            }
        }
    }
}
