//! What of a site is frozen under `snapshots/`, and what is wrong with a checkout's snapshots.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a checkout that cannot be read fails the test")]
#![allow(clippy::indexing_slicing, clippy::disallowed_methods, reason = "reads the checkout")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use fwc::compile::{Compiled, Format, Options, compile};
use fwc::diag::Findings;
use fwc::source::{FileId, SourceMap};

use crate::common::{Texts, options, said};

/// The sites that must be there. A folder of `policies/` that is not listed is red, too.
pub(crate) const SITES: &[&str] = &[
    "crm",
    "crm-aws",
    "crm-dual",
    "ecommerce",
    "lvs",
    "lxc",
    "lxc-stateless",
    "starter-bastion",
    "starter-firewall",
    "starter-host",
    "swarm",
];

/// The policies of a site, as `fwc FOLDER` takes them.
pub(crate) fn policies(root: &Path, site: &str) -> Vec<(String, String)> {
    let folder = root.join("policies").join(site);
    let mut files: Vec<PathBuf> = entries(&folder).iter().map(|name| folder.join(name)).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "fw"));
    let text =
        |path: &PathBuf| fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    files.iter().map(|path| (entry_name(path), text(path))).collect()
}

/// Compiles and proves a site; panics where that fails.
pub(crate) fn compiled(root: &Path, site: &str) -> Compiled {
    let mut sources = SourceMap::default();
    let roots: Vec<FileId> =
        policies(root, site).iter().map(|(name, text)| sources.add(name, text)).collect();
    let (mut findings, mut loader) = (Findings::default(), lists(root, site));
    for key in fs::read_dir(root.join("policies").join(site).join("keys")).into_iter().flatten() {
        let path = key.unwrap().path();
        loader.0.insert(format!("keys/{}", entry_name(&path)), fs::read_to_string(&path).unwrap());
    }
    // Security groups in every format that says what they do.
    let options = Options { emit: [Format::Terraform, Format::Cloudformation].into(), ..options() };
    let result = compile(&mut sources, &roots, &mut loader, &options, &mut findings, &|_| {});
    result.unwrap_or_else(|| panic!("{site} does not compile:\n{}", said(&findings, &sources)))
}

/// The files of addresses that a site names.
fn lists(root: &Path, site: &str) -> Texts {
    let folder = root.join("policies").join(site).join("lists");
    let names = if folder.is_dir() { entries(&folder) } else { BTreeSet::new() };
    let text = |name: &String| fs::read_to_string(folder.join(name)).unwrap();
    Texts(names.iter().map(|name| (format!("lists/{name}"), text(name))).collect())
}

/// The snapshots of a site by name: the ruleset of each host, and what they and their proof cost.
pub(crate) fn snapshots(site: &str, compiled: &Compiled) -> BTreeMap<String, String> {
    let mut frozen = BTreeMap::new();
    for host in &compiled.hosts {
        for (_, text) in host.files.iter().filter(|(name, _)| name == "ruleset.nft") {
            frozen.insert(format!("nft/{site}/{}", host.name), text.clone());
        }
        let told: Vec<String> = host
            .files
            .iter()
            .filter_map(|(name, text)| Some(format!("==== {}\n{text}", name.strip_prefix("ssh/")?)))
            .collect();
        if !told.is_empty() {
            frozen.insert(format!("sshd/{site}/{}", host.name), told.join("\n"));
        }
    }
    for (name, text) in &compiled.groups.files {
        if ["security-groups.json", "plan.json"].contains(&name.as_str()) {
            frozen.insert(format!("aws/{site}/{}", name.trim_end_matches(".json")), text.clone());
        }
    }
    frozen.insert(format!("cost/{site}"), cost(compiled));
    frozen
}

