//! The cases of `suite/pass`: small policies, each with its table.

use std::path::{Path, PathBuf};

/// A policy and the packets it is asked about.
pub(crate) struct Case {
    /// Its file and title.
    pub(crate) name: String,
    /// Its text.
    pub(crate) policy: String,
    /// The lines of its table.
    pub(crate) packets: Vec<String>,
}

/// Every case of every file.
pub(crate) fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/pass");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let named = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        split(&name, &std::fs::read_to_string(file).unwrap())
    };
    files.iter().flat_map(named).collect()
}

fn split(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let title = line.strip_prefix("--- ").and_then(|l| l.strip_suffix(" ---"));
        if let Some(title) = title {
            let name = format!("{file}: {title}");
            assert!(cases.iter().all(|case| case.name != name), "{name} stands there twice");
            cases.push(Case { name, policy: String::new(), packets: Vec::new() });
        } else if let Some(case) = cases.last_mut() {
            match line.strip_prefix("#= ") {
                Some(packet) => case.packets.push(packet.to_owned()),
                None => case.policy += &format!("{line}\n"),
            }
        }
    }
    cases
}
