//! The whole examination: files, questions to sshd, findings with the line that has the say.
//!
//! *Input*: a tree with an `/etc`, or the machine's own. *Output*: [`Inspection`]: findings, and what was asked.
//!
//! *Design decisions*. A finding is one keyword at one line, with everybody whom it concerns, not one a connection. Where no
//! line has the say, the default has.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::bastion::{applied, folder};
use crate::diag::{Diagnostic, Findings, Severity, code};
use crate::source::{SourceMap, Span};

use super::accounts::Accounts;
use super::config::{self, Config, Connection};
use super::demands::{self, Way};
use super::effective::Effective;
use super::given::{self, Given};
use super::matrix::{self, TooMany};
use super::meant::{DROP_IN, Meant};
use super::placed::{Placed, Wanted};
use super::running::{Behind, Running};
use super::stage::{Network, SSHD, Stage, StageError};
use super::told::{self, Asked, Told};
pub(crate) use super::tree::Tree;

/// The main file, wherever its tree stands.
pub const MAIN: &str = "/etc/ssh/sshd_config";

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
    /// What the rendered files were compared with; none where nobody says what they are to be.
    pub compared: Option<String>,
}

/// Examines the machine's sshd, or the configuration in a tree of files; its rendered files are compared with `folder`, else with
/// what was applied.
///
/// # Errors
/// When sshd cannot be asked.
pub fn inspect(
    root: Option<&Path>,
    extra: &[IpAddr],
    folder: Option<&Path>,
) -> Result<Inspection, StageError> {
    let tree = Tree::new(root.unwrap_or(Path::new("/")).to_owned(), None);
    let stage = if tree.is_real() { Stage::new(Vec::new(), Network::Shared)? } else { of_image(&tree)? };
    let keys = match root {
        // A tree has no host keys that may be read; sshd prints nothing without one.
        Some(_) => Some(HostKey::make(&Stage::new(Vec::new(), Network::Shared)?)?),
        None => None,
    };
    let wanted = wanted(&tree, folder)?;
    inspect_against(&stage, tree, keys.as_ref(), (extra, wanted.as_ref()))
}

fn wanted(tree: &Tree, folder: Option<&Path>) -> Result<Option<Wanted>, StageError> {
    if let Some(at) = folder {
        let read = folder::read(at).map_err(|why| StageError::Said(why.to_string()))?;
        return Ok(Some(Wanted::Folder(at.display().to_string(), read)));
    }
    let read = |path: &str| tree.bytes(path).map_err(|why| format!("cannot read {path}: it {why}"));
    Ok(applied::read(read).map_err(StageError::Said)?.map(Wanted::Applied))
}

/// A stage with the accounts of an image; the files of its configuration follow once it is known which they are.
///
/// SECURITY: this is the whole list of what sshd gets of an image: these four, and the files that its configuration consists of,
/// each as bytes. Nothing of it is mounted or executed, and no setting of a library comes from there.
fn of_image(tree: &Tree) -> Result<Stage, StageError> {
    let etc =
        tree.place("/etc").ok_or_else(|| StageError::Said("the links of /etc lead round".to_owned()))?;
    if !etc.is_dir() {
        return Err(StageError::Said(format!(
            "`{}` is no folder, so this is no root of a machine",
            etc.display()
        )));
    }
    let stage = Stage::bare()?;
    for path in ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/services"] {
        tree.copy(path, &stage)?;
    }
    Ok(stage)
}

/// The same in a stage that is there already; `tree` is how this process reaches what sshd sees there. Nothing is in place yet.
pub(crate) fn inspect_in(stage: &Stage, tree: Tree, extra: &[IpAddr]) -> Result<Inspection, StageError> {
    inspect_against(stage, tree, None, (extra, None))
}

fn inspect_against(
    stage: &Stage,
    mut tree: Tree,
    key: Option<&HostKey>,
    (extra, wanted): (&[IpAddr], Option<&Wanted>),
) -> Result<Inspection, StageError> {
    let mut out = Inspection {
        sources: SourceMap::default(),
        findings: Findings::default(),
        answers: Vec::new(),
        settings: Effective::default(),
        compared: wanted.map(Wanted::words),
    };
    let mut told = Told::default();
    let mut seen = Seen { wanted, ..Seen::default() };
    // A machine may run with other options than it will start with: each set is asked about.
    let (all, of_users) = given::read(&mut tree)?;
    for message in of_users {
        let help = "where that user may not listen, end it";
        let finding = Diagnostic::global(code::SSHD_OF_USER, message).help(help);
        out.findings.push(Diagnostic { severity: Severity::Warning, ..finding });
    }
    for given in all {
        let asker = Asker { stage, key, given: &given };
        let whole = examine(&asker, &mut tree, extra, (&mut out, &mut told, &mut seen))?;
        if !whole {
            break;
        }
    }
    told.say(&mut out.findings);
    seen.say(&mut out.findings);
    tree.is_sound().map(|()| out)
}

