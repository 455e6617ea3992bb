//! What a command means, once its arguments are read: sources, options, and the stages' times.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::compile::{Compiled, Options, Told};
use crate::diag::{Findings, Severity};
use crate::model::Site;
use crate::source::{FileId, SourceMap};

use super::files::Files;
use super::options::{FindingsFormat, PolicyArgs};
use super::render::{self, Look};
use super::{Console, Exit, Failure, engine, instant};

/// A policy that was read, and what was found in it.
pub(super) struct Request {
    /// The texts, included ones once the policy was looked at.
    pub(super) sources: SourceMap,
    /// What was found.
    pub(super) findings: Findings,
    /// What it depends on besides.
    pub(super) options: Options,
    roots: Vec<FileId>,
    /// The text that a question became, and the question as it was said.
    question: Option<(FileId, String)>,
    files: Files,
    timings: Timings,
}

impl Request {
    /// Reads the policies that the arguments name.
    pub(super) fn read(args: PolicyArgs) -> Result<Self, Failure> {
        let timings = Timings::new(args.depends.timings);
        let (mut files, mut sources) = (Files::default(), SourceMap::default());
        let roots = files.roots(&args.policies, &mut sources)?;
        timings.hear(Told::Ended("open"));
        let options = Options {
            set: args.depends.set,
            at: args.depends.at.unwrap_or_else(instant::now),
            ..Options::default()
        };
        Ok(Self { sources, findings: Findings::default(), options, roots, question: None, files, timings })
    }

    /// Adds a text to what is read: a question, in the words of the policy. `said` is the question as it was said.
    pub(super) fn ask(&mut self, text: String, said: &str) {
        let question = self.sources.add("<question>", text);
        self.roots.push(question);
        self.question = Some((question, said.to_owned()));
    }

    /// The findings as they are told: what is wrong with a question is said of what was typed, not of the text that it
    /// became.
    pub(super) fn told(&self) -> Cow<'_, Findings> {
        let Some((question, said)) = &self.question else { return Cow::Borrowed(&self.findings) };
        let mut told = Findings::default();
        for finding in self.findings.sorted() {
            let mut finding = finding.clone();
            if finding.primary.as_ref().is_some_and(|label| label.span.file == *question) {
                (finding.primary, finding.secondary, finding.fix) = (None, Vec::new(), None);
                finding.message = format!("{}, in `{said}`", finding.message);
            }
            told.push(finding);
        }
        Cow::Owned(told)
    }

    /// Whether the question is all that is wrong: the policy is not at fault then.
    pub(super) fn misasked(&self) -> bool {
        let Some((question, _)) = &self.question else { return false };
        let errors = self.findings.sorted().into_iter().filter(|found| found.severity == Severity::Error);
        let mut files = errors.map(|found| found.primary.as_ref().map(|label| label.span.file)).peekable();
        files.peek().is_some() && files.all(|file| file == Some(*question))
    }

    /// Understands the policy, proving nothing. None where there are errors.
    #[cfg(feature = "bastion")]
    pub(super) fn understand(&mut self) -> Option<Site> {
        let Self { sources, findings, options, roots, files, timings, .. } = self;
        let hear = |told| timings.hear(told);
        engine::asked(sources, roots, files, options, findings, &hear, |_| ()).map(|(site, ())| site)
    }

    /// Looks for every finding. None where there are errors in what the policy says.
    pub(super) fn check(&mut self) -> Option<Site> {
        let Self { sources, findings, options, roots, files, timings, .. } = self;
        engine::checked(sources, roots, files, options, findings, &|told| timings.hear(told))
    }

    /// Understands the policy, and makes of it what `ask` does, in a stage of this name. None where there are errors.
    pub(super) fn asked<T>(
        &mut self,
        stage: &'static str,
        ask: impl FnOnce(&Site) -> T,
    ) -> Option<(Site, T)> {
        let Self { sources, findings, options, roots, files, timings, .. } = self;
        let ask = |site: &Site| {
            let answer = ask(site);
            timings.hear(Told::Ended(stage));
            answer
        };
        engine::asked(sources, roots, files, options, findings, &|told| timings.hear(told), ask)
    }

    /// Compiles and proves. None where there are errors.
    pub(super) fn compile(&mut self) -> Option<Compiled> {
        let Self { sources, findings, options, roots, files, timings, .. } = self;
        engine::compile(sources, roots, files, options, findings, &|told| timings.hear(told))
    }

    /// The same for the proof alone: nothing of it is written.
    pub(super) fn prove(&mut self) -> Option<Compiled> {
        self.options.proof_alone = true;
        self.compile()
    }

    /// The same for another question than whether the expectations hold.
    pub(super) fn prove_for_question(&mut self) -> Option<Compiled> {
        self.options.question_alone = true;
        self.prove()
    }

    /// Names the stage that just ended.
    pub(super) fn mark(&mut self, stage: &'static str) {
        self.timings.hear(Told::Ended(stage));
    }

    /// Says the times, where asked for.
    pub(super) fn tell_timings(&self, console: &mut Console<'_>) {
        self.timings.tell(console);
    }

    /// Findings as talk.
    pub(super) fn tell_findings(&self, console: &mut Console<'_>) {
        let look = Look { colour: console.colour_err(), width: console.width() };
        console.talk(&render::findings(&self.told(), &self.sources, FindingsFormat::Text, look));
    }

    /// How the command ends. A middle that gives up without saying why would be a bug, and no success.
    pub(super) fn finished(&self, understood: bool) -> Result<Exit, Failure> {
        match (understood, self.findings.has_errors()) {
            (_, true) if self.misasked() => Ok(Exit::Failed),
            (_, true) => Ok(Exit::AtFault),
            (true, false) => Ok(Exit::Fine),
            (false, false) => Err(Failure::new("the policy could not be compiled, and no finding says why")
                .help("this is a bug of fwc: please report it with the policy")),
        }
    }
}