/// Counts that no clock changes: what a growing policy costs the kernel, the reviewer and the prover.
fn cost(compiled: &Compiled) -> String {
    let mut text = format!(
        "{:12} {:>7} {:>7} {:>7} {:>7} {:>9}\n",
        "host", "lines", "chains", "rules", "sets", "elements"
    );
    let mut sums = [0; 5];
    let row = |text: &mut String, name: &str, counts: [usize; 5]| {
        let [lines, chains, rules, sets, elements] = counts;
        let _ = writeln!(text, "{name:12} {lines:>7} {chains:>7} {rules:>7} {sets:>7} {elements:>9}");
    };
    for host in &compiled.hosts {
        let Some(artifact) = compiled.artifacts.get(&host.host) else { continue };
        let tables = || artifact.ruleset.tables.iter();
        let counts = [
            artifact.text.lines().count(),
            tables().map(|t| t.chains.len()).sum(),
            tables().flat_map(|t| &t.chains).map(|c| c.rules.len()).sum(),
            tables().map(|t| t.sets.len()).sum(),
            tables().flat_map(|t| &t.sets).map(|s| s.elements.len()).sum(),
        ];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
        row(&mut text, &host.name, counts);
    }
    row(&mut text, "all", sums);
    let report = &compiled.report;
    let _ = writeln!(text, "\nprover nodes {}", report.nodes);
    let sampled: usize = report.points.iter().map(|point| point.sampled).sum();
    let _ = writeln!(text, "packets also asked one at a time {sampled}");
    text
}

/// Everything wrong with the sites and snapshots of a checkout, one a line; `others` are the snapshots that have no site.
pub(crate) fn problems(root: &Path, others: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let found = entries(&root.join("policies"));
    for site in SITES.iter().filter(|site| !found.contains(**site)) {
        problems.push(format!("missing site: policies/{site}"));
    }
    for site in found.iter().filter(|site| !SITES.contains(&site.as_str())) {
        problems.push(format!("a site that no test lists: policies/{site}"));
    }
    let mut wanted: BTreeMap<String, Option<String>> =
        others.iter().map(|name| (name.clone(), None)).collect();
    for site in SITES.iter().filter(|site| found.contains(**site)) {
        let frozen = snapshots(site, &compiled(root, site));
        wanted.extend(frozen.into_iter().map(|(name, text)| (name, Some(text))));
    }
    let there = below(&root.join("snapshots"));
    for name in there.difference(&wanted.keys().map(|name| format!("{name}.snap")).collect()) {
        problems.push(format!("stale: snapshots/{name}, which no test asserts"));
    }
    for (name, text) in &wanted {
        let path = root.join("snapshots").join(format!("{name}.snap"));
        match (fs::read_to_string(&path), text) {
            (Err(_), _) => problems.push(format!("missing: snapshots/{name}.snap")),
            (Ok(held), Some(text)) => {
                problems.extend(
                    first_difference(body(&held), text).map(|at| format!("snapshots/{name}.snap: {at}")),
                );
            }
            (Ok(_), None) => {}
        }
    }
    problems
}

/// A snapshot without its header.
fn body(held: &str) -> &str {
    held.splitn(3, "---\n").nth(2).unwrap_or(held)
}

fn first_difference(held: &str, given: &str) -> Option<String> {
    let (held, given): (Vec<&str>, Vec<&str>) =
        (held.trim().lines().collect(), given.trim().lines().collect());
    let at = (0..held.len().max(given.len())).find(|&line| held.get(line) != given.get(line))?;
    let shown = |lines: &[&str]| {
        lines.get(at).map_or_else(|| "the end".to_owned(), |line| format!("`{}`", line.trim()))
    };
    Some(format!("line {} of the snapshot is {}, the policy gives {}", at + 1, shown(&held), shown(&given)))
}

/// The files below a folder, by path, README files and dot files apart.
fn below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in entries(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            found.extend(below(&path).into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            found.insert(name);
        }
    }
    found
}

/// What a folder holds, README files and dot files apart.
fn entries(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let names = entries.map(|entry| entry_name(&entry.unwrap().path()));
    names.filter(|name| !name.starts_with('.') && name != "README.md").collect()
}

fn entry_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Writes the snapshots that a checkout should have; those without a site are empty.
#[allow(dead_code, reason = "policies.rs reviews, snapshots.rs spoils")]
pub(crate) fn write(root: &Path, others: &BTreeSet<String>) {
    let sites = SITES.iter().flat_map(|site| snapshots(site, &compiled(root, site)));
    for (name, text) in others.iter().map(|name| (name.clone(), String::new())).chain(sites) {
        let path = root.join("snapshots").join(format!("{name}.snap"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("---\nsource: a test\n---\n{text}")).unwrap();
    }
}
