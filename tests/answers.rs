//! Everything that fwc writes for programs is on `docs/json.md`, as what it is said to be, and what is on that page is written:
//! the cases and stories of `tests/cli.rs` with `--format json`, and some more for what these never say. `tests/apply/answers.rs` and
//! `tests/bastion/answers.rs` hold what needs a machine to itself.

#![expect(clippy::disallowed_methods, reason = "runs the program, in folders of its own")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it did"
)]

mod cases;
mod common;
mod contract;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use cases::{CASES, STORIES, Step};
use common::kernel;
use contract::{Page, Seen};

/// Commands that have answers for programs.
const ANSWERS: [&str; 11] =
    ["check", "compile", "verify", "trace", "matrix", "reach", "diff", "lab", "plan", "explain", "fmt"];

/// The same of two words.
const OF_TWO_WORDS: [[&str; 2]; 3] = [["import", "aws"], ["bastion", "lint"], ["bastion", "prove"]];

/// Sections that other tests hold.
const ELSEWHERE: [&str; 9] = [
    "fwc.plan/1",
    "fwc.status/1",
    "fwc.drift/1",
    "generation",
    "parameter that was turned",
    "fwc.bastion.check/1",
    "fwc.bastion.status/1",
    "fwc.bastion.audit/1",
    "fwc.bastion.serve/1",
];

/// Fields that no case writes, and why.
const NEVER: &[(&str, &str)] = &[
    ("`attach` of fwc.aws.plan/1", ATTACH),
    ("`attach[].groups` of fwc.aws.plan/1", ATTACH),
    ("`attach[].interface` of fwc.aws.plan/1", ATTACH),
    ("`packets[].reply.at` of fwc.lab/1", KERNEL),
    ("`packets[].reply.next_at` of fwc.lab/1", KERNEL),
    ("`undecided[].because` of people", "the ways to one machine would have to be more than can be followed"),
    ("`undecided[].host` of people", "likewise"),
    ("`settings[].wrong[].because` of proof", SETTINGS),
    ("`settings[].wrong[].found` of proof", SETTINGS),
    ("`settings[].wrong[].key` of proof", SETTINGS),
    ("`settings[].wrong[].wanted` of proof", SETTINGS),
];

const ATTACH: &str = "it takes an account that was changed several times: tests/aws/parts.rs";
const KERNEL: &str = "the kernel would have to do otherwise than policy and simulator";
const SETTINGS: &str = "of its own sysctl.conf fwc would have to be wrong: tests/mutants";

#[test]
fn what_is_written_is_on_the_page_and_what_is_on_the_page_is_written() {
    let page = Page::read();
    let mut seen = Seen::default();
    let mut faults = Vec::new();
    let mut told = |place: &Path, args: &[&str], seen: &mut Seen| {
        let args = for_programs(args);
        let done = Command::new(env!("CARGO_BIN_EXE_fwc")).args(&args).current_dir(place).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let asks_help = args.contains(&"--help");
        if !args.contains(&"json") || asks_help || text.is_empty() || is_of_others(&args) {
            return;
        }
        let value = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{args:?}: {why}: {text}"));
        faults.extend(
            page.answer(&value, seen).into_iter().map(|fault| format!("{}: {fault}", args.join(" "))),
        );
    };
    let asks = |args: &[&str]| args.first() != Some(&"lab") || kernel();
    for (_, args) in CASES.iter().filter(|(_, args)| asks(args)) {
        told(fixtures().path(), args, &mut seen);
    }
    for (_, steps) in STORIES {
        let place = fixtures();
        for step in *steps {
            match step {
                Step::Fwc(args) => told(place.path(), args, &mut seen),
                Step::Tree(_) => {}
                Step::Edit(file, from, to) => edit(&place.path().join(file), from, to),
            }
        }
    }
    let place = fixtures();
    for args in MORE.iter().filter(|args| asks(args)) {
        told(place.path(), args, &mut seen);
    }
    // A bridge that lets no ARP pass.
    let bridged = "builds/lxc/hosts/lxc/ruleset.nft";
    edit(&place.path().join(bridged), "priority -194; policy accept;", "priority -194; policy drop;");
    told(place.path(), &["verify", "--against", bridged, "--host", "lxc", "policies/lxc"], &mut seen);
    for file in ["manifest.json", "origins.json", "routes.json", "interfaces.json"] {
        for build in BUILDS {
            files(&place.path().join(build), &mut |path| {
                if path.file_name().is_some_and(|name| name == file) {
                    let value = read(path);
                    faults.extend(page.file(file, &value, &mut seen));
                }
            });
        }
    }
    let plan = read(&place.path().join("builds/aws/aws/plan.json"));
    faults.extend(page.file("fwc.aws.plan/1", &plan, &mut seen));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let asked = |title: &str| kernel() || !["fwc.lab/1", "opinion"].contains(&title);
    let unwritten = page.unwritten(&seen, |title| asked(title) && !ELSEWHERE.contains(&title));
    let never = NEVER.iter().map(|(field, _)| *field).filter(|field| kernel() || !field.contains("fwc.lab"));
    let never: Vec<&str> = never.collect();
    let missing: Vec<&String> = unwritten.iter().filter(|field| !never.contains(&field.as_str())).collect();
    assert!(missing.is_empty(), "on the page, and never written:\n{missing:#?}");
    let stale: Vec<&&str> =
        never.iter().filter(|field| !unwritten.iter().any(|one| one == **field)).collect();
    assert!(stale.is_empty(), "said never to be written, and written: {stale:#?}");
}

