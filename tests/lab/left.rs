//! Nothing is left of a lab, however it ends.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::common::kernel;
use super::{ends, lab, place};

/// What a lab could leave in the machine it runs on.
fn traces() -> BTreeSet<String> {
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let links = said("ip", &["-br", "link"])
        .into_iter()
        .filter_map(|l| l.split_whitespace().next().map(str::to_owned));
    let named = said("ip", &["netns", "list"]);
    links.chain(named).chain(mounts.lines().map(str::to_owned)).collect()
}

/// Every process that `is_ours` by its folder in `/proc`.
fn processes(is_ours: impl Fn(&Path) -> bool) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let ours = all.filter(|path| path.join("stat").is_file() && is_ours(path));
    ours.map(|path| fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ")).collect()
}

fn of_group(group: u32) -> impl Fn(&Path) -> bool {
    move |path| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        // After the name in brackets: state, parent, group (proc(5)); a zombie is one of ours not yet buried.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut words = rest.split(' ');
        words.next() != Some("Z") && words.nth(1) == Some(group.to_string().as_str())
    }
}

fn eventually_none(what: &str, is_ours: impl Fn(&Path) -> bool) {
    let start = Instant::now();
    loop {
        let left = processes(&is_ours);
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: left are {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A lab that ends with the test, also where that fails.
struct Running(Child);

impl Running {
    fn number(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    /// Waits until it has said this.
    fn says(&mut self, words: &str) {
        let mut said = vec![0; words.len()];
        std::io::Read::read_exact(self.0.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert_eq!(String::from_utf8_lossy(&said), words);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nothing_is_left_of_a_lab_killed_at_any_moment() {
    if !kernel() {
        return;
    }
    let (place, before) = (place(), traces());
    let signals = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    // Moments spread over the time that a whole run takes.
    let start = Instant::now();
    ends(lab(place.path(), &["starter-firewall"]), 0);
    let whole = start.elapsed();
    for (round, signal) in (0u32..16).zip(signals.into_iter().cycle()) {
        let mut command = lab(place.path(), &["starter-firewall"]);
        let command = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = Running(command.spawn().unwrap());
        // Seven steps round a circle of sixteen: early and late moments for every signal.
        std::thread::sleep(whole * (round * 7 % 16) / 16);
        kill(child.number(), signal).unwrap();
        child.0.wait().unwrap();
        eventually_none(&format!("{signal} in round {round}"), of_group(child.0.id()));
        assert_eq!(traces(), before, "{signal} in round {round}");
    }
}

/// As the terminal does it: an interrupt goes to all in front. The program dies of it, and says so; the lab does not.
#[test]
fn an_interrupt_is_the_programs() {
    if !kernel() {
        return;
    }
    let place = place();
    let run = |program: &[&str]| {
        let mut command = lab(place.path(), &["starter-host", "--shell", "web", "--"]);
        let command = command.args(program).process_group(0).stdout(Stdio::piped());
        let mut child = Running(command.spawn().unwrap());
        child.says("up\n");
        std::thread::sleep(Duration::from_millis(300));
        killpg(child.number(), Signal::SIGINT).unwrap();
        child.0.wait().unwrap().code()
    };
    // bash hands on to its children what is blocked.
    assert_eq!(run(&["bash", "-c", "echo up; exec sleep 60"]), Some(130));
    assert_eq!(run(&["bash", "-c", "trap 'sleep 0.2; exit 9' INT; echo up; sleep 60 & wait"]), Some(9));
}

#[test]
fn nothing_is_left_of_a_shell_killed_at_any_moment() {
    if !kernel() {
        return;
    }
    let (place, before) = (place(), traces());
    // A number of seconds that nobody else sleeps.
    let mark = format!("{}.5", 40_000_000 + std::process::id());
    let marked = |path: &Path| {
        let said = fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&said).split('\0').any(|word| word == mark)
    };
    let script = format!("setsid sleep {mark} & sleep {mark} & echo up; sleep {mark}");
    for (round, signal) in (0u64..).zip([Signal::SIGKILL, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT]) {
        let mut command = lab(place.path(), &["starter-host", "--shell", "web", "--", "sh", "-c", &script]);
        let command = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Running(command.spawn().unwrap());
        child.says("up\n");
        std::thread::sleep(Duration::from_millis(round * 30));
        while processes(marked).len() < 2 {
            assert!(child.0.try_wait().unwrap().is_none(), "the programs run while the lab does");
            std::thread::sleep(Duration::from_millis(10));
        }
        if signal == Signal::SIGINT {
            // As the terminal does it: an interrupt is for the program, and its end is the lab's.
            killpg(child.number(), signal).unwrap();
        } else {
            kill(child.number(), signal).unwrap();
        }
        child.0.wait().unwrap();
        eventually_none(&format!("{signal}"), marked);
        eventually_none(&format!("{signal}"), of_group(child.0.id()));
        assert_eq!(traces(), before, "{signal}");
    }
}
