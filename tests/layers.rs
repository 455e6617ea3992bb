//! Who may use whom. The table of `ARCHITECTURE.md` as data, held against the sources; and what else a reader may
//! count on in every file: a `//!` header, a length.

#![expect(clippy::disallowed_methods, reason = "reads the sources of fwc")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a source that cannot be read fails the test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a module may use, besides itself. A module of two names is a part of its folder: `target::sim` is that of
/// each target; who may use `target` may use all parts of all, but for `verify`. `*` is all but `cli`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("diag", &["source"]),
    ("net", &[]),
    // One file replaced on a disk: below whoever writes files.
    ("durable", &[]),
    ("syntax", &["source", "diag", "net"]),
    ("model", &["source", "net"]),
    ("resolve", &["source", "diag", "net", "syntax", "model"]),
    ("topology", &["source", "diag", "net", "model"]),
    ("lint", &["source", "diag", "net", "model", "topology"]),
    ("forwarding", &["net", "model"]),
    ("spec", &["net", "model", "forwarding"]),
    ("ir", &["net", "model"]),
    // Both on one side of the independence rule: lowering arranges what it makes.
    ("lower", &["net", "model", "topology", "ir", "opt"]),
    ("opt", &["net", "model", "topology", "ir"]),
    ("target", &["net", "target"]),
    ("target::artifact", &["net"]),
    ("target::print", &["net", "target::artifact"]),
    ("target::read", &["net", "target::artifact"]),
    ("target::sim", &["net", "target::artifact"]),
    // What a target would refuse; of a call, as it is read.
    ("target::validate", &["net", "target::artifact", "target::read"]),
    ("target::exposure", &["net", "target::artifact"]),
    ("target::fit", &["net", "target::artifact"]),
    ("target::mutate", &["net", "target::artifact"]),
    // Reads back what it plans, and looks at what that does.
    (
        "target::plan",
        &["net", "target::artifact", "target::read", "target::print", "target::sim", "target::validate"],
    ),
    ("target::drift", &["net", "target::artifact", "target::sim", "target::plan"]),
    // It holds what it emits to the quotas, and to what the target takes.
    ("target::emit", &["diag", "net", "model", "ir", "target::artifact", "target::fit", "target::validate"]),
    // Of `target` what is none of its parts.
    (
        "verify",
        &[
            "source",
            "net",
            "model",
            "forwarding",
            "spec",
            "target",
            "target::artifact",
            "target::read",
            "target::sim",
        ],
    ),
    // The jump server reads what an sshd reads.
    (
        "bastion",
        // `apply` finds out over which connection somebody came, and holds a build against its manifest.
        &[
            "source",
            "diag",
            "net",
            "model",
            "durable",
            "apply",
            "target::artifact",
            "target::read",
            "target::sim",
        ],
    ),
    ("lab", &["diag", "net", "model", "forwarding", "target"]),
    ("apply", &["diag", "net", "target", "lab", "durable"]),
    ("compile", &["*"]),
    ("cli", &["*"]),
    ("lib", &[]),
    ("main", &["cli"]),
];

/// No file is longer: a reader holds it in mind.
const MOST_LINES: usize = 800;