/// Everything about one set of options; whether sshd takes its files with them.
fn examine(
    asker: &Asker<'_>,
    tree: &mut Tree,
    extra: &[IpAddr],
    (out, told, seen): (&mut Inspection, &mut Told, &mut Seen<'_>),
) -> Result<bool, StageError> {
    let main = asker.given.main.as_deref().unwrap_or(MAIN);
    tree.looked_at();
    let config = config::read(main, tree, &mut out.sources);
    let looked_at = tree.looked_at();
    // Before sshd reads what would hold it up, or what of this machine the tree does not have.
    tree.is_sound()?;
    tree.lay(asker.stage)?;
    for one in &asker.given.running {
        one.sees(&looked_at)?;
    }
    if let Err(said) = asker.ask(None)? {
        out.findings.extend(refused(&said, &out.sources).sorted().into_iter().cloned());
        return Ok(false);
    }
    asker.includes(tree)?;
    let accounts = tree.accounts(asker.stage)?;
    let mut meant = match Meant::read(tree, &mut out.sources) {
        Some(meant) => Some((meant, HostKey::make(asker.stage)?)),
        None => None,
    };
    tree.is_sound()?;
    tree.lay(asker.stage)?;
    let knows_groups = knows_groups(&config, &accounts);
    let mut met = BTreeSet::new();
    let mut pid_file = None;
    for connection in matrix::connections(&config, &accounts, extra).map_err(too_many)? {
        let groups = accounts.groups_of(&connection.user);
        let settings = match asker.ask(Some(&connection))? {
            Ok(text) => Effective::read(&text),
            Err(said) => {
                out.findings.extend(refused(&said, &out.sources).sorted().into_iter().cloned());
                continue;
            }
        };
        met.extend(config.matches(&connection, &groups));
        let who = demands::Who {
            connection: &connection,
            groups: &groups,
            is_root: accounts.is_root(&connection.user),
            knows_groups,
        };
        let open = demands::open_to(&settings, who);
        let wider = match &mut meant {
            Some((meant, key)) => {
                meant.wider(&connection, &groups, &settings, || asker.alone(key, &connection))?
            }
            None => Vec::new(),
        };
        let asked = Asked { config: &config, given: asker.given, connection: &connection, groups: &groups };
        told.gather(&asked, &settings, &open, wider);
        if connection.user == "root" && connection.addr == "127.0.0.1" {
            pid_file = settings.one("pidfile").map(ToOwned::to_owned);
            out.settings = settings;
        }
        out.answers.push((connection, open));
    }
    seen.unmet.extend(config.unmet(&met));
    unknown_groups(&config, &accounts, seen);
    not_reloaded(asker.given, &looked_at, pid_file.as_deref(), &mut out.findings);
    if !tree.is_staged() {
        let of = (seen.wanted, &accounts, &out.settings);
        seen.placed.look(tree, of, |user| asker.about(user))?;
    }
    Ok(true)
}

/// Each sshd that goes by something else than what sshd was asked about.
fn not_reloaded(
    given: &Given,
    looked_at: &BTreeSet<PathBuf>,
    pid_file: Option<&str>,
    findings: &mut Findings,
) {
    let behind = |one| Some((one, Running::behind(one, looked_at, pid_file)?));
    for (one, Behind { paths, has_pid_file }) in given.running.iter().filter_map(behind) {
        let folder = |path: &Path| if path.is_dir() { "/" } else { "" };
        let named = paths.iter().map(|path| format!("`{}{}`", path.display(), folder(path)));
        let named: Vec<String> = named.take(told::NAMED).collect();
        let more = if paths.len() > named.len() { " and others" } else { "" };
        let message = format!("{}, has not read what changed: {}{more}", one.name(), named.join(", "));
        let help = if has_pid_file {
            format!("reload it: `systemctl reload ssh`, or `kill -HUP {}`", one.process())
        } else {
            "restart it: no PidFile names it, so that nothing shows whether it was told to reload".to_owned()
        };
        findings.push(Diagnostic::global(code::SSHD_NOT_RELOADED, message).help(help));
    }
}

fn too_many(TooMany(number): TooMany) -> StageError {
    StageError::Said(format!(
        "{number} connections would have to be asked about, more than {}: the Match lines tell too many apart. \
         Have fewer of them name several of user, group, host, address, local address and port at once, and fewer of \
         their patterns stand open at both ends (`*dmz*`)",
        matrix::MOST
    ))
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

/// Asks sshd, with what it is started with.
struct Asker<'a> {
    stage: &'a Stage,
    key: Option<&'a HostKey>,
    given: &'a Given,
}

impl Asker<'_> {
    /// What sshd prints for a connection, or what it says against its configuration.
    fn ask(&self, asked: Option<&Connection>) -> Result<Result<String, String>, StageError> {
        self.run(&self.given.args, self.key, asked)
    }

    /// The settings of an account that comes from this machine; none where sshd does not take its files.
    fn about(&self, user: &str) -> Result<Option<Effective>, StageError> {
        let here = "127.0.0.1".to_owned();
        let (user, host, addr, laddr) = (user.to_owned(), here.clone(), here.clone(), here);
        let asked = Connection { user, host, addr, laddr, lport: matrix::PORT, rdomain: None };
        Ok(self.ask(Some(&asked))?.ok().map(|text| Effective::read(&text)))
    }

    /// What it says of the rendered file alone, without options.
    fn alone(&self, key: &HostKey, asked: &Connection) -> Result<Effective, StageError> {
        let alone = ["-f".to_owned(), DROP_IN.to_owned()];
        let printed = self.run(&alone, Some(key), Some(asked))?;
        let failed = |said| StageError::Said(format!("sshd does not take {DROP_IN} by itself: {said}"));
        printed.map(|text| Effective::read(&text)).map_err(failed)
    }

    /// Looks whether sshd follows every Include that was followed here: of another tree it has no other files.
    ///
    /// # Errors
    /// When it follows one more.
    fn includes(&self, tree: &Tree) -> Result<(), StageError> {
        if tree.is_real() {
            return Ok(());
        }
        let mut args = ["-t", "-o", "LogLevel=DEBUG2"].map(ToOwned::to_owned).to_vec();
        args.extend_from_slice(&self.given.args);
        args.extend(with(self.key));
        let said = words(&self.stage.run(SSHD, &args)?.stderr);
        // A sign that is no plain letter is told by its number.
        let patterns =
            said.lines().filter_map(|line| line.split_once(": new include ")).map(|(_, of)| of.trim());
        match patterns.filter(|of| !of.contains('\\')).find(|of| !tree.has_followed(of)) {
            None => Ok(()),
            Some(pattern) => Err(StageError::Said(format!(
                "sshd includes `{pattern}`, which fwc does not see in the files: it was not asked about that"
            ))),
        }
    }

    fn run(
        &self,
        given: &[String],
        key: Option<&HostKey>,
        asked: Option<&Connection>,
    ) -> Result<Result<String, String>, StageError> {
        let mut args = vec![if asked.is_some() { "-T" } else { "-t" }.to_owned()];
        args.extend_from_slice(given);
        if let Some(c) = asked {
            let Connection { user, host, addr, laddr, lport, rdomain } = c;
            let rdomain = rdomain.as_ref().map_or_else(String::new, |name| format!(",rdomain={name}"));
            args.extend([
                "-C".to_owned(),
                format!("user={user},host={host},addr={addr},laddr={laddr},lport={lport}{rdomain}"),
            ]);
        }
        args.extend(with(key));
        let output = self.stage.run(SSHD, &args)?;
        Ok(if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(words(&output.stderr))
        })
    }
}

