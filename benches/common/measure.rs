//! What a whole process cost: seconds of a processor and peak resident memory, medians of several runs.
//!
//! A process is measured from a wrapper that starts nothing else: the bench itself, started again with `--measure`.
//! `getrusage(RUSAGE_CHILDREN)` there is the process alone, with what it waited for.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Runs of which the median is taken.
pub(crate) const RUNS: usize = 5;

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// By the clock.
    pub(crate) wall: Duration,
    /// Peak resident memory, kB.
    pub(crate) peak: i64,
}

/// The first thing of every `main`: whether the bench is to run. Where the bench was started as a wrapper, it is one,
/// and does not come back.
pub(crate) fn asked() -> bool {
    let args: Vec<_> = std::env::args_os().collect();
    if let [_, mode, program, rest @ ..] = args.as_slice()
        && mode == "--measure"
    {
        wrap(program, rest);
    }
    args.iter().any(|arg| arg == "--bench")
}

/// Whether a row is wanted: `FWC_BENCH` is a part of its name, or is not set.
pub(crate) fn wanted(row: &str) -> bool {
    std::env::var("FWC_BENCH").map_or(true, |part| row.contains(&part))
}

fn wrap(program: &OsStr, args: &[std::ffi::OsString]) -> ! {
    let start = Instant::now();
    let code = Command::new(program).args(args).status().map_or(127, |done| done.code().unwrap_or(126));
    let (wall, used) = (start.elapsed(), getrusage(UsageWho::RUSAGE_CHILDREN).unwrap());
    eprintln!("\nmeasured {code} {} {} {}", cpu(&used).as_micros(), wall.as_micros(), used.max_rss());
    std::process::exit(0)
}

fn cpu(used: &Usage) -> Duration {
    let micros = used.user_time().num_microseconds().saturating_add(used.system_time().num_microseconds());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// The time that this process has had of processors so far.
pub(crate) fn own_cpu() -> Duration {
    cpu(&getrusage(UsageWho::RUSAGE_SELF).unwrap())
}

/// What a process is to be started with, how it is to end, and what it then has said.
pub(crate) struct Run<'a> {
    /// The program.
    pub(crate) program: &'a str,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// The folder it runs in.
    pub(crate) dir: &'a std::path::Path,
    /// Exit codes that mean it did its work.
    pub(crate) fine: &'a [i32],
}

impl Run<'_> {
    /// The median by CPU of [`RUNS`] runs, with what the last said on both streams. A run that ends otherwise ends the
    /// bench: a figure of a program that failed is none.
    pub(crate) fn median(&self) -> (Cost, String) {
        let mut all = Vec::new();
        let mut said = String::new();
        while all.len() < RUNS {
            let (cost, words) = self.once();
            said = words;
            // A second of work is repeated less: the spread of long runs is small.
            let slow = cost.cpu > Duration::from_secs(10);
            all.push(cost);
            if slow {
                break;
            }
        }
        all.sort_by_key(|cost| cost.cpu);
        (all[all.len() / 2], said)
    }

    fn once(&self) -> (Cost, String) {
        let done = Command::new(std::env::current_exe().unwrap())
            .arg("--measure")
            .arg(self.program)
            .args(&self.args)
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let talk = String::from_utf8_lossy(&done.stderr).into_owned();
        let line = talk.lines().rev().find(|line| line.starts_with("measured ")).unwrap();
        let numbers: Vec<i64> = line.split(' ').skip(1).map(|n| n.parse().unwrap()).collect();
        let [code, cpu, wall, peak] = numbers.as_slice() else { panic!("{line}") };
        let micros = |n: i64| Duration::from_micros(u64::try_from(n).unwrap());
        let said = format!("{talk}{}", String::from_utf8_lossy(&done.stdout));
        let start: String = said.chars().take(2_000).collect();
        assert!(
            self.fine.iter().any(|fine| i64::from(*fine) == *code),
            "{} {:?}: {start}",
            self.program,
            self.args
        );
        (Cost { cpu: micros(*cpu), wall: micros(*wall), peak: *peak }, said)
    }
}

/// Processor time of work in this process that is never the same twice, per turn.
pub(crate) fn per_turn_of(turns: usize, mut work: impl FnMut()) -> Duration {
    let start = own_cpu();
    for _ in 0..turns {
        work();
    }
    own_cpu().saturating_sub(start) / u32::try_from(turns).unwrap()
}

/// The CPU seconds of a stage, as `--timings` says them; of `all`, the whole.
pub(crate) fn stage(said: &str, name: &str) -> Option<f64> {
    said.lines().filter_map(|line| line.strip_prefix("time: ")).find_map(|line| {
        let (_, rest) = line.split_once(" ms, ")?;
        let (cpu, stage) = rest.split_once(" ms CPU")?;
        (stage.trim() == name).then(|| cpu.trim().parse::<f64>().ok().map(|ms| ms / 1_000.0))?
    })
}

/// One line of a table.
pub(crate) fn row(what: &str, cost: Cost, bound: &str) {
    println!(
        "{what:<58} {:>8.3} s CPU {:>8.3} s wall {:>6.0} MB   {bound}",
        cost.cpu.as_secs_f64(),
        cost.wall.as_secs_f64(),
        cost.peak as f64 / 1024.0
    );
}
