//! Chains for verdicts that take more than a word: with a date, a limit, a line in the log, or a refusal.
//!
//! A fate is named after its statements and what they say, so elements of one statement share one chain, one bucket and
//! one meter, at whatever hook they stand.

use std::collections::BTreeSet;

use super::super::artifact::{
    DataType, Duration, Expression, Field, Limit, Log, Set, SetFlag, SetOp, Statement, Unit, Verdict,
};
use super::base::before;
use super::{Draft, DraftChain, DraftSet, names, statements_of};
use crate::diag::{Diagnostic, Findings, code};
use crate::ir::{Entry, Refuse, Step};
use crate::model::AccessId;
use crate::net::{self, Family, Per};

/// The dead elements of a meter must not be forgotten before their bucket is full again.
const METER_SECONDS: u64 = 60;
const METER_SIZE: u64 = 65_535;

pub(super) struct Fate {
    steps: Vec<Step>,
    refuse: Refuse,
    because: Vec<AccessId>,
    families: BTreeSet<Family>,
    /// [`Draft::denied`] where it was asked.
    denied: Option<String>,
}

impl Fate {
    pub(super) fn rejects(&self) -> bool {
        self.steps.iter().any(|s| s.verdict == net::Verdict::Reject)
    }
}

impl Draft<'_> {
    /// The verdict of an entry: one word, or the chain that says more.
    pub(super) fn verdict(&mut self, entry: &Entry) -> Verdict {
        if let ([step], Refuse::Never) = (entry.steps.as_slice(), entry.refuse)
            && step.until.is_none()
            && step.limit.is_none()
            && !step.log
        {
            return match step.verdict {
                net::Verdict::Accept => Verdict::Accept,
                net::Verdict::Drop => denying(self.denied.as_ref()),
                net::Verdict::Reject => {
                    self.told = true;
                    Verdict::Goto("told".to_owned())
                }
            };
        }
        let denies = entry.steps.iter().any(|s| s.verdict != net::Verdict::Accept);
        let mut words: Vec<&str> = entry
            .because
            .iter()
            .filter_map(|id| self.site.access(*id))
            .map(|access| access.words.as_str())
            .collect();
        words.dedup();
        let mut said = format!("{}\n{:?}\n{:?}", words.join("\n"), entry.steps, entry.refuse);
        if let Some(denied) = &self.denied {
            said.push('\n');
            said.push_str(denied);
        }
        let name = format!("{}_{}", if denies { "deny" } else { "allow" }, names::digest(&said));
        self.fates
            .entry(name.clone())
            .or_insert_with(|| Fate {
                steps: entry.steps.clone(),
                refuse: entry.refuse,
                because: entry.because.clone(),
                families: BTreeSet::new(),
                denied: self.denied.clone(),
            })
            .families
            .insert(entry.cell.family);
        Verdict::Jump(name)
    }

    /// Writes the chains; false where one cannot be said.
    pub(super) fn fates(&mut self, findings: &mut Findings) -> bool {
        let mut sayable = true;
        for (name, fate) in std::mem::take(&mut self.fates) {
            let comment = self.words(&fate.because);
            let origins = statements_of(&fate.because);
            let mut chain = DraftChain::regular(&name);
            for (at, step) in fate.steps.iter().enumerate() {
                let Some(bounds) = self.bounds(&format!("{name}_{at}"), step, &fate.families) else {
                    self.unsupported_limit(&fate.because, findings);
                    sayable = false;
                    continue;
                };
                let Some(date) = said(step.until) else {
                    self.unsupported_date(&fate.because, findings);
                    sayable = false;
                    continue;
                };
                for bound in bounds {
                    let mut statements: Vec<Statement> = date.clone().into_iter().collect();
                    statements.extend(bound);
                    let verdict = match step.verdict {
                        net::Verdict::Accept => ("allow", Verdict::Accept),
                        net::Verdict::Drop => ("deny", denying(fate.denied.as_ref())),
                        net::Verdict::Reject => ("deny", Verdict::Goto("told".to_owned())),
                    };
                    if step.log {
                        statements.push(log(&prefix(&self.host.name, verdict.0)));
                    }
                    statements.push(Statement::Verdict(verdict.1));
                    chain.push(statements, &comment, &origins);
                }
            }
            let date = match fate.refuse {
                Refuse::Never => None,
                // One that cannot be said was refused with its step.
                Refuse::Until(until) => said(Some(until)),
                Refuse::Always => Some(None),
            };
            if let Some(date) = date {
                chain
                    .chain
                    .notes
                    .push("Over its limit a connection is dropped; nothing else can admit it.".to_owned());
                let mut statements: Vec<Statement> = date.into_iter().collect();
                statements.push(Statement::counter());
                statements.push(Statement::Verdict(Verdict::Drop));
                chain.push(statements, "over the limit", &origins);
            }
            self.chains.push(chain);
        }
        sayable
    }

    /// What keeps a step within its limit: for each rule that is needed, its statements. None where it cannot be said.
    fn bounds(
        &mut self,
        name: &str,
        step: &Step,
        families: &BTreeSet<Family>,
    ) -> Option<Vec<Vec<Statement>>> {
        let Some(limit) = step.limit else { return Some(vec![Vec::new()]) };
        let unit = Unit::ALL.into_iter().find(|u| u.seconds() == limit.unit_seconds)?;
        if limit.rate == 0 || limit.burst == 0 {
            return None;
        }
        let bucket = Statement::Limit(Limit { over: false, rate: limit.rate, unit, burst: limit.burst });
        match limit.per {
            Per::Rule => Some(vec![vec![bucket]]),
            Per::Source => Some(
                families
                    .iter()
                    .map(|family| {
                        let set = format!("{name}_{}", names::family(*family));
                        let key = match family {
                            Family::V4 => Field::IpSaddr,
                            Family::V6 => Field::Ip6Saddr,
                        };
                        self.meter(&set, *family, &limit);
                        vec![Statement::SetUpdate {
                            op: SetOp::Update,
                            set,
                            key: Expression::Field(key),
                            timeout: None,
                            statements: vec![bucket.clone()],
                        }]
                    })
                    .collect(),
            ),
        }
    }

    fn meter(&mut self, name: &str, family: Family, limit: &net::Limit) {
        let key = match family {
            Family::V4 => DataType::Ipv4Addr,
            Family::V6 => DataType::Ipv6Addr,
        };
        let full = u64::from(limit.burst).saturating_mul(u64::from(limit.unit_seconds));
        let full = full.div_ceil(u64::from(limit.rate.max(1)));
        let mut set = Set::new(name, vec![key], None);
        set.flags = vec![SetFlag::Dynamic, SetFlag::Timeout];
        set.size = Some(METER_SIZE);
        set.timeout = Some(Duration(full.max(METER_SECONDS).saturating_mul(1000)));
        set.notes
            .push("One bucket for each source; when the table is full, new sources are refused.".to_owned());
        self.sets.push(DraftSet { set, elements: Vec::new() });
    }

    fn unsupported_date(&self, because: &[AccessId], findings: &mut Findings) {
        for access in because.iter().filter_map(|id| self.site.access(*id)).filter(|a| a.until.is_some()) {
            findings.push(
                Diagnostic::error(code::UNSUPPORTED_DATE, access.span, "nftables cannot say this date")
                    .label("the kernel is told whole seconds")
                    .help("write `until` with a whole second"),
            );
        }
    }

    fn unsupported_limit(&self, because: &[AccessId], findings: &mut Findings) {
        for access in because.iter().filter_map(|id| self.site.access(*id)).filter(|a| a.limit.is_some()) {
            findings.push(
                Diagnostic::error(code::UNSUPPORTED_LIMIT, access.span, "nftables cannot say this limit")
                    .label("rate and burst must be at least one, the unit second, minute, hour or day")
                    .help("write a larger rate, or a `deny`"),
            );
        }
    }
}

/// What becomes of a denied packet.
fn denying(goes_on: Option<&String>) -> Verdict {
    goes_on.map_or(Verdict::Drop, |name| Verdict::Goto(name.clone()))
}

/// The match of a date, where there is one; none where nft cannot say it.
#[expect(clippy::option_option, reason = "no date, and no way to say one, are two answers")]
fn said(until: Option<u64>) -> Option<Option<Statement>> {
    match until {
        None => Some(None),
        Some(until) => before(until).map(Some),
    }
}

/// `fwc fw input drop: `, within the 127 bytes of a log prefix.
pub(super) fn prefix(host: &str, what: &str) -> String {
    let host: String = host.chars().filter(char::is_ascii).take(80).collect();
    format!("fwc {host} {what}: ")
}

pub(super) fn log(prefix: &str) -> Statement {
    Statement::Log(Log { prefix: Some(prefix.to_owned()), ..Log::default() })
}
