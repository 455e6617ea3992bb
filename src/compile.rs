//! The whole way in one paragraph: policy text to proved artifacts.

pub mod ansible;
mod groups;
pub mod import;
mod lints;
mod logins;
mod origins;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::thread::{self, Scope, ScopedJoinHandle};

pub use groups::{Format, Groups, check as check_groups};
pub use lints::check as check_exactly;

use crate::diag::{Diagnostic, Findings, code};
use crate::forwarding::Forwarding;
use crate::model::{Action, Bridge, Expect, Expected, HostId, Site, Waiver};
use crate::source::{FileId, Loader, SourceMap};
use crate::syntax::ast::StatementKind;
use crate::target::nft::artifact::Ruleset;
use crate::target::nft::emit;
use crate::target::nft::{print, read};
use crate::target::sshd;
use crate::target::sysctl::{self, artifact::Settings};
use crate::verify::{self, Artifacts, Balancing, HostRules, Meanings, Report};
use crate::{ir, lint, lower, resolve, target, topology};

/// What a run depends on besides the texts.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--set NAME=VALUE`, in order.
    pub set: Vec<(String, String)>,
    /// The time of the proof and of the lints, UTC nanoseconds since 1970 (`--at`).
    pub at: u64,
    /// What is written of security groups beside EC2's own JSON (`--emit`).
    pub emit: BTreeSet<Format>,
    /// What is proved of them too though nobody named it: that one of these cannot be written is no more than a warning.
    pub emit_if_possible: BTreeSet<Format>,
    /// The OpenSSH of sshd hosts.
    pub sshd: sshd::artifact::Version,
    /// Whether the proof is all that is wanted: `ruleset.nft`, `ruleset.json` and `origins.json` are left out then. The
    /// text of a ruleset is in [`Compiled::artifacts`].
    pub proof_alone: bool,
    /// Whether something else is asked than whether expectations hold: they are not proved then, unless what is found of them
    /// is told beside any answer.
    pub question_alone: bool,
}

/// The artifacts of one machine, as text.
#[derive(Clone, Debug)]
pub struct HostArtifacts {
    /// Which machine.
    pub host: HostId,
    /// Its name: the folder under `hosts/`.
    pub name: String,
    /// File name to content. Where it filters `ruleset.nft`, `ruleset.json`, `origins.json`, `routes.json`, `interfaces.json`,
    /// `sysctl.conf`; of a director `ipvs/…` beside them; of an sshd host `ssh/…`.
    pub files: Vec<(String, String)>,
}

/// A policy, compiled and examined.
#[derive(Debug)]
pub struct Compiled {
    /// What the policy says.
    pub site: Site,
    /// By host name.
    pub hosts: Vec<HostArtifacts>,
    /// The security groups.
    pub groups: Groups,
    /// The rulesets, as they were read back from the texts.
    pub artifacts: Artifacts,
    /// What was proved. Nothing may be written unless [`Report::holds`].
    pub report: Report,
}

/// Who is told of each stage, by the thread that works on it; a stage that comes again is told again. Whoever has a
/// clock may measure: there is none here.
pub type Watch<'a> = &'a (dyn Fn(Told) + Sync);

/// What is told of stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// This thread begins: its first stage begins with it.
    Begun,
    /// This stage ended; the thread's next one begins.
    Ended(&'static str),
}

/// Compiles and proves; `watch` is told of each stage. None where there are errors: never half a ruleset.
pub fn compile(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
    watch: Watch<'_>,
) -> Option<Compiled> {
    let proved = |site: &Site, sources: &SourceMap, findings: &mut Findings| {
        proved(site, sources, options, findings, watch)
    };
    let (site, proved) = asked(sources, roots, loader, options, findings, watch, proved)?;
    let Proved { hosts, groups, artifacts, report } = proved?;
    Some(Compiled { site, hosts, groups, artifacts, report })
}