/// How long each stage took, by the clock and of processors, all its turns together: for people alone, never part of
/// an artifact.
struct Timings {
    wanted: bool,
    begun: (Instant, Duration),
    home: ThreadId,
    /// Each with whether other threads alone told of it.
    stages: Mutex<Vec<(bool, &'static str, [Duration; 2])>>,
}

thread_local! {
    /// When this thread's last stage ended, and what the thread had had of processors then.
    static LAST: Cell<(Instant, Duration)> = Cell::new((Instant::now(), processors(ClockId::CLOCK_THREAD_CPUTIME_ID)));
}

impl Timings {
    fn new(wanted: bool) -> Self {
        let timings = Self {
            wanted,
            begun: (Instant::now(), processors(ClockId::CLOCK_PROCESS_CPUTIME_ID)),
            home: thread::current().id(),
            stages: Mutex::new(Vec::new()),
        };
        timings.hear(Told::Begun);
        timings
    }

    fn hear(&self, told: Told) {
        let now = (Instant::now(), processors(ClockId::CLOCK_THREAD_CPUTIME_ID));
        let last = LAST.replace(now);
        let Told::Ended(stage) = told else { return };
        let took = [now.0.duration_since(last.0), now.1.saturating_sub(last.1)];
        // A thread that panicked while it told of a stage has ended the run.
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = thread::current().id() != self.home;
        match stages.iter().position(|(_, known, _)| *known == stage) {
            // It stands where this thread told of it first.
            Some(at) if !beside && stages.get(at).is_some_and(|known| known.0) => {
                let (.., sum) = stages.remove(at);
                stages.push((false, stage, added(sum, took)));
            }
            Some(at) => stages.get_mut(at).into_iter().for_each(|(.., sum)| *sum = added(*sum, took)),
            None => stages.push((beside, stage, took)),
        }
    }

    /// Those of other threads last: which thread ends first is chance. Stages that ran beside each other take less by
    /// the clock, all together, than their sum.
    fn tell(&self, console: &mut Console<'_>) {
        if !self.wanted {
            return;
        }
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.sort_by_key(|(beside, ..)| *beside);
        let used = processors(ClockId::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(self.begun.1);
        let total = (true, "all", [self.begun.0.elapsed(), used]);
        for (_, stage, took) in stages.iter().chain([&total]) {
            let [wall, cpu] = took.map(|took| {
                let micros = took.as_micros();
                format!("{}.{:03} ms", micros / 1000, micros % 1000)
            });
            console.talk(&format!("time: {wall:>14}, {cpu:>14} CPU  {stage}\n"));
        }
    }
}

fn added(sum: [Duration; 2], took: [Duration; 2]) -> [Duration; 2] {
    let ([wall, cpu], [more, again]) = (sum, took);
    [wall.saturating_add(more), cpu.saturating_add(again)]
}

/// What this process, or thread, has had of processors so far, user and system together (clock_gettime(2)).
fn processors(of: ClockId) -> Duration {
    of.now().map_or(Duration::ZERO, Duration::from)
}
