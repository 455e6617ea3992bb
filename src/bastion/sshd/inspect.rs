//! The whole examination: files, questions to sshd, findings with the line that has the say.
//!
//! *Input*: a tree with an `/etc`, or the machine's own. *Output*: [`Inspection`]: findings, and what was asked.
//!
//! *Design decisions*. A finding is one keyword at one line, with everybody whom it concerns, not one a connection. Where no
//! line has the say, the default has.

#![expect(clippy::disallowed_methods, reason = "reads the configuration of sshd")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::bastion::keys::from;
use crate::diag::{Diagnostic, Findings, code};
use crate::source::{SourceMap, Span};

use super::accounts::Accounts;
use super::config::{self, Config, Connection, Files};
use super::demands::{self, Way};
use super::effective::Effective;
use super::matrix;
use super::stage::{Network, SSHD, Stage, StageError};

/// The main file, wherever its tree stands.
pub const MAIN: &str = "/etc/ssh/sshd_config";
/// Of one finding at most so many users and addresses are named.
const NAMED: usize = 3;

/// What was found.
#[derive(Debug)]
pub struct Inspection {
    /// The files.
    pub sources: SourceMap,
    /// What is wrong.
    pub findings: Findings,
    /// Each connection that was asked about, with the ways in that need no key.
    pub answers: Vec<(Connection, Vec<Way>)>,
    /// Settings for root from 127.0.0.1: what does not depend on who asks.
    pub settings: Effective,
}

/// Examines the machine's sshd, or the configuration in a tree of files.
///
/// # Errors
/// When sshd cannot be asked.
pub fn inspect(root: Option<&Path>, extra: &[IpAddr]) -> Result<Inspection, StageError> {
    let bound = root.map(|root| (root.join("etc"), PathBuf::from("/etc"))).into_iter().collect();
    let stage = Stage::new(bound, Network::Shared)?;
    let keys = match root {
        // A tree has no host keys that may be read; sshd prints nothing without one.
        Some(_) => Some(HostKey::make(&stage)?),
        None => None,
    };
    let tree = Tree { root: root.unwrap_or(Path::new("/")).to_owned(), ssh: None };
    inspect_in(&stage, tree, keys.as_ref(), extra)
}

/// The same in a stage that is there already; `tree` is how this process reaches what sshd sees there.
pub(crate) fn inspect_in(
    stage: &Stage,
    mut tree: Tree,
    key: Option<&HostKey>,
    extra: &[IpAddr],
) -> Result<Inspection, StageError> {
    let mut sources = SourceMap::default();
    let mut findings = Findings::default();
    let config = config::read(MAIN, &mut tree, &mut sources);
    let mut out = Inspection {
        sources,
        findings: Findings::default(),
        answers: Vec::new(),
        settings: Effective::default(),
    };
    if let Err(said) = ask(stage, key, None)? {
        out.findings = refused(&said, &out.sources);
        return Ok(out);
    }
    let accounts = tree.accounts();
    let connections = matrix::connections(&config, &accounts.to_ask(&config), extra);
    if connections.len() > matrix::MOST {
        return Err(StageError::Said(format!(
            "{} users and addresses would have to be asked about, more than {}",
            connections.len(),
            matrix::MOST
        )));
    }
    let mut told = Told::default();
    for connection in connections {
        let settings = match ask(stage, key, Some(&connection))? {
            Ok(text) => Effective::read(&text),
            Err(said) => {
                findings.extend(refused(&said, &out.sources).sorted().into_iter().cloned());
                continue;
            }
        };
        let open = demands::open(&settings);
        told.gather(&config, &connection, &accounts.groups_of(&connection.user), &settings, &open);
        if connection.user == "root" && connection.addr == "127.0.0.1" {
            out.settings = settings;
        }
        out.answers.push((connection, open));
    }
    told.say(&mut findings);
    unknown_groups(&config, &accounts, &mut findings);
    out.findings = findings;
    Ok(out)
}

/// A host key for trees without one, in a folder that goes with it.
#[derive(Debug)]
pub struct HostKey {
    dir: tempfile::TempDir,
}

