//! Makes the tree from what the grammar read: one function a construct, in the order of `ast`.
//!
//! What a token can only look like (a port of 70000, a date of February 30th) is complained about here.
//! A part that cannot be made is left out of its statement and has a finding: a statement is never
//! silently other than its text. [`Builder::statement`] makes sure of it.
#![deny(clippy::arithmetic_side_effects)]

mod access;
mod token;

use pest::Parser;
use pest::iterators::{Pair, Pairs};

use crate::diag::code;
use crate::source::Span;

use super::ast::*;
use super::explain;
use super::grammar::{Grammar, Rule};
use super::parse::Report;
use super::scan;

pub(super) use token::address_value;

/// Whether a tree tells where its parts stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spans {
    /// It does.
    Kept,
    /// All places are zero: for comparing trees.
    Zero,
}

/// Makes one statement.
pub(super) struct Builder<'r, 'f> {
    /// Offset of the text that is read now.
    base: usize,
    spans: Spans,
    report: &'r mut Report<'f>,
    /// Whether a part was left out.
    lost: bool,
}

type P<'t> = Pair<'t, Rule>;

impl<'r, 'f> Builder<'r, 'f> {
    /// A builder for a text that stands at `base`.
    pub(super) fn new(base: usize, spans: Spans, report: &'r mut Report<'f>) -> Self {
        Self { base, spans, report, lost: false }
    }

    /// The statement of `text`, without the parts that have a finding.
    pub(super) fn statement(&mut self, text: &str, pairs: Pairs<'_, Rule>) -> Option<Statement> {
        let findings = self.report.count();
        let statement = pairs.into_iter().find(|p| p.as_rule() == Rule::statement);
        let span = statement.as_ref().map(|p| self.span(p));
        let kind = statement.and_then(|p| p.into_inner().next()).and_then(|p| self.kind(p));
        // INVARIANT: what is lost has been told.
        if (self.lost || kind.is_none()) && self.report.count() == findings {
            let end = self.base.saturating_add(text.len());
            self.report.error(code::SYNTAX, self.base..end, "this statement cannot be read");
        }
        Some(Statement { kind: kind?, span: span? })
    }

    fn kind(&mut self, pair: P<'_>) -> Option<StatementKind> {
        Some(match pair.as_rule() {
            Rule::var => StatementKind::Var(self.var(pair)?),
            Rule::list => StatementKind::List(self.list(pair)?),
            Rule::include => StatementKind::Include(self.string_in(pair)?),
            Rule::zone => StatementKind::Zone(self.zone(pair)?),
            Rule::host => StatementKind::Host(self.host(pair)?),
            Rule::group => StatementKind::Group(self.group(pair)?),
            Rule::each => StatementKind::Each(self.each(pair)?),
            Rule::service => StatementKind::Service(self.service(pair)?),
            Rule::vpc => StatementKind::Vpc(self.vpc(pair)?),
            Rule::security_group => StatementKind::SecurityGroup(self.security_group(pair)?),
            Rule::user => StatementKind::User(self.user(pair)?),
            Rule::sshd => StatementKind::Sshd(self.sshd(pair)?),
            Rule::waive_name => StatementKind::Waive(self.waive_name(pair)?),
            Rule::access => StatementKind::Access(self.access(pair)?),
            Rule::test => StatementKind::Test(self.test(pair)?),
            _ => return None,
        })
    }

