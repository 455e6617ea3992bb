//! Chains for verdicts that take more than a word: with a date, a limit, a line in the log, or a refusal.
//!
//! A fate is named after its statements and what they say, so elements of one statement share one chain, at whatever hook
//! they stand.
//!
//! INVARIANT: a limit has one bucket in a table, where it is by source one set for each family (S21). To the kernel every
//! rule with a `limit` is a bucket, and every set is one for each element; so a limit that stands in several fates, because its
//! statement meets others, has a chain of its own that they jump to. What is over the limit comes back from it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::artifact::{
    DataType, Duration, Expression, Field, Limit, Log, Set, SetFlag, SetOp, Statement, Unit, Verdict,
};
use super::base::before;
use super::{Draft, DraftChain, DraftSet, names, statements_of};
use crate::diag::{Diagnostic, Findings, code};
use crate::ir::{Bucket, Entry, Refuse, Step};
use crate::model::{Access, AccessId};
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

/// What a fate is made of: its statements, what they say, and where a denied packet goes on.
pub(super) type Asked = (Vec<AccessId>, Vec<Step>, Refuse, Option<String>);

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
        // Elements of one statement ask alike, and its sentence may be as long as there are elements.
        let asked: Asked = (entry.because.clone(), entry.steps.clone(), entry.refuse, self.denied.clone());
        let name = match self.named.get(&asked) {
            Some(known) => known.clone(),
            None => {
                let (of, said) = self.said(entry);
                let name = self.digests.name(of, &said);
                self.named.insert(asked, name.clone());
                name
            }
        };
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

    /// What the chain of an entry says, and what kind of chain it is: the same wherever the entry stands.
    fn said(&self, entry: &Entry) -> (&'static str, String) {
        let denies = entry.steps.iter().any(|s| s.verdict != net::Verdict::Accept);
        let mut words: Vec<&str> = entry
            .because
            .iter()
            .filter_map(|id| self.site.access(*id))
            .map(|access| access.words.as_str())
            .collect();
        words.dedup();
        let mut said = format!("{}\n{}\n{:?}", words.join("\n"), plainly(&entry.steps), entry.refuse);
        if words.len() > 1 {
            // Of several statements the steps do not show which of them has which limit.
            let of = entry.steps.iter().filter_map(|step| self.site.access(step.bucket?.of));
            of.for_each(|access| said.extend(["\n", access.words.as_str()]));
        }
        if let Some(denied) = &self.denied {
            said.push('\n');
            said.push_str(denied);
        }
        (if denies { "deny" } else { "allow" }, said)
    }

    /// Writes the chains; false where one cannot be said.
    pub(super) fn fates(&mut self, findings: &mut Findings) -> bool {
        let fates = std::mem::take(&mut self.fates);
        let shared = self.shared_limits(&fates);
        let mut sayable = true;
        for (name, fate) in &fates {
            sayable &= self.fate(name, fate, &shared, findings);
        }
        // By name: the numbers of statements change when others come and go.
        let by_name: BTreeMap<&String, &Fate> = shared.values().map(|(name, fate)| (name, fate)).collect();
        for (name, fate) in by_name {
            sayable &= self.fate(name, fate, &BTreeMap::new(), findings);
        }
        sayable
    }

    /// The limits that stand in several fates, each with the name of its chain and what stands there.
    fn shared_limits(&mut self, fates: &BTreeMap<String, Fate>) -> Shared {
        let mut all: BTreeMap<Bucket, Vec<(&Fate, Step)>> = BTreeMap::new();
        for fate in fates.values() {
            for step in &fate.steps {
                if let Some(bucket) = step.bucket {
                    all.entry(bucket).or_default().push((fate, *step));
                }
            }
        }
        let several = all.into_iter().filter(|(_, at)| at.len() > 1);
        let chain = |(bucket, at): (Bucket, Vec<(&Fate, Step)>)| {
            // Who jumps there looks at the date.
            let step = Step { until: None, ..at.first()?.1 };
            let because = at.iter().flat_map(|(fate, step)| self.speaking(fate, step));
            let because: BTreeSet<AccessId> = because.collect();
            let access = self.site.access(bucket.of)?;
            let said =
                format!("{}\n{}\n{:?}\n{}", access.words, plainly(&[step]), access.until, bucket.metered);
            let fate = Fate {
                steps: vec![step],
                refuse: Refuse::Never,
                because: because.into_iter().collect(),
                families: at.iter().flat_map(|(fate, _)| fate.families.iter().copied()).collect(),
                denied: None,
            };
            Some((bucket, (said, fate)))
        };
        let several: Vec<(Bucket, (String, Fate))> = several.filter_map(chain).collect();
        let named = |(bucket, (said, fate)): (Bucket, (String, Fate))| {
            (bucket, (self.digests.name("limit", &said), fate))
        };
        several.into_iter().map(named).collect()
    }

    /// Writes one chain; false where it cannot be said. What is in `shared` stands in a chain of its own.
    fn fate(&mut self, name: &str, fate: &Fate, shared: &Shared, findings: &mut Findings) -> bool {
        let mut sayable = true;
        let mut chain = DraftChain::regular(name);
        for (at, step) in fate.steps.iter().enumerate() {
            let because = self.speaking(fate, step);
            let Some(date) = said(step.until) else {
                self.unsupported_date(&because, findings);
                sayable = false;
                continue;
            };
            let date: Vec<Statement> = date.into_iter().collect();
            let rules = match step.bucket.and_then(|bucket| shared.get(&bucket)) {
                Some((limit, _)) => Some(vec![vec![Statement::Verdict(Verdict::Jump(limit.clone()))]]),
                None => self.bounded(&format!("{name}_{at}"), fate, step),
            };
            let Some(rules) = rules else {
                self.unsupported_limit(&because, findings);
                sayable = false;
                continue;
            };
            let (comment, origins) = (self.words(&because), statements_of(&because));
            for rule in rules {
                chain.push([date.clone(), rule].concat(), &comment, &origins);
            }
        }
        over_the_limit(&mut chain, fate);
        self.chains.push(chain);
        sayable
    }

    /// The statements whose step it is: of a limit those that have its bucket; of what has none those without a limit.
    fn speaking(&self, fate: &Fate, step: &Step) -> Vec<AccessId> {
        let bucket = |id: AccessId| self.site.access(id).map(Access::bucket);
        let limited = |id: AccessId| {
            let said = self.site.access(id).is_some_and(|access| access.limit.is_some());
            said || fate.steps.iter().filter_map(|step| step.bucket).any(|b| bucket(b.of) == bucket(id))
        };
        let speaks = |id: &AccessId| match step.bucket {
            Some(b) => bucket(b.of) == bucket(*id),
            None => !limited(*id),
        };
        let speaking: Vec<AccessId> = fate.because.iter().copied().filter(speaks).collect();
        if speaking.is_empty() { fate.because.clone() } else { speaking }
    }

    /// A step without its date: for each rule that is needed, its statements. None where nft cannot say the limit.
    fn bounded(&mut self, name: &str, fate: &Fate, step: &Step) -> Option<Vec<Vec<Statement>>> {
        let mut rules = self.bounds(name, step, &fate.families)?;
        let (word, verdict) = match step.verdict {
            net::Verdict::Accept => ("allow", Verdict::Accept),
            net::Verdict::Drop => ("deny", denying(fate.denied.as_ref())),
            net::Verdict::Reject => ("deny", Verdict::Goto("told".to_owned())),
        };
        for statements in &mut rules {
            if step.log {
                statements.push(log(&prefix(&self.host.name, word)));
            }
            statements.push(Statement::Verdict(verdict.clone()));
        }
        Some(rules)
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
        if limit.rate == 0 || limit.burst == 0 || limit.burst > limit.largest_burst() {
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
                    .label("rate and burst must be at least one and countable, the unit second, minute, hour or day")
                    .help("write a larger rate, or a `deny`"),
            );
        }
    }
}

/// By bucket, the chain that holds it: its name, and what stands there.
type Shared = BTreeMap<Bucket, (String, Fate)>;

/// The steps as names are made of them: without the numbers of their statements, which change as others come and go.
fn plainly(steps: &[Step]) -> String {
    let one = |Step { until, limit, log, verdict, bucket: _ }: &Step| {
        format!("Step {{ until: {until:?}, limit: {limit:?}, log: {log:?}, verdict: {verdict:?} }}")
    };
    format!("[{}]", steps.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// The end of a chain whose statements refuse what none of their steps admits (S22).
fn over_the_limit(chain: &mut DraftChain, fate: &Fate) {
    let date = match fate.refuse {
        Refuse::Never => None,
        // One that cannot be said was refused with its step.
        Refuse::Until(until) => said(Some(until)),
        Refuse::Always => Some(None),
    };
    let Some(date) = date else { return };
    chain.chain.notes.push("Over its limit a connection is dropped; nothing else can admit it.".to_owned());
    let mut statements: Vec<Statement> = date.into_iter().collect();
    statements.push(Statement::counter());
    statements.push(Statement::Verdict(Verdict::Drop));
    chain.push(statements, "over the limit", &statements_of(&fate.because));
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