/// The option that names a host key.
fn with(key: Option<&HostKey>) -> impl Iterator<Item = String> {
    key.into_iter().flat_map(|key| ["-h".to_owned(), key.path().display().to_string()])
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

/// Lines about which nobody could be asked, and what is not in place, each once.
#[derive(Default)]
struct Seen<'w> {
    unmet: BTreeSet<Span>,
    groups: BTreeSet<(Span, String)>,
    wanted: Option<&'w Wanted>,
    placed: Placed,
}

impl Seen<'_> {
    fn say(self, findings: &mut Findings) {
        for at in self.unmet {
            let message = "no connection is known to which this applies: what its block says was not asked";
            let help = "ask `sshd -T -C user=…,host=…,addr=…` about one, and judge it; or take the block out";
            findings.push(Diagnostic::error(code::SSHD_NOT_ASKED, at, message).help(help));
        }
        for (at, word) in self.groups {
            let message =
                format!("nobody is known in a group `{word}`: what this says of its members was not asked");
            let help = "members from elsewhere (LDAP, a file of another machine) are not seen here: ask `sshd -T -C user=…` about one";
            findings.push(Diagnostic::warning(code::SSHD_UNKNOWN_GROUP, at, message).help(help));
        }
        self.placed.say(findings);
    }
}

/// Whether every group that `AllowGroups` lets in has members that are known.
fn knows_groups(config: &Config, accounts: &Accounts) -> bool {
    let mut all = true;
    config.each(&mut |item| {
        if item.keyword == "allowgroups" {
            all &= item.words.iter().all(|word| accounts.any_in(word));
        }
    });
    all
}

/// What a line says of a group in which nobody is known was asked about nobody.
fn unknown_groups(config: &Config, accounts: &Accounts, seen: &mut Seen<'_>) {
    config.each(&mut |item| {
        let words = config::group_words(item).filter(|word| !word.starts_with('!') && !accounts.any_in(word));
        seen.groups.extend(words.map(|word| (item.at, word.to_owned())));
    });
}