/// Every finding of a policy, and no artifact: of what is emitted too, and of its proof, where that may have any. None
/// where there are errors in what the policy says.
pub fn checked(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
    watch: Watch<'_>,
) -> Option<Site> {
    let ask = |site: &Site, sources: &SourceMap, findings: &mut Findings| {
        if shows_in_the_proof(site) {
            let alone = Options { proof_alone: true, ..options.clone() };
            let _ = proved(site, sources, &alone, findings, watch);
        }
    };
    asked(sources, roots, loader, options, findings, watch, ask).map(|(site, ())| site)
}

/// Whether the back half may find something: what an sshd cannot be told and who goes round it (S65), what a stateless
/// bridge takes for replies (S42). Whatever else it finds is a fault of ours.
fn shows_in_the_proof(site: &Site) -> bool {
    let public = || site.hosts.iter().flat_map(|host| &host.legs).any(|leg| !leg.public.is_empty());
    let denies = || site.accesses.iter().any(|access| access.action == Action::Deny);
    site.hosts.iter().any(|host| host.sshd.is_some()) || replies_may_show(site) || (denies() && public())
}

/// Whether an expectation may hold but for what a stateless bridge takes for replies (S42).
fn replies_may_show(site: &Site) -> bool {
    let denied = |expect: &Expect| expect.kind != Expected::Allow;
    let stateless = |(_, _, how): &(_, _, &Bridge)| matches!(how, Bridge::Stateless(_));
    site.hosts.iter().any(|host| host.bridges().any(|bridge| stateless(&bridge)))
        && site.tests.iter().flat_map(|test| &test.expects).any(denied)
}

/// The front half: what a policy says, and what `ask` makes of it, with whatever is wrong or needless in it. None where
/// there are errors in what it says.
pub fn asked<T>(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
    watch: Watch<'_>,
    ask: impl FnOnce(&Site, &SourceMap, &mut Findings) -> T,
) -> Option<(Site, T)> {
    let site = understood(sources, roots, loader, options, findings, watch)?;
    let unfiltered = findings.places(code::UNFILTERED_DENY);
    // What is said needlessly is found beside all else: neither needs the other.
    let (lints, answer) = thread::scope(|scope| {
        let lints = deep_thread(scope, || {
            watch(Told::Begun);
            let mut found = Findings::default();
            lints::check(&site, options.at, &unfiltered, &mut found);
            watch(Told::Ended("exact lints"));
            found
        });
        let answer = ask(&site, sources, findings);
        (lints.join().unwrap_or_else(|panic| resume_unwind(panic)), answer)
    });
    let sound = !lints.has_errors();
    findings.extend(lints);
    sound.then_some((site, answer))
}

/// A thread that may go as deep as the first one: sets are walked field by field, and each limit is a field.
pub fn deep_thread<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    const STACK: usize = 16 << 20;
    let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
    // As `Scope::spawn` does where the system has no thread to give.
    thread.unwrap_or_else(|why| resume_unwind(Box::new(why.to_string())))
}

/// All of [`Compiled`] but the site.
struct Proved {
    hosts: Vec<HostArtifacts>,
    groups: Groups,
    artifacts: Artifacts,
    report: Report,
}

/// What is emitted, and that it is what is meant. None where something cannot be said; what the proof finds is not that.
fn proved(
    site: &Site,
    sources: &SourceMap,
    options: &Options,
    findings: &mut Findings,
    watch: Watch<'_>,
) -> Option<Proved> {
    let (made, meanings) = made_and_meant(site, options, findings, watch);
    let Made { program, mut hosts, mut artifacts, origins } = made?;
    let groups = groups::written(&program.groups, site, options, findings)?;
    artifacts.groups.clone_from(&groups.texts);
    watch(Told::Ended("groups"));
    let settings = parameters(site, &mut hosts, findings)?;
    directors(site, &program, &mut hosts, findings)?;
    let servers = logins::written(site, &program, &mut hosts, options, findings)?;
    let of_expectations = !options.question_alone || replies_may_show(site);
    let prove = if of_expectations { Meanings::prove } else { Meanings::prove_without_expectations };
    let mut report = prove(meanings, &artifacts, &servers, options.at);
    if let Some(acls) = &groups.acls {
        report.points.extend(verify::acls(site, acls));
    }
    report.settings = verify::settings(site, &settings);
    stateless(site, &report, findings);
    logins::ways_round(site, &report, findings);
    by_public(site, &report, findings);
    watch(Told::Ended("prove"));
    if !options.proof_alone {
        exported((site, sources), &artifacts, &origins, &mut hosts, findings, watch)?;
    }
    Some(Proved { hosts, groups, artifacts, report })
}