    fn var(&mut self, pair: P<'_>) -> Option<Var> {
        let (mut name, mut value) = (None, None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::name => name = Some(self.name(&p)),
                Rule::var_place => {
                    value = Some(VarValue::Place(child(p, Rule::places).and_then(|p| self.places(p))))
                }
                Rule::var_service => {
                    value = Some(VarValue::Service(child(p, Rule::services).map(|p| self.services(p))));
                }
                _ => {}
            }
        }
        Some(Var { name: name?, value: value? })
    }

    fn list(&mut self, pair: P<'_>) -> Option<List> {
        let (mut name, mut source, mut prefix_list) = (None, None, None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::name => name = Some(self.name(&p)),
                Rule::list_file => source = self.string_in(p).map(ListSource::File),
                Rule::kw_none => source = Some(ListSource::Inline(Vec::new())),
                Rule::addresses => source = Some(ListSource::Inline(self.addresses(p))),
                Rule::prefix_list => prefix_list = self.string_in(p),
                _ => {}
            }
        }
        Some(List { name: name?, source: source?, prefix_list })
    }

    fn zone(&mut self, pair: P<'_>) -> Option<Zone> {
        let (mut name, mut nets, mut rest, mut vpc) = (None, Vec::new(), None, None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::name => name = Some(self.name(&p)),
                Rule::zone_block => {
                    for line in self.lines(p, Rule::zone_line, Rule::one_zone_line, &["rest"]) {
                        for p in line.into_inner() {
                            match p.as_rule() {
                                Rule::kw_rest => rest = Some(self.span(&p)),
                                Rule::address => nets.extend(self.address(&p)),
                                _ => {}
                            }
                        }
                    }
                }
                Rule::zone_vpc => vpc = self.name_in(p),
                _ => {}
            }
        }
        Some(Zone { name: name?, nets, rest, vpc })
    }

    fn host(&mut self, pair: P<'_>) -> Option<Host> {
        let (mut kind, mut name, mut lines) = (None, None, Vec::new());
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::host_kind => {
                    kind = match p.into_inner().next()?.as_rule() {
                        Rule::kw_host => Some(HostKind::Host),
                        Rule::kw_firewall => Some(HostKind::Firewall),
                        Rule::kw_router => Some(HostKind::Router),
                        _ => None,
                    };
                }
                Rule::name => name = Some(self.name(&p)),
                Rule::leg_short => {
                    let leg = self.leg(p);
                    lines.extend(self.keep(leg).map(HostLine::Leg));
                }
                Rule::host_block => lines = self.host_block(p),
                _ => {}
            }
        }
        Some(Host { kind: kind?, name: name?, lines })
    }

    fn host_block(&mut self, pair: P<'_>) -> Vec<HostLine> {
        const WORDS: &[&str] =
            &["route", "log", "reject", "strict-source", "nftables", "docker", "ssh", "host-key"];
        let lines = self.lines(pair, Rule::host_line, Rule::one_host_line, WORDS);
        let mut out = Vec::new();
        for line in lines {
            let made = line.into_inner().next().and_then(|p| self.host_line(p));
            out.extend(self.keep(made));
        }
        out
    }

    fn host_line(&mut self, pair: P<'_>) -> Option<HostLine> {
        let span = self.span(&pair);
        Some(match pair.as_rule() {
            Rule::leg => HostLine::Leg(self.leg(pair)?),
            Rule::route => {
                let (mut to, mut via) = (None, None);
                for p in pair.into_inner() {
                    match p.as_rule() {
                        Rule::places => to = self.places(p),
                        Rule::via => via = self.two_names(p).map(|(host, zone)| Via { host, zone }),
                        _ => {}
                    }
                }
                HostLine::Route { to: to?, via: via?, span }
            }
            Rule::log_from => HostLine::Log { from: self.places(child(pair, Rule::places)?)?, span },
            Rule::reject_from => HostLine::Reject { from: self.places(child(pair, Rule::places)?)?, span },
            Rule::kw_strict_source => HostLine::StrictSource(span),
            Rule::kw_nftables => HostLine::Nftables(span),
            Rule::kw_docker => HostLine::Docker(span),
            Rule::ssh_port => HostLine::SshPort { port: self.port(&child(pair, Rule::number)?)?, span },
            Rule::host_key => HostLine::HostKey(self.string_in(pair)?),
            _ => return None,
        })
    }

    fn leg(&mut self, pair: P<'_>) -> Option<Leg> {
        let span = self.span(&pair);
        let (mut interface, mut addresses, mut public) = (None, None, Vec::new());
        let (mut zone, mut bridge, mut serves_dhcp, mut clamp) = (None, None, None, None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::interface => interface = Some(self.interface(&p)?),
                Rule::kw_dynamic => addresses = Some(LegAddresses::Dynamic(self.span(&p))),
                Rule::addresses => addresses = Some(LegAddresses::Static(self.addresses(p))),
                Rule::leg_public => {
                    public = child(p, Rule::addresses).map_or_else(Vec::new, |p| self.addresses(p))
                }
                Rule::name => zone = Some(self.name(&p)),
                Rule::bridge => bridge = Some(self.bridge(p)?),
                Rule::kw_hub => bridge = Some(Bridge::Hub(self.span(&p))),
                Rule::leg_leases => serves_dhcp = Some(self.span(&p)),
                Rule::leg_clamp => clamp = Some(self.clamp(p)?),
                _ => {}
            }
        }
        Some(Leg { interface, addresses: addresses?, public, zone: zone?, bridge, serves_dhcp, clamp, span })
    }

    fn clamp(&mut self, pair: P<'_>) -> Option<Clamp> {
        let Some(number) = child(pair, Rule::number) else { return Some(Clamp::Path) };
        // RFC 9293: 536 is what every host takes; behind 65,495 comes the longest packet of IPv4 with its headers.
        let to = self.number(&number, 536, 65_495, "a maximum segment size")?;
        u16::try_from(to).ok().map(Clamp::To)
    }

    fn bridge(&mut self, pair: P<'_>) -> Option<Bridge> {
        let mut found = None;
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::kw_br_netfilter => found = Some(Bridge::BrNetfilter(self.span(&p))),
                Rule::kw_stateful => found = Some(Bridge::Stateful(self.span(&p))),
                Rule::string => found = Some(Bridge::Stateless(self.said(&p))),
                _ => {}
            }
        }
        found
    }

    fn group(&mut self, pair: P<'_>) -> Option<Group> {
        let (mut name, mut op, mut members) = (None, GroupOp::Define, None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::name => name = Some(self.name(&p)),
                Rule::plus_equals => op = GroupOp::Add,
                Rule::places => members = Some(self.places(p)?),
                _ => {}
            }
        }
        Some(Group { name: name?, op, members })
    }

    fn security_group(&mut self, pair: P<'_>) -> Option<SecurityGroup> {
        let id = pair.clone().into_inner().find(|p| p.as_rule() == Rule::group_id);
        let id = id.and_then(|p| self.string_in(p));
        let Group { name, members, .. } = self.group(pair)?;
        Some(SecurityGroup { name, members, id })
    }

    fn each(&mut self, pair: P<'_>) -> Option<Each> {
        let (mut group, mut lines) = (None, Vec::new());
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::name => group = Some(self.name(&p)),
                Rule::host_block => lines = self.host_block(p),
                _ => {}
            }
        }
        Some(Each { group: group?, lines })
    }

    fn service(&mut self, pair: P<'_>) -> Option<Service> {
        let (mut name, mut items) = (None, Vec::new());
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::name => name = Some(self.name(&p)),
                Rule::services => items = self.services(p),
                _ => {}
            }
        }
        Some(Service { name: name?, items })
    }

    fn vpc(&mut self, pair: P<'_>) -> Option<Vpc> {
        let mut inner = pair.into_inner().filter(|p| p.as_rule() != Rule::kw_vpc);
        let name = self.name(&inner.next()?);
        let mut vpc =
            Vpc { name, nets: Vec::new(), region: None, id: None, gateway: None, waived: Vec::new() };
        let words = &["region", "id", "gateway", "waive"];
        for line in self.lines(inner.next()?, Rule::vpc_line, Rule::one_vpc_line, words) {
            let Some(p) = line.into_inner().next() else { continue };
            let told = match p.as_rule() {
                Rule::vpc_region => vpc.region.is_some(),
                Rule::vpc_id => vpc.id.is_some(),
                Rule::vpc_gateway => vpc.gateway.is_some(),
                _ => false,
            };
            if told {
                let message = format!("{} is said twice", explain::quoted(explain::token(p.as_str())));
                self.error(&p, code::SYNTAX, message, "a vpc has one of it");
                continue;
            }
            match p.as_rule() {
                Rule::vpc_region => vpc.region = self.name_in(p),
                Rule::vpc_id => vpc.id = self.string_in(p),
                Rule::vpc_gateway => vpc.gateway = self.name_in(p),
                Rule::waive => vpc.waived.extend(self.waived(p)),
                Rule::addresses => vpc.nets.extend(self.addresses(p)),
                _ => {}
            }
        }
        Some(vpc)
    }

    fn user(&mut self, pair: P<'_>) -> Option<User> {
        let mut inner = pair.into_inner().filter(|p| p.as_rule() != Rule::kw_user);
        let name = self.name(&inner.next()?);
        let words = &["key", "keys", "account", "uid", "until"];
        let mut lines = Vec::new();
        for line in self.lines(inner.next()?, Rule::user_line, Rule::one_user_line, words) {
            let made = line.into_inner().next().and_then(|p| self.user_line(p));
            lines.extend(self.keep(made));
        }
        Some(User { name, lines })
    }

    fn user_line(&mut self, pair: P<'_>) -> Option<UserLine> {
        Some(match pair.as_rule() {
            Rule::user_key => UserLine::Key(self.string_in(pair)?),
            Rule::user_keys => UserLine::KeysFile(self.string_in(pair)?),
            Rule::user_account => UserLine::Account(self.name_in(pair)?),
            Rule::user_uid => {
                let span = self.span(&pair);
                // 0 is the machine's own, and 4294967295 is nobody's (`(uid_t) -1`).
                let uid = self.number(&child(pair, Rule::number)?, 1, 4_294_967_294, "a uid")?;
                UserLine::Uid { uid, span }
            }
            Rule::until => UserLine::Until(self.date(&child(pair, Rule::date)?)?),
            _ => return None,
        })
    }

    fn sshd(&mut self, pair: P<'_>) -> Option<Sshd> {
        let (mut hosts, mut lines) = (None, Vec::new());
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::places => hosts = self.places(p),
                Rule::sshd_block => {
                    for line in
                        self.lines(p, Rule::sshd_line, Rule::one_sshd_line, &["accept", "idle", "serve"])
                    {
                        let made = line.into_inner().next().and_then(|p| self.sshd_line(p));
                        lines.extend(self.keep(made));
                    }
                }
                _ => {}
            }
        }
        Some(Sshd { hosts: hosts?, lines })
    }

    fn waive_name(&mut self, pair: P<'_>) -> Option<Waive> {
        let (mut names, mut reason) = (Vec::new(), None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::name => names.push(self.name(&p)),
                Rule::string => reason = Some(self.said(&p)),
                _ => {}
            }
        }
        let [target, what, name] = <[Name; 3]>::try_from(names).ok()?;
        Some(Waive { target, what, name, reason: reason? })
    }

    fn sshd_line(&mut self, pair: P<'_>) -> Option<SshdLine> {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::sshd_accept => {
                let mut types = Vec::new();
                for p in pair.into_inner().filter(|p| p.as_rule() == Rule::key_type) {
                    let made = self.key_type(p);
                    types.extend(self.keep(made));
                }
                Some(SshdLine::Accept(types))
            }
            Rule::sshd_idle => {
                Some(SshdLine::Idle { seconds: self.duration(&child(pair, Rule::duration)?)?, span })
            }
            Rule::sshd_serve => {
                // As of a person: 0 is the machine's own, and 4294967295 is nobody's.
                let uid = self.number(&child(pair, Rule::number)?, 1, 4_294_967_294, "a uid")?;
                Some(SshdLine::Serve { uid, span })
            }
            _ => None,
        }
    }

    fn key_type(&mut self, pair: P<'_>) -> Option<KeyType> {
        let (mut name, mut bits) = (None, None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::name => name = Some(self.name(&p)),
                Rule::number => bits = Some(self.number(&p, 1, u32::MAX, "a number of bits")?),
                _ => {}
            }
        }
        Some(KeyType { name: name?, bits })
    }

    fn test(&mut self, pair: P<'_>) -> Option<Test> {
        let (mut title, mut expects, mut block) = (None, Vec::new(), self.span(&pair));
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::string => title = Some(self.string(&p)),
                Rule::test_block => {
                    block = self.span(&p);
                    for line in self.lines(p, Rule::expect, Rule::one_expect, &["expect"]) {
                        let made = self.expect(line);
                        expects.extend(self.keep(made));
                    }
                }
                _ => {}
            }
        }
        Some(Test { title: title?, expects, block })
    }

    /// The lines of a block that are `rule`; each that is not is read again by itself, for its error.
    fn lines<'t>(&mut self, block: P<'t>, rule: Rule, alone: Rule, words: &[&str]) -> Vec<P<'t>> {
        let mut lines = Vec::new();
        for p in block.into_inner() {
            if p.as_rule() == rule {
                lines.push(p);
            } else if p.as_rule() == Rule::junk {
                self.lost = true;
                if self.report.count_only() {
                    continue;
                }
                let text = p.as_str().trim_end();
                let start = self.base.saturating_add(p.as_span().start());
                if let Err(error) = Grammar::parse(alone, text) {
                    explain::line(&error, text, start, words, self.report);
                } else {
                    self.error(&p, code::SYNTAX, "this line cannot be read", "write it by itself");
                }
            }
        }
        lines
    }

    /// Notes that a part was left out.
    fn keep<T>(&mut self, part: Option<T>) -> Option<T> {
        self.lost |= part.is_none();
        part
    }

    fn error(&mut self, pair: &P<'_>, code: crate::diag::Code, message: impl Into<String>, help: &str) {
        let range = self.range(pair);
        let found = self.report.diagnostic(code, range, message);
        self.report.push(if help.is_empty() { found } else { found.help(help) });
        self.lost = true;
    }

    /// Where `pair` stands, without the blanks that the grammar may have taken at its end.
    fn range(&self, pair: &P<'_>) -> std::ops::Range<usize> {
        let start = self.base.saturating_add(pair.as_span().start());
        start..start.saturating_add(pair.as_str().trim_end().len())
    }

    fn span(&self, pair: &P<'_>) -> Span {
        match self.spans {
            Spans::Kept => scan::span(self.report.file(), &self.range(pair)),
            Spans::Zero => Span { file: crate::source::FileId(0), start: 0, end: 0 },
        }
    }
}

/// The first part of `pair` that is `rule`.
fn child(pair: P<'_>, rule: Rule) -> Option<P<'_>> {
    pair.into_inner().find(|p| p.as_rule() == rule)
}