impl HostKey {
    /// Makes one.
    ///
    /// # Errors
    /// When ssh-keygen is not there.
    pub fn make(stage: &Stage) -> Result<Self, StageError> {
        let dir = tempfile::tempdir().map_err(StageError::system("make a folder"))?;
        let key = Self { dir };
        let args = ["-q", "-t", "ed25519", "-N", "", "-f"].map(ToOwned::to_owned);
        let path = key.path().display().to_string();
        let output = stage.run("ssh-keygen", &[&args[..], &[path]].concat())?;
        if output.status.success() { Ok(key) } else { Err(StageError::Said(words(&output.stderr))) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("host")
    }
}

/// What sshd prints for a connection, or what it says against its configuration.
fn ask(
    stage: &Stage,
    key: Option<&HostKey>,
    asked: Option<&Connection>,
) -> Result<Result<String, String>, StageError> {
    let mut args = vec![if asked.is_some() { "-T" } else { "-t" }.to_owned()];
    if let Some(c) = asked {
        let Connection { user, host, addr, laddr, lport } = c;
        args.extend([
            "-C".to_owned(),
            format!("user={user},host={host},addr={addr},laddr={laddr},lport={lport}"),
        ]);
    }
    if let Some(key) = key {
        args.extend(["-h".to_owned(), key.path().display().to_string()]);
    }
    let output = stage.run(SSHD, &args)?;
    Ok(if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(words(&output.stderr))
    })
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// sshd's own words, at the line that it names.
fn refused(said: &str, sources: &SourceMap) -> Findings {
    let mut findings = Findings::default();
    let help = "a running sshd keeps what it read before; one that is told to reload this ends";
    for line in said.lines() {
        let Some((span, what)) = named_line(line, sources) else { continue };
        let message = format!("sshd does not take this line: {}", what.trim());
        findings.push(Diagnostic::error(code::SSHD_REFUSES, span, message).help(help));
    }
    if findings.is_empty() {
        let last = said.lines().last().unwrap_or("no reason").to_owned();
        findings
            .push(Diagnostic::global(code::SSHD_REFUSES, format!("sshd does not start: {last}")).help(help));
    }
    findings
}

/// `/etc/ssh/sshd_config line 3: …` or `/etc/ssh/sshd_config: line 3: …`
fn named_line<'a>(said: &'a str, sources: &SourceMap) -> Option<(Span, &'a str)> {
    let (before, rest) = said.split_once("line ")?;
    let (number, what) = rest.split_once(':')?;
    let number: usize = number.trim().parse().ok()?;
    let name = before.trim().trim_end_matches(':').trim();
    let file = sources.find(name)?;
    let text = &sources.file(file)?.text;
    let start: usize = text.split_inclusive('\n').take(number.checked_sub(1)?).map(str::len).sum();
    let length = text.get(start..)?.lines().next().map_or(0, str::len);
    let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Some((Span { file, start: offset(start), end: offset(start.saturating_add(length)) }, what))
}

/// What a line says of a group in which nobody is known was asked about nobody.
fn unknown_groups(config: &Config, accounts: &Accounts, findings: &mut Findings) {
    config.each(&mut |item| {
        for word in config::group_words(item).filter(|word| !word.starts_with('!')) {
            if accounts.any_in(word) {
                continue;
            }
            let message = format!("nobody is known in a group `{word}`: what this says of its members was not asked");
            let help = "members from elsewhere (LDAP, a file of another machine) are not seen here: ask `sshd -T -C user=…` about one";
            findings.push(Diagnostic::warning(code::SSHD_UNKNOWN_GROUP, item.at, message).help(help));
        }
    });
}

/// What is wrong, by what and where, with whom it concerns.
#[derive(Default)]
struct Told {
    by: BTreeMap<(Fault, Vec<Span>), Concerned>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Open(Way),
    NoKeys,
    Source(&'static str, String),
    Weak(&'static str, String, &'static str),
}

#[derive(Default)]
struct Concerned {
    users: BTreeSet<String>,
    addrs: BTreeSet<String>,
    everybody: bool,
}

impl Told {
    fn gather(
        &mut self,
        config: &Config,
        asked: &Connection,
        groups: &[&str],
        settings: &Effective,
        open: &[Way],
    ) {
        let mut faults: Vec<(Fault, &str)> =
            open.iter().map(|way| (Fault::Open(*way), way.keyword())).collect();
        if !demands::keys_work(settings) {
            faults.push((Fault::NoKeys, "pubkeyauthentication"));
        }
        faults.extend(demands::key_sources(settings).into_iter().map(|(k, v)| (Fault::Source(k, v), k)));
        faults.extend(demands::weak(settings).into_iter().map(|(k, v, why)| (Fault::Weak(k, v, why), k)));
        for (fault, keyword) in faults {
            let lines = config.about(keyword, asked, groups);
            let concerned = self.by.entry((fault, lines)).or_default();
            concerned.users.insert(asked.user.clone());
            concerned.addrs.insert(asked.addr.clone());
            concerned.everybody |= asked.user == matrix::NOBODY && asked.addr == "192.0.2.1";
        }
    }

