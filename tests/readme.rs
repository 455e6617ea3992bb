//! What `README.md` shows is what happens: its policy and every console block are run, and compared.
//!
//! A block is of lines `$ COMMAND` and what follows on the terminal, data before talk. A line `...` stands for any lines.
//! Commands run in order in one folder with the README's policy as `policy.fw`; those of `cargo run` in the checkout.

#![expect(clippy::disallowed_methods, reason = "runs the program, in a folder of its own")]
#![expect(clippy::unwrap_used, reason = "a README that cannot be run fails")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::kernel;

#[test]
fn the_readme_shows_what_happens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let policy = blocks(&readme, "fw").next().unwrap();
    fs::write(place.path().join("policy.fw"), policy).unwrap();
    let mut compared = 0;
    for block in blocks(&readme, "console") {
        for command in block.split("$ ").filter(|command| !command.trim().is_empty()) {
            let (line, shown) = command.split_once('\n').unwrap();
            let line = line.split("  #").next().unwrap_or(line).trim();
            // Where there is no kernel to ask, that is said, and the rest is compared.
            if line.starts_with("fwc lab") && !kernel() {
                continue;
            }
            let happened = if let Some(args) = line.strip_prefix("fwc ") {
                fwc(place.path(), args)
            } else if let Some(args) = line.strip_prefix("cargo run --release -- ") {
                fwc(root, args)
            } else if let Some(text) =
                line.strip_prefix("echo ").and_then(|l| l.strip_suffix(" >> policy.fw"))
            {
                let path = place.path().join("policy.fw");
                fs::write(
                    &path,
                    format!("{}{}\n", fs::read_to_string(&path).unwrap(), text.trim_matches('\'')),
                )
                .unwrap();
                String::new()
            } else {
                assert!(shown.trim().is_empty(), "nobody runs `{line}`, so nobody knows what it says");
                continue;
            };
            if let Some(why) = unlike(shown, &happened) {
                panic!("README.md, `{line}`: {why}\n----- what happens -----\n{happened}");
            }
            compared += 1;
        }
    }
    assert!(compared > 4);
}

/// An operator reads the first of these after an update, and what is added goes below the last.
#[test]
fn the_changelog_has_its_sections() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md")).unwrap();
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let through = "Fixed: it let through, or proved wrongly";
    let refused = "Fixed: it refused, or said wrongly";
    assert_eq!(sections, ["Act on this", "What it does", through, refused, "Since"]);
}

/// What is shown may leave out lines, where it says so; it invents none.
fn unlike(shown: &str, happened: &str) -> Option<String> {
    let mut rest: Vec<&str> = happened.lines().map(str::trim_end).collect();
    let mut skipping = false;
    for line in shown.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.trim() == "..." {
            skipping = true;
            continue;
        }
        let at = rest.iter().position(|other| *other == line);
        match at {
            Some(0) => {}
            Some(_) if skipping => {}
            _ => return Some(format!("shows `{line}`")),
        }
        rest.drain(..=at.unwrap_or(0));
        skipping = false;
    }
    (!skipping && !rest.is_empty()).then(|| format!("leaves out `{}`", rest.join("\n")))
}

#[test]
fn what_is_unlike_is_seen() {
    let happened = "one\ntwo\nthree\n";
    for (shown, alike) in [
        ("one\ntwo\nthree\n", true),
        ("one\n...\nthree\n", true),
        ("one\n...\n", true),
        ("...\ntwo\nthree\n", true),
        ("one\nthree\n", false),
        ("one\ntwo\n", false),
        ("one\n...\nfour\n", false),
        ("", false),
    ] {
        assert_eq!(unlike(shown, happened).is_none(), alike, "{shown:?}");
    }
}

/// The fenced blocks of a kind, in order.
fn blocks<'t>(text: &'t str, kind: &str) -> impl Iterator<Item = &'t str> {
    let fence = format!("```{kind}\n");
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&fence)?;
        let (block, after) = after.split_once("```")?;
        rest = after;
        Some(block)
    })
}

/// Data, then talk, of one command line; words in double quotes are one.
fn fwc(place: &Path, line: &str) -> String {
    let mut args: Vec<&str> = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 { args.push(part) } else { args.extend(part.split_whitespace()) }
    }
    let run = Command::new(env!("CARGO_BIN_EXE_fwc")).args(args).current_dir(place).output().unwrap();
    String::from_utf8(run.stdout).unwrap() + &String::from_utf8(run.stderr).unwrap()
}
