//! Collects what a policy declares, and gives everything its id in the order of names.

use std::collections::{BTreeMap, BTreeSet};

use super::builtin;
use super::given::Given;
use super::names::{Def, Meaning, Names, ServiceDef};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{HostId, ZoneId};
use crate::source::Span;
use crate::syntax::ast::{self, Name, StatementKind};

/// The declarations met so far.
pub(super) struct Collector<'a> {
    given: &'a Given,
    names: Names<'a>,
    places: BTreeMap<&'a str, (Raw<'a>, Span)>,
    services: BTreeMap<&'a str, ServiceDef<'a>>,
    users: BTreeMap<&'a str, &'a ast::User>,
    adds: Vec<&'a ast::Group>,
}

impl<'a> Collector<'a> {
    /// None yet.
    pub(super) fn new(given: &'a Given, unread: BTreeSet<String>) -> Self {
        Self {
            given,
            names: Names { unread, ..Names::default() },
            places: BTreeMap::new(),
            services: BTreeMap::new(),
            users: BTreeMap::new(),
            adds: Vec::new(),
        }
    }

    /// Takes in one statement.
    pub(super) fn statement(&mut self, statement: &'a ast::Statement, findings: &mut Findings) {
        let span = statement.span;
        match &statement.kind {
            StatementKind::Include(_) => {}
            StatementKind::Var(var) => self.var(var, findings),
            StatementKind::List(list) => self.place(&list.name, Raw::List(list), findings),
            StatementKind::Zone(zone) => {
                self.names.claims.push((zone.name.span, span));
                self.place(&zone.name, Raw::Zone(zone), findings);
            }
            StatementKind::Host(host) => self.place(&host.name, Raw::Host(host, span), findings),
            StatementKind::Group(group) => match group.op {
                ast::GroupOp::Define => {
                    let parts = group.members.iter().collect();
                    let def = Def { name: &group.name, noun: "a group", parts, group: true, broken: false };
                    self.place(&group.name, Raw::Def(def), findings);
                }
                ast::GroupOp::Add => self.adds.push(group),
            },
            StatementKind::Each(each) => self.names.each.push(each),
            StatementKind::Service(service) => {
                self.service(&service.name, Some(service.items.as_slice()), findings);
            }
            StatementKind::Vpc(vpc) => {
                self.names.claims.push((vpc.name.span, span));
                self.place(&vpc.name, Raw::Vpc(vpc), findings);
            }
            StatementKind::SecurityGroup(group) => {
                let parts = group.members.iter().collect();
                let noun = "a security group";
                let def = Def { name: &group.name, noun, parts, group: true, broken: false };
                self.place(&group.name, Raw::SecurityGroup(group, def), findings);
            }
            StatementKind::User(user) => self.user(user, findings),
            StatementKind::Sshd(sshd) => self.names.sshds.push(sshd),
            StatementKind::Waive(waive) => self.names.waives.push(waive),
            StatementKind::Access(access) => self.names.accesses.push(access),
            StatementKind::Test(test) => self.names.tests.push((test, span)),
        }
    }

    fn var(&mut self, var: &'a ast::Var, findings: &mut Findings) {
        let given = self.given.value(&var.name.text);
        match given.unwrap_or(&var.value) {
            ast::VarValue::Place(value) => {
                let broken = value.is_none() && self.unset(&var.name, findings);
                let parts = value.iter().collect();
                let def = Def { name: &var.name, noun: "a variable", parts, group: false, broken };
                self.place(&var.name, Raw::Def(def), findings);
            }
            ast::VarValue::Service(value) => {
                if value.is_none() {
                    self.unset(&var.name, findings);
                }
                self.service(&var.name, value.as_deref(), findings);
            }
        }
    }

    /// A variable without a value; said unless `--set` gave one that could not be read.
    fn unset(&self, name: &Name, findings: &mut Findings) -> bool {
        if !self.given.failed(&name.text) {
            let message = format!("the variable `{}` has no value", name.text);
            let help = format!("give it one: `--set {}=…`, or a default after `=`", name.text);
            findings.push(Diagnostic::error(code::UNSET_VARIABLE, name.span, message).help(help));
        }
        true
    }

    fn place(&mut self, name: &'a Name, raw: Raw<'a>, findings: &mut Findings) {
        if let Some((_, first)) = self.places.get(name.text.as_str()) {
            findings.push(duplicate(name, *first));
            return;
        }
        self.places.insert(&name.text, (raw, name.span));
    }

    fn service(&mut self, name: &'a Name, items: Option<&'a [ast::ServiceItem]>, findings: &mut Findings) {
        if builtin::terms(&name.text).is_some() {
            let message = format!("`{}` is built in and stays as it is", name.text);
            let help = "choose another name, such as one that says whose service it is";
            findings.push(Diagnostic::error(code::BUILT_IN_SERVICE, name.span, message).help(help));
            return;
        }
        if let Some(first) = self.services.get(name.text.as_str()) {
            findings.push(duplicate(name, first.name.span));
            return;
        }
        self.services.insert(&name.text, ServiceDef { name, items });
    }

    fn user(&mut self, user: &'a ast::User, findings: &mut Findings) {
        if let Some(first) = self.users.get(user.name.text.as_str()) {
            findings.push(duplicate(&user.name, first.name.span));
            return;
        }
        self.users.insert(&user.name.text, user);
    }

    /// Gives everything its id, in the order of names, and groups what is added to them.
    pub(super) fn finish(mut self, findings: &mut Findings) -> Names<'a> {
        let mut names = self.names;
        for (name, (raw, _)) in self.places {
            let meaning = match raw {
                Raw::Zone(zone) => Meaning::Zone(ZoneId(push(&mut names.zones, zone))),
                Raw::Host(host, span) => Meaning::Host(HostId(push(&mut names.hosts, (host, span)))),
                Raw::Def(def) => Meaning::Def(push(&mut names.defs, def) as usize),
                Raw::List(list) => Meaning::List(push(&mut names.lists, list) as usize),
                Raw::Vpc(vpc) => Meaning::Vpc(push(&mut names.vpcs, vpc) as usize),
                Raw::SecurityGroup(group, def) => {
                    let def = push(&mut names.defs, def) as usize;
                    names.security_groups.push((group, def));
                    Meaning::Def(def)
                }
            };
            names.places.insert(name, meaning);
        }
        names.users = self.users.into_values().collect();
        for (name, service) in std::mem::take(&mut self.services) {
            let at = push(&mut names.services, service) as usize;
            names.service_names.insert(name, at);
        }
        for add in self.adds {
            let Some(def) = names.group(&add.name, findings) else { continue };
            if let Some(def) = names.defs.get_mut(def) {
                def.parts.extend(&add.members);
            }
        }
        names
    }
}

/// Appends, and gives the place: at most `u32::MAX` declarations fit a text.
fn push<T>(list: &mut Vec<T>, item: T) -> u32 {
    let at = u32::try_from(list.len()).unwrap_or(u32::MAX);
    list.push(item);
    at
}

fn duplicate(name: &Name, first: Span) -> Diagnostic {
    let message = format!("`{}` is declared twice", name.text);
    Diagnostic::error(code::DUPLICATE_NAME, name.span, message)
        .also(first, "declared here first")
        .help("a name is declared once, in whatever file; rename one of the two")
}

/// A declaration of a place, before it has an id.
enum Raw<'a> {
    Zone(&'a ast::Zone),
    Host(&'a ast::Host, Span),
    Def(Def<'a>),
    List(&'a ast::List),
    Vpc(&'a ast::Vpc),
    SecurityGroup(&'a ast::SecurityGroup, Def<'a>),
}
