//! Each command as a person runs it: exit code, stdout and stderr in one snapshot under `snapshots/cli/`.
//!
//! A case is a line of [`CASES`]; its snapshot has its name. `tests/snapshots.rs` finds snapshots without a case.

#![expect(clippy::disallowed_methods, reason = "runs the program, in folders of its own")]
#![expect(clippy::unwrap_used, reason = "a test that cannot make its folder fails")]

mod cases;
mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cases::{CASES, FINDINGS, STORIES, Step};

#[test]
fn commands_answer_as_they_did() {
    let settings = settings("../snapshots/cli");
    for (name, args) in CASES {
        let place = fixtures();
        let shown = frozen(&fwc(place.path(), args, ""));
        settings.bind(|| insta::assert_snapshot!(*name, shown));
    }
}

#[test]
fn findings_look_as_they_did() {
    let settings = settings("../snapshots/diag");
    let place = fixtures();
    for name in FINDINGS {
        let policy = format!("{name}.fw");
        let shown = frozen(&fwc(&place.path().join("diag"), &["check", &policy, "--at", "2026-11-21"], ""));
        settings.bind(|| insta::assert_snapshot!(*name, shown));
    }
}

#[test]
fn stories_end_as_they_did() {
    let settings = settings("../snapshots/cli");
    for (name, steps) in STORIES {
        let place = fixtures();
        let shown: Vec<String> = steps.iter().map(|step| happened(place.path(), step)).collect();
        settings.bind(|| insta::assert_snapshot!(*name, shown.join("\n")));
    }
}

fn settings(path: &str) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(path);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"time: +[0-9.]+ ms, +[0-9.]+ ms CPU", "time: [TIME]");
    settings.add_filter(r"fwc \d+\.\d+\.\d+", "fwc [VERSION]");
    settings
}

fn happened(place: &Path, step: &Step) -> String {
    match step {
        Step::Fwc(args) => format!("$ fwc {}\n{}", args.join(" "), frozen(&fwc(place, args, ""))),
        Step::Tree(folder) => format!("$ find {folder} -type f\n{}", tree(place, Path::new(folder))),
        Step::Edit(file, from, to) => {
            let path = place.join(file);
            let text = fs::read_to_string(&path).unwrap();
            let altered = text.replacen(from, to, 1);
            assert_ne!(text, altered, "{file} has no `{from}`");
            fs::write(&path, altered).unwrap();
            format!("$ # by hand, once in {file}: `{from}` becomes `{to}`\n")
        }
    }
}

/// The files below a folder, sorted, one a line.
fn tree(place: &Path, folder: &Path) -> String {
    let mut paths: Vec<_> = fs::read_dir(place.join(folder))
        .unwrap()
        .map(|entry| folder.join(entry.unwrap().file_name()))
        .collect();
    paths.sort();
    let line = |path: &std::path::PathBuf| {
        if place.join(path).is_dir() { tree(place, path) } else { format!("{}\n", path.display()) }
    };
    paths.iter().map(line).collect()
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fwc"))
        .args(["explain"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}

/// A signal that comes while the build is beside its place waits until it is there, or is away again.
#[test]
fn an_interrupted_build_leaves_nothing_beside_it() {
    let place = fixtures();
    let mut interrupted = 0;
    for round in 0..40 {
        let mut run = Command::new(env!("CARGO_BIN_EXE_fwc"))
            .args(["compile", "policies/crm", "-o", &format!("out{round}")])
            .current_dir(place.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let is_staged = || !beside(place.path()).is_empty();
        let ended = loop {
            if is_staged() {
                let pid = nix::unistd::Pid::from_raw(i32::try_from(run.id()).unwrap());
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
                break run.wait().unwrap();
            }
            if let Some(ended) = run.try_wait().unwrap() {
                break ended;
            }
        };
        interrupted += usize::from(ended.code().is_none());
        assert_eq!(beside(place.path()), [""; 0], "round {round}");
    }
    assert!(interrupted > 0, "no signal came in time");
}

/// What stands beside builds under a name of a stage.
fn beside(place: &Path) -> Vec<String> {
    let names = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".out")).collect()
}

#[test]
fn a_full_disk_is_said() {
    let place = fixtures();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_fwc"))
        .args(["explain", "syntax"])
        .current_dir(place.path())
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(said.starts_with("error: the answer could not be written: No space left on device"), "{said}");
}

#[test]
fn nobody_gets_colour_who_is_no_terminal() {
    let place = fixtures();
    for args in [&["explain", "nothing"][..], &["--help"], &["check", "unknown.fw"], &["nonsense"]] {
        let output = fwc(place.path(), args, "");
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{args:?}");
    }
}

/// Runs the program in a folder, with this stdin.
fn fwc(place: &Path, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fwc"))
        .args(args)
        .current_dir(place)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// A copy of `tests/cli/` and of `policies/`, so that a case may write.
fn fixtures() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    common::copy_all(&root.join("tests/cli"), place.path());
    common::copy_all(&root.join("policies"), &place.path().join("policies"));
    place
}

fn frozen(output: &Output) -> String {
    let exit = match output.status.code() {
        Some(0) => "0 (fine)".to_owned(),
        Some(1) => "1 (at fault)".to_owned(),
        Some(2) => "2 (failed)".to_owned(),
        other => format!("{other:?} (never)"),
    };
    let trimmed = |bytes: &[u8]| -> String {
        String::from_utf8_lossy(bytes).lines().map(|line| format!("{}\n", line.trim_end())).collect()
    };
    let (stdout, stderr) = (trimmed(&output.stdout), trimmed(&output.stderr));
    format!("exit: {exit}\n----- stdout -----\n{stdout}----- stderr -----\n{stderr}")
}