#[test]
fn modules_use_only_what_they_may() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let module = module_of(&name);
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == module) else {
            wrong.push(format!("{name}: the table has no module `{module}`"));
            continue;
        };
        for used in uses(&name, &text) {
            let inside = used == module || module.split("::").next() == Some(used.as_str());
            let all_parts = used.starts_with("target::") && allowed.contains(&"target") && module != "verify";
            let all = allowed.contains(&"*") && used != "cli";
            if !inside && !all_parts && !all && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{name}: `{module}` may not use `{used}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A row that is of no file forbids nothing.
#[test]
fn every_row_is_of_some_file() {
    let of: Vec<String> = sources().keys().map(|name| module_of(name)).collect();
    let dead: Vec<&str> =
        MAY_USE.iter().map(|(row, _)| *row).filter(|row| !of.iter().any(|m| m == row)).collect();
    assert!(dead.is_empty(), "no file belongs to {dead:?}");
}

/// The first table of `ARCHITECTURE.md` says the same: each row of the modules that it names, word by word.
#[test]
fn the_architecture_says_the_same() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let table = page.split("## Code map").nth(1).unwrap().split("\n\n").nth(1).unwrap();
    let said: BTreeMap<String, (Vec<String>, bool)> = table
        .lines()
        .skip(2)
        .map(|row| row.split(" | ").collect::<Vec<_>>())
        .flat_map(|row| {
            let may = (named(row[2]), row[2].starts_with("all"));
            named(row[0]).into_iter().map(move |module| (module, may.clone()))
        })
        .collect();
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_USE.iter().filter(|(module, _)| !["lib", "main"].contains(module)) {
        let all = allowed.contains(&"*");
        let mut allowed: Vec<String> = allowed.iter().map(|used| last(used)).collect();
        allowed.sort();
        match said.get(&last(module)) {
            Some((_, true)) if all => {}
            Some((used, false)) if !all && *used == allowed => {}
            Some((used, _)) => wrong.push(format!("`{module}` may use {allowed:?}; its row says {used:?}")),
            None => wrong.push(format!("`{module}` has no row")),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The modules that a cell names, sorted: of `target::*::{read,sim}` the parts.
fn named(cell: &str) -> Vec<String> {
    let tokens = tokens(cell);
    let mut found: Vec<String> = Vec::new();
    for (at, word) in tokens.iter().enumerate() {
        let folder = tokens.get(at + 1).is_some_and(|next| next == "::");
        if !folder && MAY_USE.iter().any(|(module, _)| last(module) == *word) {
            found.push(word.clone());
        }
    }
    found.sort();
    found
}

/// `target::sim` as `sim`.
fn last(module: &str) -> String {
    module.trim_start_matches("target::").to_owned()
}

/// Said apart from the table, since the promise of fwc hangs on it.
#[test]
fn the_meaning_shares_nothing_with_the_compiler() {
    for (module, allowed) in MAY_USE {
        if [
            "spec",
            "forwarding",
            "verify",
            "target::sim",
            "target::read",
            "target::artifact",
            "target::validate",
            "target::exposure",
        ]
        .contains(module)
        {
            for compiler in ["topology", "lower", "opt", "ir", "target::emit", "target::print", "*"] {
                assert!(!allowed.contains(&compiler), "`{module}` may use `{compiler}`");
            }
        }
    }
}

#[test]
fn only_syntax_knows_pest() {
    for (name, text) in sources() {
        let knows = code(&text).contains("pest");
        assert!(!knows || module_of(&name) == "syntax", "{name} mentions pest");
    }
}

/// Every crate has its line in record 1, and every line its crate.
#[test]
fn record_1_names_every_dependency() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let sections =
        cargo.split("\n[").filter(|s| s.starts_with("dependencies]") || s.starts_with("dev-dependencies]"));
    let mut used: Vec<&str> = sections
        .flat_map(|section| section.lines().filter_map(|line| line.split_once(" = ")))
        .map(|(name, _)| name)
        .collect();
    used.sort_unstable();
    used.dedup();
    let record = fs::read_to_string(root.join("docs/decisions/0001-dependencies.md")).unwrap();
    let cells = record.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    let mut named: Vec<&str> =
        cells.flat_map(|(cell, _)| cell.split(", ").map(|name| name.trim_matches('`'))).collect();
    named.sort_unstable();
    assert!(used.len() > 20, "{used:?}");
    assert_eq!(used, named);
}

/// The index of the records names each of them, by its own title.
#[test]
fn every_record_is_in_the_index() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let text = fs::read_to_string(folder.join(&name)).unwrap();
        let Some((number, title)) = text.lines().next().unwrap().trim_start_matches("# ").split_once(". ")
        else {
            assert_eq!(name, "README.md");
            continue;
        };
        assert!(index.contains(&format!("| {number} | [{title}]({name}) |")), "{name}");
    }
}

/// Effects are at the edge: whatever is below it has no file, no environment, no process, no socket and no clock.
#[test]
fn the_middle_has_no_effects() {
    let edge = ["cli", "lab", "apply", "bastion", "durable", "main"];
    for (name, text) in sources().into_iter().filter(|(name, _)| !edge.contains(&module_of(name).as_str())) {
        let words = tokens(&without_tests(&code(&text)));
        let reached = words.windows(3).any(|path| {
            path[0] == "std" && path[1] == "::" && ["fs", "env", "process", "{"].contains(&path[2].as_str())
        });
        assert!(!reached, "{name} uses files, the environment or processes");
        let world = ["Instant", "SystemTime", "TcpStream", "TcpListener", "UdpSocket", "UnixStream"];
        let met = words.iter().find(|word| world.contains(&word.as_str()));
        assert!(met.is_none(), "{name} uses {met:?}");
    }
}

