//! Whether the rendered files are where sshd looks for them, as they were written, and such that it takes them.
//!
//! *Input*: the tree, what sshd says of each account, and what is wanted: the folder that `compile` wrote, or the record of what
//! was applied. *Output*: findings.
//!
//! *Design decisions*. Where nobody says what is wanted, what the settings themselves say is: whoever `AllowUsers` names has a
//! file of keys. A file is sound as `apply` makes it (root's, read by everybody, written by nobody else, each folder above it
//! likewise): sshd reads it as the one who logs in, and its `StrictModes` takes no more than that but a file of that one's own,
//! by which they would give themselves keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::apply::build::digest;
use crate::bastion::folder::Folder;
use crate::diag::{Diagnostic, Findings, Severity, code};

use super::accounts::Accounts;
use super::effective::Effective;
use super::meant::DROP_IN;
use super::tree::Tree;

/// What the files are to be.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Those of a folder, wherever sshd looks for them.
    Folder(String, Folder),
    /// What was put in place, by path and digest.
    Applied(BTreeMap<String, String>),
}

impl Wanted {
    /// Whose word it is.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Folder(name, _) => format!("the files of `{name}`"),
            Self::Applied(_) => "what `fwc bastion apply` put in place".to_owned(),
        }
    }
}

/// What is wrong, each once, with what helps; the errors among it.
#[derive(Debug, Default)]
pub(super) struct Placed {
    found: BTreeMap<String, (Severity, &'static str)>,
}

const PUT: &str = "put the rendered files in place again: `fwc bastion apply FOLDER`";
const OWN: &str =
    "have root own it, and nobody else write it: `chown root:root`, `chmod 644`, of a folder `chmod 755`";

/// The first file of `AuthorizedKeysFile` for an account; none where it hangs on a home.
pub(crate) fn keys_file(all: &str, account: &str) -> Option<PathBuf> {
    let first = all.split_whitespace().next()?;
    let path = first.replace("%u", account).replace("%%", "%");
    (first.starts_with('/') && !first.contains("%h") && !path.contains("..")).then(|| path.into())
}

impl Placed {
    /// Looks at all of it. `ask` says what holds for an account.
    pub(super) fn look<E>(
        &mut self,
        tree: &Tree,
        (wanted, accounts, settings): (Option<&Wanted>, &Accounts, &Effective),
        mut ask: impl FnMut(&str) -> Result<Option<Effective>, E>,
    ) -> Result<(), E> {
        if wanted.is_none() && !matches!(tree.bytes(DROP_IN), Ok(Some(_))) {
            return Ok(());
        }
        let allowed = Allowed::of(settings);
        let mut names: BTreeSet<String> = allowed.names.clone();
        match wanted {
            Some(Wanted::Folder(_, folder)) => names.extend(folder.keys.keys().cloned()),
            Some(Wanted::Applied(files)) => {
                let name = |path: &String| Some(Path::new(path).file_name()?.to_str()?.to_owned());
                names.extend(files.keys().filter(|path| *path != DROP_IN).filter_map(name));
            }
            None => {}
        }
        let mut places: BTreeMap<String, String> = BTreeMap::new();
        for name in names {
            let Some(settings) = ask(&name)? else { continue };
            let place = settings.one("authorizedkeysfile").and_then(|all| keys_file(all, &name));
            if let Some(place) = place.and_then(|place| place.to_str().map(ToOwned::to_owned)) {
                places.insert(name, place);
            }
        }
        let files = wanted.map(|wanted| files_of(wanted, &places));
        if let (Some(wanted), Some(files)) = (wanted, &files) {
            self.compare(tree, files, &wanted.words());
            self.strays(tree, files, &places, &allowed);
        }
        for (name, place) in &places {
            match tree.bytes(place) {
                Ok(Some(_)) => self.rights(tree, place, name, accounts.is_root(name)),
                // What is wanted and is not there was said.
                Ok(None) if files.is_none() && allowed.names.contains(name) => {
                    let message =
                        format!("`{place}` is not there: `{name}`, whom `AllowUsers` names, has no keys");
                    self.error(message, PUT);
                }
                Ok(None) => {}
                Err(why) => self.error(format!("`{place}` {why}: `{name}` has no keys"), PUT),
            }
        }
        Ok(())
    }