/// Builds that [`MORE`] writes.
const BUILDS: [&str; 3] = ["builds/crm", "builds/lxc", "builds/gateway"];

/// What no case and no story asks, in order, in one folder.
const MORE: &[&[&str]] = &[
    &["explain"],
    &["matrix", "site.fw"],
    &["reach", "site.fw", "who can reach web"],
    &["compile", "-o", "builds/crm", "policies/crm"],
    &["compile", "-o", "builds/lxc", "policies/lxc"],
    &["compile", "-o", "builds/gateway", "json/gateway.fw"],
    &["compile", "-o", "builds/aws", "aws.fw"],
    &["verify", "policies/lxc-stateless"],
    &["verify", "policies/crm-aws"],
    &["lab", "site.fw"],
    &["diff", "site.fw", "policies/crm"],
    &["diff", "--branches", "3", "site.fw", "policies/crm"],
    &["diff", "door.fw", "site.fw"],
    &["diff", "json/before", "json/after"],
    &["trace", "policies/lvs", "tcp 8000 from 203.0.113.9 to 192.168.100.1"],
    &["verify", "json/assuming.fw"],
    // Where there is no answer.
    &["compile", "--check", "builds/crm", "wrong.fw"],
    &["plan", "--aws-live", "aws/monday", "refuted.fw"],
    &["verify", "--aws-live", "aws/monday", "wrong.fw"],
    &["verify", "--aws-live", "json/elsewhere", "aws.fw"],
    &["verify", "--beside", "beside.nft", "wrong.fw"],
];

/// A command line with `--format json`, where it has none and may.
fn for_programs<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let words = match args {
        [one, ..] if ANSWERS.contains(one) => 1,
        [one, other, ..] if OF_TWO_WORDS.contains(&[*one, *other]) => 2,
        _ => return args.to_vec(),
    };
    let mut args = args.to_vec();
    if let Some(at) = args.iter().position(|arg| *arg == "--format") {
        args.drain(at..at + 2);
    }
    args.splice(words..words, ["--format", "json"]);
    args
}

/// Whether what is printed is nft's.
fn is_of_others(args: &[&str]) -> bool {
    args.first() == Some(&"compile")
        && args.contains(&"--host")
        && !args.contains(&"-o")
        && !args.contains(&"--check")
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} has no `{from}`", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn files(folder: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, each) } else { each(&path) }
    }
}

/// A copy of `tests/cli/`, of `policies/` and of `tests/json/`, so that a case may write.
fn fixtures() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    common::copy_all(&common::root().join("tests/cli"), place.path());
    common::copy_all(&common::root().join("policies"), &place.path().join("policies"));
    common::copy_all(&common::root().join("tests/json"), &place.path().join("json"));
    place
}

/// The log of the jump server is held line by line where its tests read it (`tests/serve/yard.rs`); that no field stands on the page
/// that it never writes is looked up in its sources, for each of those tests has a log of its own.
#[test]
fn every_field_of_the_log_is_written_somewhere() {
    let mut sources = fs::read_to_string(common::root().join("src/bastion/serve.rs")).unwrap();
    files(&common::root().join("src/bastion/serve"), &mut |path| {
        sources += &fs::read_to_string(path).unwrap();
    });
    let page = Page::read();
    let fields = page.fields_of("fwc.bastion.serve/1");
    assert!(fields.len() > 20, "{fields:?}");
    for field in fields {
        let words = [format!("\"{field}\": "), format!("\"{field}\".to_owned()")];
        assert!(words.iter().any(|words| sources.contains(words)), "nothing writes `{field}`");
    }
}

/// The page is read as it is meant to be: what is not on it, of another type, absent, or never written is found.
#[test]
fn the_page_bites() {
    let page = Page::of(
        "### `fwc.a/1`\n| field | is | says |\n|---|---|---|\n| `of` | list of [part](#part) or null | x |\n\
         | `n` | number, absent at times | x |\n| `m` | object | x |\n| `m.*` | string | x |\n| `l` | list of strings | x |\n\
         ### part\n| `x` | bool | x |\n",
    );
    let faults = |text: &str| page.answer(&serde_json::from_str(text).unwrap(), &mut Seen::default()).len();
    let fine = r#"{"format":"fwc.a/1","of":[{"x":true}],"n":1,"m":{"anything":"a"},"l":["a"]}"#;
    assert_eq!(faults(fine), 0);
    for (from, to, wrong) in [
        (r#""n":1,"#, "", 0),
        (r#"[{"x":true}]"#, "null", 0),
        (r#""n":1"#, r#""n":null"#, 1),
        (r#""n":1"#, r#""nn":1"#, 1),
        (r#"{"x":true}"#, r#"{"x":true,"y":1}"#, 1),
        (r#"{"x":true}"#, "{}", 1),
        (r#"{"x":true}"#, "7", 1),
        (r#"["a"]"#, "[1]", 1),
        (r#"{"anything":"a"}"#, r#"{"anything":1}"#, 1),
        (r#""fwc.a/1""#, r#""fwc.a/2""#, 1),
        (r#""format":"fwc.a/1","#, "", 1),
    ] {
        assert!(fine.contains(from), "{from}");
        assert_eq!(faults(&fine.replace(from, to)), wrong, "{from} -> {to}");
    }
    let mut seen = Seen::default();
    page.answer(&serde_json::from_str(&fine.replace(r#""n":1,"#, "")).unwrap(), &mut seen);
    assert_eq!(page.unwritten(&seen, |_| true), ["`n` of fwc.a/1"]);
}