/// What is meant is found while it is written: neither needs the other. Of very many statements both at once take room that one after
/// the other does not.
fn made_and_meant<'s>(
    site: &'s Site,
    options: &Options,
    findings: &mut Findings,
    watch: Watch<'_>,
) -> (Option<Made>, Meanings<'s>) {
    const AT_ONCE: usize = 50_000;
    if site.accesses.len() > AT_ONCE {
        let made = made(site, options, findings, watch);
        let meanings = Meanings::of(site);
        watch(Told::Ended("prove"));
        return (made, meanings);
    }
    thread::scope(|scope| {
        let meanings = deep_thread(scope, || {
            watch(Told::Begun);
            let meanings = Meanings::of(site);
            watch(Told::Ended("prove"));
            meanings
        });
        let made = made(site, options, findings, watch);
        (made, meanings.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// What every machine is told, as rules, as text, and as it is read back from that.
struct Made {
    program: ir::Program,
    hosts: Vec<HostArtifacts>,
    artifacts: Artifacts,
    origins: BTreeMap<HostId, origins::Lines>,
}

fn made(site: &Site, options: &Options, findings: &mut Findings, watch: Watch<'_>) -> Option<Made> {
    let mut program = lower::lower(site);
    watch(Told::Ended("lower"));
    let emitted = emit::emit(&program, site, findings)?;
    // What was emitted is not looked at again, and is most of what there is.
    program.points = Vec::new();
    watch(Told::Ended("emit"));
    let forwarding = Forwarding::new(site);
    let mut made = Made { program, hosts: Vec::new(), artifacts: Artifacts::new(), origins: BTreeMap::new() };
    for (host, ruleset, origins) in emitted {
        let rules = match written(ruleset, watch) {
            Ok(rules) => rules,
            Err(why) => {
                findings.push(unprintable(site, host, RULESET, &why));
                continue;
            }
        };
        let mut files = vec![
            ("routes.json".to_owned(), json(&forwarding.table(host), 0)),
            ("interfaces.json".to_owned(), json(&interfaces(site, host), 0)),
        ];
        if !options.proof_alone {
            files.insert(0, ("ruleset.nft".to_owned(), rules.text.clone()));
            made.origins.insert(host, origins::Lines::of(origins, &rules.lines));
        }
        let name = site.host(host).map(|h| h.name.clone()).unwrap_or_default();
        made.hosts.push(HostArtifacts { host, name, files });
        made.artifacts.insert(host, rules);
    }
    (!findings.has_errors()).then_some(made)
}

/// A ruleset as text, and as it is read back from that: what is proved is what was written, by a reader that knows
/// nothing of the emitter.
fn written(ruleset: Ruleset, watch: Watch<'_>) -> Result<HostRules, String> {
    let text = print::print(&ruleset).map_err(|why| why.to_string())?;
    // All that there was to say is text now, and the one that is read back takes as much room again.
    drop(ruleset);
    watch(Told::Ended("print"));
    let reading = read::read(&text).map_err(|why| format!("it does not read back: {why}"))?;
    watch(Told::Ended("read"));
    Ok(HostRules { text, ruleset: reading.ruleset, lines: reading.lines })
}

/// `ruleset.json` and `origins.json` of every machine, made of what was proved: last, because they are most of the text.
fn exported(
    (site, sources): (&Site, &SourceMap),
    artifacts: &Artifacts,
    origins: &BTreeMap<HostId, origins::Lines>,
    hosts: &mut [HostArtifacts],
    findings: &mut Findings,
    watch: Watch<'_>,
) -> Option<()> {
    let because =
        |(host, lines): (&HostId, &origins::Lines)| (*host, json(&lines.said(site, sources), lines.room()));
    let ruleset = |(host, rules): (&HostId, &HostRules)| {
        (*host, target::nft::json::of_printed(&rules.ruleset, rules.text.len()))
    };
    let (mut because, rulesets) = thread::scope(|scope| {
        let because = scope.spawn(|| {
            watch(Told::Begun);
            let because = origins.iter().map(because).collect::<BTreeMap<_, _>>();
            watch(Told::Ended("print"));
            because
        });
        let rulesets: Vec<_> = artifacts.iter().map(ruleset).collect();
        (because.join().unwrap_or_else(|panic| resume_unwind(panic)), rulesets)
    });
    let mut good = true;
    for (host, ruleset) in rulesets {
        let text = match ruleset {
            Ok(text) => text,
            Err(why) => {
                findings.push(unprintable(site, host, RULESET, &why.to_string()));
                good = false;
                continue;
            }
        };
        let Some(made) = hosts.iter_mut().find(|made| made.host == host) else { continue };
        made.files.push(("ruleset.json".to_owned(), text));
        made.files.extend(because.remove(&host).map(|text| ("origins.json".to_owned(), text)));
    }
    watch(Told::Ended("print"));
    // Whatever else is wrong has been told, with the proof beside it.
    good.then_some(())
}

/// S42: an expectation that holds but for what a stateless bridge takes for replies says so where it stands.
fn stateless(site: &Site, report: &Report, findings: &mut Findings) {
    for proof in &report.expects {
        for machine in proof.replies.iter().filter_map(|host| site.host(*host)) {
            let reason = machine.bridges().find_map(|(_, leg, how)| match how {
                Bridge::Stateless(reason) => Some((reason, leg.span)),
                Bridge::BrNetfilter | Bridge::Stateful | Bridge::Hub => None,
            });
            let Some((reason, at)) = reason else { continue };
            let message = format!(
                "this holds but for what the stateless bridge of `{}` takes for replies",
                machine.name
            );
            findings.push(
                Diagnostic::warning(code::STATELESS_REPLIES, proof.span, message)
                    .also(at, format!("stateless: {reason}"))
                    .help("with `br_netfilter` or `stateful` it holds without an exception"),
            );
        }
    }
}

/// S57: a `deny` that holds by private addresses alone says so where it stands.
fn by_public(site: &Site, report: &Report, findings: &mut Findings) {
    for round in &report.by_public {
        let Some(access) = site.access(round.access) else { continue };
        // Where it does not hold by private addresses either, that has been said.
        if access.waives_lint(code::PUBLIC_WAY.as_str()) || access.waives(Waiver::Deny) {
            continue;
        }
        let message = match &round.packet {
            Some(packet) => format!(
                "this holds by private addresses alone: what {} sends to {}, a public one, gets there",
                packet.src, packet.dst
            ),
            None => "whether this holds by public addresses too could not be decided".to_owned(),
        };
        let written =
            round.packet.as_ref().map_or("PUBLIC-ADDRESS".to_owned(), |packet| packet.dst.to_string());
        let help = format!(
            "take that address from the `allow` that lets out, by `except {written}`: the name of a machine takes its private one alone; and say `expect deny` beside it"
        );
        findings.push(Diagnostic::warning(code::PUBLIC_WAY, access.span, message).help(help));
    }
}

/// What the policy says, if nothing is wrong with it: what it says needlessly is not looked for.
fn understood(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
    watch: Watch<'_>,
) -> Option<Site> {
    let files = resolve::gather(sources, roots, loader, findings);
    sources.settle(loader);
    watch(Told::Ended("parse"));
    // Of nothing, nothing is wrong: a file that was cut off would pass.
    let mut said = files.iter().flat_map(|file| &file.statements);
    if said.all(|one| matches!(one.kind, StatementKind::Include(_))) && !findings.has_errors() {
        let message = "the policy says nothing: its files are empty, or hold comments alone";
        findings.push(Diagnostic::global(code::EMPTY_POLICY, message).help("is it the file that you meant?"));
    }
    let site = resolve::of_declared(&files, sources, loader, &options.set, findings);
    drop(files);
    watch(Told::Ended("resolve"));
    let site = site?;
    if findings.has_errors() {
        // Of the sentences that are whole, what is wrong with their ways is said with what is wrong with the others.
        topology::check(&site, findings);
        return None;
    }
    logins::people(&site, findings);
    watch(Told::Ended("keys"));
    lint::check(&site, options.at, findings);
    watch(Told::Ended("lint"));
    topology::check(&site, findings);
    watch(Told::Ended("topology"));
    if !findings.has_errors() {
        groups::check(&site, findings);
    }
    (!findings.has_errors()).then_some(site)
}

/// A line of `interfaces.json`: what the proof assumes of a machine besides its routes.
#[derive(serde::Serialize)]
struct Interface<'s> {
    interface: Option<&'s str>,
    addresses: &'s [std::net::IpAddr],
    dynamic: bool,
    /// Whether the policy says that it is a bridge.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bridge: bool,
    /// Whether it says that members of its zone reach each other through it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hub: bool,
}

fn interfaces(site: &Site, host: HostId) -> Vec<Interface<'_>> {
    let legs = site.host(host).map(|host| host.legs.as_slice()).unwrap_or_default();
    legs.iter()
        .map(|leg| Interface {
            interface: leg.interface.as_deref(),
            addresses: &leg.addresses,
            dynamic: leg.dynamic,
            bridge: leg.bridge.as_ref().is_some_and(Bridge::has_ports),
            hub: leg.bridge == Some(Bridge::Hub),
        })
        .collect()
}

/// `sysctl.conf` of every machine that has a ruleset, as it is read back from the text that will be written.
fn parameters(
    site: &Site,
    hosts: &mut [HostArtifacts],
    findings: &mut Findings,
) -> Option<BTreeMap<HostId, Settings>> {
    let mut all = BTreeMap::new();
    for (host, settings) in sysctl::emit::emit(site) {
        let text = sysctl::print::print(&settings);
        match sysctl::read::read(&text) {
            Ok(read) => drop(all.insert(host, read)),
            Err(why) => {
                let why = format!("it does not read back: {why}");
                findings.push(unprintable(site, host, "sysctl.conf", &why));
            }
        }
        if let Some(files) = hosts.iter_mut().find(|h| h.host == host).map(|h| &mut h.files) {
            files.push(("sysctl.conf".to_owned(), text));
        }
    }
    (!findings.has_errors()).then_some(all)
}

/// The two files of every director, each as it is read back from the text that will be written.
fn directors(
    site: &Site,
    program: &ir::Program,
    hosts: &mut [HostArtifacts],
    findings: &mut Findings,
) -> Option<()> {
    use target::ipvs::{emit, read};
    let mut emitted = emit::emit(site, &program.balancers);
    for host in hosts {
        let files = emitted.remove(&host.host).unwrap_or_default();
        let text =
            |name: &str| files.iter().find(|(file, _)| file == name).map_or("", |(_, text)| text.as_str());
        let watched = read::keepalived(text(emit::KEEPALIVED)).map(|found| (Balancing::Watched, found));
        let unwatched = read::ipvsadm(text(emit::IPVSADM)).map(|found| (Balancing::Unwatched, found));
        for found in [watched, unwatched] {
            let wrong = match found {
                Ok((how, found)) => verify::misdirected(site, host.host, how, &found),
                Err(why) => Some(why.to_string()),
            };
            let told = wrong.map(|why| unprintable(site, host.host, "what its IPVS is told", &why));
            told.into_iter().for_each(|finding| findings.push(finding));
        }
        host.files.extend(files);
    }
    (!findings.has_errors()).then_some(())
}

/// What of a machine it mostly is that cannot be written.
const RULESET: &str = "the ruleset";

/// Of a machine, `what` of it, and why not.
fn unprintable(site: &Site, host: HostId, what: &str, why: &str) -> Diagnostic {
    let message = format!("{what} cannot be written: {why}");
    match site.host(host) {
        Some(machine) => Diagnostic::error(code::UNPRINTABLE, machine.span, message),
        None => Diagnostic::global(code::UNPRINTABLE, message),
    }
}

fn json(value: &impl serde::Serialize, room: usize) -> String {
    target::nft::json::pretty(value, room).unwrap_or_default()
}
