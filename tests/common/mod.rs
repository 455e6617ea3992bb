//! What the integration tests share: policies from memory and from `policies/`, compiled through the library
//! by one function, so that a change of its interface is mended here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fwc::compile::{Compiled, Options, Told, compile};
use fwc::diag::Findings;
use fwc::source::{FileId, Loader, SourceFile, SourceMap};

/// A loader over texts in memory, by the path as written.
#[derive(Default)]
pub(crate) struct Texts(pub(crate) BTreeMap<String, String>);

impl Loader for Texts {
    fn load(&mut self, from: &str, path: &str) -> Result<SourceFile, String> {
        // A policy of the checkout has its files beside it.
        let beside = Path::new(from).parent().map(|folder| folder.join(path)).unwrap_or_default();
        let known = self.0.get(path).map(|text| (path.to_owned(), text.clone()));
        let text = || std::fs::read_to_string(root().join(&beside)).ok();
        let found = known.or_else(|| Some((beside.display().to_string(), text()?)));
        let (name, text) = found.ok_or_else(|| format!("cannot read `{path}`: no such file"))?;
        Ok(SourceFile { name, text })
    }
}

/// Compiles and proves texts; panics with the findings where that fails.
pub(crate) fn compiled(texts: &[(String, String)]) -> Compiled {
    let (result, findings, sources) = attempt(texts);
    result.unwrap_or_else(|| panic!("does not compile:\n{}", said(&findings, &sources)))
}

/// The same, with whatever was found.
pub(crate) fn attempt(texts: &[(String, String)]) -> (Option<Compiled>, Findings, SourceMap) {
    let mut sources = SourceMap::default();
    let roots: Vec<FileId> = texts.iter().map(|(name, text)| sources.add(name, text)).collect();
    let mut findings = Findings::default();
    let mut loader = Texts::default();
    let result = compile(&mut sources, &roots, &mut loader, &options(), &mut findings, &|_| {});
    (result, findings, sources)
}

/// What `fwc check` says of a policy, and the stages that it takes.
pub(crate) fn checked(texts: &[(String, String)]) -> (String, Vec<&'static str>) {
    let mut sources = SourceMap::default();
    let roots: Vec<FileId> = texts.iter().map(|(name, text)| sources.add(name, text)).collect();
    let mut findings = Findings::default();
    let mut loader = Texts::default();
    let stages = std::sync::Mutex::new(Vec::new());
    let watch = |told| {
        if let Told::Ended(stage) = told {
            stages.lock().unwrap().push(stage);
        }
    };
    fwc::compile::checked(&mut sources, &roots, &mut loader, &options(), &mut findings, &watch);
    (said(&findings, &sources), stages.into_inner().unwrap())
}

/// A fixed time of proof, so that no test depends on the clock.
pub(crate) fn options() -> Options {
    Options { at: 1_795_219_200_000_000_000, ..Options::default() }
}

/// The findings, one a line.
pub(crate) fn said(findings: &Findings, sources: &SourceMap) -> String {
    let line = |d: &&fwc::diag::Diagnostic| {
        let at = d.primary.as_ref().map(|l| {
            let place = sources.position(l.span).map_or((0, 0), |p| (p.line, p.column));
            let file = sources.file(l.span.file).map_or("?", |f| f.name.as_str());
            format!("{file}:{}:{}: `{}`", place.0, place.1, sources.words(l.span))
        });
        format!("{}: {} {}", d.code, d.message, at.unwrap_or_default())
    };
    findings.sorted().iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The texts of the `.fw` files of a folder below the root, by name, as `fwc FOLDER` takes them.
pub(crate) fn folder(path: &str) -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join(path))
        .unwrap_or_else(|e| panic!("{path}: {e}"))
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "fw"))
        .collect();
    files.sort();
    files.iter().map(|p| file(p)).collect()
}

/// One file of the checkout, named relative to its root.
pub(crate) fn file(path: &Path) -> (String, String) {
    let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{name}: {e}"));
    (name, text)
}

/// The CRM site as it stands: with nagios and ges.
pub(crate) fn crm() -> Vec<(String, String)> {
    folder("policies/crm")
}

/// Whether the kernel can be asked; if not, a test of it has nothing to say. With `FWC_REQUIRE_KERNEL=1` that fails.
pub(crate) fn kernel() -> bool {
    match fwc::lab::netns::available() {
        Ok(()) => true,
        Err(why) => {
            assert!(!kernel_required(), "no kernel to ask: {why}");
            println!("SKIPPED, nothing was tested: no kernel to ask: {why}");
            false
        }
    }
}

/// Whether a test that cannot ask the kernel, or real nft, fails.
pub(crate) fn kernel_required() -> bool {
    std::env::var_os("FWC_REQUIRE_KERNEL").is_some_and(|v| v == "1")
}

/// A file of a host, by names.
pub(crate) fn artifact<'c>(compiled: &'c Compiled, host: &str, name: &str) -> &'c str {
    let host = compiled.hosts.iter().find(|h| h.name == host).unwrap_or_else(|| panic!("no host {host}"));
    let file = host.files.iter().find(|f| f.0 == name).unwrap_or_else(|| panic!("no file {name}"));
    &file.1
}

/// A file cut into its statements: each starts a line with a word, and what follows is indented or closes it.
pub(crate) fn statements(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        let continues = line.starts_with(' ') || line.starts_with('}');
        match all.last_mut() {
            Some(last) if continues => {
                last.push_str(line);
                last.push('\n');
            }
            _ => all.push(format!("{line}\n")),
        }
    }
    all
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