    fn say(self, findings: &mut Findings) {
        for ((fault, lines), concerned) in self.by {
            let whom = concerned.words();
            let (code, error, message, help) = fault.words(&whom, lines.is_empty());
            let mut finding = match (lines.first(), error) {
                (Some(at), true) => Diagnostic::error(code, *at, message).label("this line has the say"),
                (Some(at), false) => Diagnostic::warning(code, *at, message).label("this line has the say"),
                (None, true) => Diagnostic::global(code, message),
                (None, false) => Diagnostic {
                    severity: crate::diag::Severity::Warning,
                    ..Diagnostic::global(code, message)
                },
            };
            for lost in lines.iter().skip(1) {
                finding = finding.also(*lost, "comes later, or is global, and has none");
            }
            findings.push(finding.help(help));
        }
    }
}

impl Concerned {
    /// `everybody`, or who and from where, as far as it was asked.
    fn words(&self) -> String {
        if self.everybody {
            return "everybody".to_owned();
        }
        let list = |all: &BTreeSet<String>| {
            let shown: Vec<&str> = all.iter().take(NAMED).map(String::as_str).collect();
            let more = if all.len() > NAMED { " and others" } else { "" };
            format!("{}{more}", shown.join(", "))
        };
        format!("{} from {}", list(&self.users), list(&self.addrs))
    }
}

impl Fault {
    fn words(&self, whom: &str, by_default: bool) -> (crate::diag::Code, bool, String, String) {
        let default = if by_default { ", by default" } else { "" };
        match self {
            Self::Open(way) => {
                let (name, keyword) = way.name();
                let message = format!("{whom} may log in without a key{default}: {name}");
                let help = format!(
                    "put `{keyword} no` and a `Match all` block with it into 00-fwc.conf, which `fwc bastion render` writes"
                );
                (code::SSHD_PASSWORD, true, message, help)
            }
            Self::NoKeys => {
                let message = format!("keys let nobody in of {whom}{default}");
                (code::SSHD_NO_KEYS, true, message, "say `PubkeyAuthentication yes`".to_owned())
            }
            Self::Source(keyword, value) => {
                let message = format!("keys of {whom} come from elsewhere too{default}: {keyword} `{value}`");
                (
                    code::SSHD_KEY_SOURCE,
                    false,
                    message,
                    "judge what it gives out with `fwc bastion lint`, or take it out".to_owned(),
                )
            }
            Self::Weak(keyword, value, why) => {
                let value = if value.len() > 40 { "…" } else { value };
                let message = format!("{why}{default}: {keyword} `{value}`");
                (code::SSHD_WEAK_SETTING, false, message, "use what `fwc bastion render` writes".to_owned())
            }
        }
    }
}

/// Files below a folder that stands for `/`, but those of `/etc/ssh` where a stage has others there.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) ssh: Option<PathBuf>,
}

impl Tree {
    fn place(&self, path: &str) -> PathBuf {
        match (&self.ssh, path.strip_prefix("/etc/ssh/")) {
            (Some(staged), Some(below)) => staged.join(below),
            _ => self.root.join(path.trim_start_matches('/')),
        }
    }

    /// The machine's accounts and groups.
    fn accounts(&self) -> Accounts {
        let text = |path: &str| fs::read_to_string(self.place(path)).unwrap_or_default();
        Accounts::read(&text("/etc/passwd"), &text("/etc/group"))
    }
}

impl Files for Tree {
    fn text(&mut self, path: &str) -> Option<String> {
        const LONGEST: u64 = 16 << 20;
        let path = self.place(path);
        let sound = fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST);
        sound
            .then(|| fs::read(&path).ok())
            .flatten()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// glob(3), part by part; a class in brackets stands for any name, so that no file goes unseen.
    fn glob(&mut self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            if !part.contains(['*', '?', '[']) {
                found.iter_mut().for_each(|path| path.push_str(&format!("/{part}")));
                continue;
            }
            let mut below = Vec::new();
            for folder in &found {
                let Ok(entries) = fs::read_dir(self.place(&format!("{folder}/"))) else { continue };
                let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                // A leading dot is matched by itself alone.
                let hit = |name: &String| {
                    let dot = !name.starts_with('.') || part.starts_with('.');
                    dot && (part.contains('[') || from::named(part, name))
                };
                below.extend(names.filter(hit).map(|name| format!("{folder}/{name}")));
            }
            found = below;
        }
        found.sort_unstable();
        found
    }
}