    /// Each file, by its digest.
    fn compare(&mut self, tree: &Tree, files: &BTreeMap<String, String>, wanted: &str) {
        for (path, meant) in files {
            match tree.bytes(path) {
                Ok(Some(bytes)) if digest(&bytes) == *meant => {}
                Ok(Some(_)) => self.error(format!("`{path}` says something else than {wanted}"), PUT),
                Ok(None) => self.error(format!("`{path}` is not there, and is among {wanted}"), PUT),
                Err(why) => self.error(format!("`{path}` {why}, and is among {wanted}"), PUT),
            }
        }
    }

    /// Files of keys beside those that are wanted.
    fn strays(
        &mut self,
        tree: &Tree,
        files: &BTreeMap<String, String>,
        places: &BTreeMap<String, String>,
        allowed: &Allowed,
    ) {
        // A folder that has a file for each account, called like it.
        let folder = |(name, place): (&String, &String)| {
            let place = Path::new(place);
            let own = place.file_name().is_some_and(|file| file.to_str() == Some(name));
            place.parent().filter(|_| own).and_then(Path::to_str).map(ToOwned::to_owned)
        };
        let folders: BTreeSet<String> = places.iter().filter_map(folder).collect();
        for folder in folders {
            for name in tree.names(&folder) {
                let path = format!("{folder}/{name}");
                // Nobody's name begins with a dot: what is written beside the place and renamed.
                if files.contains_key(&path) || name.starts_with('.') {
                    continue;
                }
                if allowed.may(&name) {
                    let message =
                        format!("`{path}` is a file of keys that nobody wrote, and lets them in as `{name}`");
                    self.error(message, "remove it, or have the policy give that account its keys");
                } else {
                    let message = format!(
                        "`{path}` is a file of keys that nobody wrote; `AllowUsers` leaves `{name}` out"
                    );
                    let help = "remove it: the next `AllowUsers` may not";
                    self.found.insert(message, (Severity::Warning, help));
                }
            }
        }
    }

    /// Whether sshd takes a file of keys, and nobody but root changes it: it and each folder above it.
    fn rights(&mut self, tree: &Tree, place: &str, name: &str, is_root: bool) {
        const WRITTEN: u32 = 0o022;
        for (path, at) in tree.way_up(place) {
            let Ok(meta) = fs::metadata(&at) else { continue };
            let (shown, mode) = (path.display(), meta.mode() & 0o7777);
            if meta.uid() != 0 {
                let whom = format!("belongs to user {}, who may change what lets in as `{name}`", meta.uid());
                self.error(format!("`{shown}` {whom}"), OWN);
            }
            if mode & WRITTEN != 0 {
                let whom = format!("may be written by others than root (mode {mode:o})");
                self.error(format!("`{shown}` {whom}: sshd takes no keys from there, or anybody's"), OWN);
            }
            let needed = if meta.is_dir() { 0o001 } else { 0o004 };
            if mode & needed == 0 && !is_root {
                let message = format!(
                    "`{shown}` has mode {mode:o}, and sshd reads keys as the one who logs in: `{name}` has none"
                );
                self.error(message, OWN);
            }
        }
    }

    fn error(&mut self, message: String, help: &'static str) {
        self.found.insert(message, (Severity::Error, help));
    }

    /// All of it as findings.
    pub(super) fn say(self, findings: &mut Findings) {
        for (message, (severity, help)) in self.found {
            let finding = Diagnostic::global(code::SSHD_NOT_IN_PLACE, message).help(help);
            findings.push(Diagnostic { severity, ..finding });
        }
    }
}

/// Where each file belongs, with its digest.
fn files_of(wanted: &Wanted, places: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    match wanted {
        Wanted::Applied(files) => files.clone(),
        Wanted::Folder(_, folder) => {
            let keys =
                folder.keys.iter().filter_map(|(name, text)| Some((places.get(name)?.clone(), digest(text))));
            keys.chain([(DROP_IN.to_owned(), digest(&folder.settings))]).collect()
        }
    }
}

/// Whom the settings let in.
struct Allowed {
    names: BTreeSet<String>,
    /// Names with signs that stand for others; where no word is said at all, everybody.
    others: bool,
}

impl Allowed {
    fn of(settings: &Effective) -> Self {
        let words: Vec<&str> =
            settings.all("allowusers").iter().flat_map(|all| all.split_whitespace()).collect();
        let others = |word: &&str| word.contains(['*', '?']) && !word.starts_with('!');
        let is_name = |word: &&str| !word.contains(['*', '?', '!']);
        let name = |word: &str| super::accounts::user_and_from(word).0.to_owned();
        Self {
            others: words.is_empty() || words.iter().any(others),
            names: words.iter().copied().filter(is_name).map(name).collect(),
        }
    }

    fn may(&self, name: &str) -> bool {
        self.others || self.names.contains(name)
    }
}