#[test]
fn files_have_headers_and_a_length() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        if !text.starts_with("//!") {
            wrong.push(format!("{name} does not open with `//!`"));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{name} has {lines} lines, more than {MOST_LINES}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The reader of uses, held against what it must see and must not.
#[test]
fn uses_are_seen() {
    let seen = |name: &str, text: &str| uses(name, text).join(" ");
    assert_eq!(
        seen("spec.rs", "use crate::net::{Packet, Proto};\nfn f() { crate::model::x() }"),
        "model net"
    );
    assert_eq!(seen("spec.rs", "use crate::{diag::Findings, lower, ir::{self, Rule}};"), "diag ir lower");
    assert_eq!(seen("spec/judge.rs", "use super::super::lower::run; use super::walk;"), "lower spec");
    assert_eq!(seen("spec.rs", "use super::opt;"), "opt");
    assert_eq!(seen("verify.rs", "use crate::target::nft::{sim, emit::go};"), "target::emit target::sim");
    assert_eq!(seen("verify.rs", "use crate::target::{nft::read, self};"), "target target::read");
    assert_eq!(seen("target/nft/emit/maps.rs", "use super::super::artifact::Set;"), "target::artifact");
    assert_eq!(seen("net.rs", "//! [`crate::spec`]\n/* crate::a */ let x = \"crate::b\";"), "");
    assert_eq!(
        seen("net.rs", "#[cfg(test)]\nmod tests { use crate::spec::x; fn f() { {} } }\nuse crate::diag;"),
        "diag"
    );
    assert_eq!(module_of("target/nft/sim/run.rs"), "target::sim");
    assert_eq!(module_of("target/nft.rs"), "target");
}

/// Every file of `src` but those of tests, by its name there.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                if !name.ends_with("_tests.rs") && !name.ends_with("/tests.rs") {
                    found.insert(name, fs::read_to_string(path).unwrap());
                }
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// The module of the table that a file belongs to.
fn module_of(name: &str) -> String {
    part(&path_of(name))
}

/// `target/nft/sim.rs` as `target nft sim`.
fn path_of(name: &str) -> Vec<String> {
    let name = name.trim_end_matches(".rs").trim_end_matches("/mod");
    name.split('/').map(ToOwned::to_owned).collect()
}

/// The first word of a path; of a target, its part too.
fn part(path: &[String]) -> String {
    const PARTS: [&str; 11] = [
        "artifact", "print", "read", "sim", "emit", "validate", "exposure", "fit", "mutate", "plan", "drift",
    ];
    let first = path.first().map_or("", String::as_str);
    match path.get(2) {
        Some(third) if first == "target" && PARTS.contains(&third.as_str()) => format!("target::{third}"),
        _ => first.to_owned(),
    }
}

/// What a file uses of its own crate, as modules of the table, sorted.
fn uses(name: &str, text: &str) -> Vec<String> {
    let code = without_tests(&code(text));
    let tokens = tokens(&code);
    let home = path_of(name);
    let mut paths: Vec<Vec<String>> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = matches!(tokens[at].as_str(), "crate" | "super" | "fwc")
            && tokens.get(at + 1).is_some_and(|t| t == "::")
            && (at == 0 || tokens[at - 1] != "::");
        if !starts {
            at += 1;
            continue;
        }
        let mut base = if tokens[at] == "super" { home[..home.len() - 1].to_vec() } else { Vec::new() };
        at += 2;
        while tokens.get(at).is_some_and(|t| t == "super") {
            base.pop();
            at += 2;
        }
        tree(&tokens, &mut at, &base, &mut paths);
    }
    let mut used: Vec<String> = paths.iter().map(|path| part(path)).filter(|p| !p.is_empty()).collect();
    used.sort();
    used.dedup();
    used
}

/// One use tree from `at` on: a path, or several in braces.
fn tree(tokens: &[String], at: &mut usize, base: &[String], paths: &mut Vec<Vec<String>>) {
    let mut path = base.to_vec();
    loop {
        match tokens.get(*at).map(String::as_str) {
            Some("{") => {
                *at += 1;
                while tokens.get(*at).is_some_and(|t| t != "}") {
                    tree(tokens, at, &path, paths);
                    while tokens.get(*at).is_some_and(|t| t != "," && t != "}") {
                        *at += 1; // `as name`
                    }
                    if tokens.get(*at).is_some_and(|t| t == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            Some("self" | "*") => *at += 1,
            Some(word) => {
                path.push(word.to_owned());
                *at += 1;
            }
            None => {}
        }
        if tokens.get(*at).is_none_or(|t| t != "::") {
            paths.push(path);
            return;
        }
        *at += 1;
    }
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = c.to_string();
            while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(next);
            }
            tokens.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            tokens.push("::".to_owned());
        } else if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
    }
    tokens
}

/// The text without comments and without what stands in string literals.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if rest.starts_with("r#\"") {
            rest = rest[3..].find("\"#").map_or("", |end| &rest[end + 5..]);
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest = &rest[rest[1..].find('\'').map_or(rest.len(), |end| end + 2)..];
        } else if c == '"' {
            rest = after_string(&rest[1..]);
            out.push_str("\"\"");
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn after_string(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// The code without the items that `#[cfg(test)]` stands before.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..start]);
        let item = &rest[start..];
        let end = match (item.find('{'), item.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|s| brace < s) => brace + block(&item[brace..]),
            (_, Some(semicolon)) => semicolon + 1,
            (_, None) => item.len(),
        };
        rest = &item[end..];
    }
    out + rest
}

/// The length of a block that starts with its brace.
fn block(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}
