//! A build directory, written all at once or not at all.
//!
//! *Input*: the files of a build, by relative name ([`Tree`]), and a directory. *Output*: the directory holds
//! exactly those files, or is as it was.
//!
//! *Design decisions*. The new tree is staged beside the directory, each file and folder synced, and the two are
//! exchanged by one system call; so a reader sees the old build or the new one, never a mixture, whatever dies
//! when. Files in the directory that fwc did not write (its manifest does not list them) move over to the new
//! tree untouched; a directory that has files but no manifest of ours is refused, and so is a build that would
//! replace a file of someone else. A working directory inside the old tree goes stale, as after `git checkout`.

#![expect(clippy::disallowed_methods, reason = "this is where output is written, atomically")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::{Component, Path, PathBuf};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use super::Failure;
use super::manifest;
use super::unified::unified;
use crate::durable;

/// Texts by their relative names. Most lie where they were made: large ones would take their room twice.
pub(super) type Files<'t> = BTreeMap<String, Cow<'t, str>>;

/// The files of a build; the manifest is one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree<'t> {
    files: Files<'t>,
}

/// What [`Tree::write`] did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Whether anything was written at all.
    pub(super) changed: bool,
    /// Files of the build before that this one does not have.
    pub(super) removed: Vec<String>,
}

/// How a directory and a build differ in one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The relative name.
    pub(super) path: String,
    /// `missing`, `left over` or `changed`.
    pub(super) kind: &'static str,
    /// As `diff -u` says it.
    pub(super) text: String,
    /// Whether it says no more than where statements stand, and what the text of the policy is.
    pub(super) placed: bool,
}

impl<'t> Tree<'t> {
    /// A tree of these files. Names that would leave the directory are a bug of fwc, and refused.
    pub(super) fn new(files: Files<'t>) -> Result<Self, Failure> {
        match files.keys().find(|name| !is_inside(name)) {
            Some(name) => Err(Failure::new(format!("`{name}` cannot be the name of a file of a build"))),
            None => Ok(Self { files }),
        }
    }

    /// How many files.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Names and contents.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.as_ref()))
    }

    /// What of an earlier build in `dir` is not in this tree: [`Tree::write`] takes it away.
    #[cfg(feature = "bastion")]
    pub(super) fn removes(&self, dir: &Path) -> Result<Vec<String>, Failure> {
        let ours = Old::read(&real(dir)?, dir)?.ours;
        Ok(ours.into_iter().filter(|name| !self.files.contains_key(name)).collect())
    }

    /// Makes `dir` hold this tree.
    pub(super) fn write(&self, dir: &Path) -> Result<Written, Failure> {
        let real = real(dir)?;
        let old = Old::read(&real, dir)?;
        old.refuse_conflicts(self, dir)?;
        let removed: Vec<String> =
            old.ours.iter().filter(|name| !self.files.contains_key(*name)).cloned().collect();
        let same = |(name, text): (&str, &str)| holds(&real.join(name), text.as_bytes()).unwrap_or(false);
        if removed.is_empty() && self.files().all(same) {
            return Ok(Written { changed: false, removed });
        }
        let parent = real.parent().ok_or_else(|| Failure::new("the root directory cannot be a build"))?;
        fs::create_dir_all(parent).map_err(|e| Failure::io("create", parent, &e))?;
        let _until_written = Uninterrupted::begin().map_err(|e| Failure::io("write", dir, &e))?;
        let stage = self.stage(&real, parent).map_err(|e| unwritable(dir, &e))?;
        exchange(stage.path(), &real).map_err(|e| unwritable(dir, &e))?;
        // From here on the stage holds the old tree: it may go only once what is not ours has left it.
        let before = stage.keep();
        let moved = carry(&before, &real, "", &old.ours)
            .and_then(|()| if before.exists() { fs::remove_dir_all(&before) } else { Ok(()) })
            .and_then(|()| durable::sync_folder(parent));
        moved.map_err(|e| {
            let failure = Failure::io("tidy up after writing", dir, &e);
            failure.help(format!("the build is written; what was there before is in `{}`", before.display()))
        })?;
        Ok(Written { changed: true, removed })
    }

    /// Where `dir` is not this tree; files that are not of a build do not count. Of the tree of one machine (the folder
    /// `only`) what a build of several holds besides does not count, nor its manifest, which is of them all.
    pub(super) fn differences(&self, dir: &Path, only: Option<&str>) -> Result<Vec<Difference>, Failure> {
        fs::read_dir(dir).map_err(|e| Failure::io("read", dir, &e))?;
        let listed = manifest::listed(&fs::read_to_string(dir.join(manifest::NAME)).unwrap_or_default());
        let mut names: BTreeSet<&String> = self.files.keys().chain(listed.iter().flatten()).collect();
        let others = |name: &&String| {
            **name != manifest::NAME && only.is_some_and(|only| !Path::new(name.as_str()).starts_with(only))
        };
        if names.iter().any(others) {
            names.retain(|name| !others(name) && *name != manifest::NAME);
        }
        let mut differences = Vec::new();
        for name in names {
            let path = dir.join(name);
            let there = match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_file() => {
                    Some(fs::read(&path).map_err(|e| Failure::io("read", &path, &e))?)
                }
                Ok(_) | Err(_) => None,
            };
            let wanted = self.files.get(name).map(Cow::as_ref);
            if there.as_deref() == wanted.map(str::as_bytes) {
                continue;
            }
            let old = String::from_utf8_lossy(there.as_deref().unwrap_or_default()).into_owned();
            let shown = path.display().to_string();
            let (old_name, new_name) = (
                if there.is_some() { shown.as_str() } else { "/dev/null" },
                if wanted.is_some() { shown.as_str() } else { "/dev/null" },
            );
            let text = unified(old_name, &old, new_name, wanted.unwrap_or_default());
            let kind = match (there.is_some(), wanted.is_some()) {
                (false, _) => "missing",
                (true, false) => "left over",
                (true, true) => "changed",
            };
            let placed =
                there.is_some() && wanted.is_some_and(|wanted| manifest::is_placed(name, &old, wanted));
            differences.push(Difference { path: name.clone(), kind, text, placed });
        }
        Ok(differences)
    }

    /// Writes the tree into a fresh folder beside the directory; the folder goes if anything fails.
    fn stage(&self, real: &Path, parent: &Path) -> io::Result<tempfile::TempDir> {
        use std::os::unix::fs::PermissionsExt;
        let name = real.file_name().unwrap_or_default().to_string_lossy();
        let open = fs::Permissions::from_mode(0o777); // less the umask
        let stage =
            tempfile::Builder::new().prefix(&format!(".{name}.fwc-")).permissions(open).tempdir_in(parent)?;
        let mut folders = BTreeSet::from([stage.path().to_owned()]);
        for (name, text) in &self.files {
            let path = stage.path().join(name);
            let folder = path.parent().unwrap_or(stage.path());
            fs::create_dir_all(folder)?;
            folders
                .extend(folder.ancestors().take_while(|f| f.starts_with(stage.path())).map(Path::to_owned));
            let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            file.write_all(text.as_bytes())?;
        }
        // Apart from the writing: what a journal has taken in for the first of them it has for the others.
        for name in self.files.keys() {
            fs::File::open(stage.path().join(name))?.sync_all()?;
        }
        if let Ok(meta) = fs::metadata(real) {
            fs::set_permissions(stage.path(), meta.permissions())?;
        }
        for folder in folders.iter().rev() {
            durable::sync_folder(folder)?;
        }
        Ok(stage)
    }
}

/// Interruptions wait until it is dropped: nobody else would take the stage away. What no process hears of (SIGKILL, the power)
/// leaves one beside the directory, `.NAME.fwc-…`, and the directory as it was or as it will be.
struct Uninterrupted(SigSet);

impl Uninterrupted {
    fn begin() -> io::Result<Self> {
        let ends: SigSet =
            [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect();
        Ok(Self(ends.thread_swap_mask(SigmaskHow::SIG_BLOCK)?))
    }
}

impl Drop for Uninterrupted {
    fn drop(&mut self) {
        // It was a mask before.
        let _ = self.0.thread_set_mask();
    }
}

/// Replaces one file, durably and at once: a reader sees the old text or the new one. Mode and owner stay: root, who mends
/// the keys of somebody else, does not take them away.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let rights = durable::Rights::of(&fs::metadata(&path)?);
    durable::replace(&path, text.as_bytes(), rights)
}

/// What a directory holds before.
struct Old {
    /// Files that a manifest of ours lists, itself included, whether they are there or not.
    ours: BTreeSet<String>,
    /// Everything else, folders left out.
    foreign: BTreeSet<String>,
}

impl Old {
    fn read(real: &Path, dir: &Path) -> Result<Self, Failure> {
        let mut old = Self { ours: BTreeSet::new(), foreign: BTreeSet::new() };
        if !real.exists() {
            return Ok(old);
        }
        let mut entries = fs::read_dir(real).map_err(|e| Failure::io("read", dir, &e))?;
        if entries.next().is_none() {
            return Ok(old);
        }
        let text = fs::read_to_string(real.join(manifest::NAME)).unwrap_or_default();
        let Some(listed) = manifest::listed(&text) else {
            let failure = Failure::new(format!("`{}` holds files, and no manifest of fwc", dir.display()));
            return Err(failure.help("name a folder that is new, empty, or was written by fwc"));
        };
        old.ours = listed;
        files_below(real, "", &mut old.foreign).map_err(|e| Failure::io("read", dir, &e))?;
        old.foreign.retain(|name| !old.ours.contains(name));
        Ok(old)
    }

    /// A file of someone else may not be replaced, nor stand where a folder must, nor the reverse.
    fn refuse_conflicts(&self, tree: &Tree<'_>, dir: &Path) -> Result<(), Failure> {
        for foreign in &self.foreign {
            let clash = tree.files.keys().find(|name| {
                *name == foreign
                    || name.strip_prefix(foreign.as_str()).is_some_and(|rest| rest.starts_with('/'))
                    || foreign.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/'))
            });
            if clash.is_some() {
                let path = dir.join(foreign);
                let failure =
                    Failure::new(format!("`{}` is in the way, and fwc did not write it", path.display()));
                return Err(failure.help("move it away, or name another folder"));
            }
        }
        Ok(())
    }
}

/// Where a directory really is: a symbolic link stays, and what it names is written.
fn real(dir: &Path) -> Result<PathBuf, Failure> {
    match fs::canonicalize(dir) {
        Ok(real) if real.is_dir() => Ok(real),
        Ok(_) => Err(Failure::new(format!("`{}` is no folder", dir.display()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(dir).is_err() => {
            std::path::absolute(dir).map_err(|e| Failure::io("write", dir, &e))
        }
        Err(e) => Err(Failure::io("write", dir, &e)),
    }
}

/// Whether a file holds exactly this. It is read in pieces: whole it would take the room of the text again.
fn holds(path: &Path, text: &[u8]) -> io::Result<bool> {
    const PIECE: usize = 1 << 16;
    let file = fs::File::open(path)?;
    if !file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == text.len() as u64) {
        return Ok(false);
    }
    let (mut file, mut left) = (io::BufReader::with_capacity(PIECE, file), text);
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(left.is_empty());
        }
        let Some(rest) = left.strip_prefix(piece) else { return Ok(false) };
        left = rest;
        let read = piece.len();
        file.consume(read);
    }
}

/// Puts the staged tree in place; afterwards the stage's name holds what was there before, if anything.
fn exchange(stage: &Path, real: &Path) -> io::Result<()> {
    if !real.exists() {
        return fs::rename(stage, real);
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use nix::errno::Errno;
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        match renameat2(AT_FDCWD, stage, AT_FDCWD, real, RenameFlags::RENAME_EXCHANGE) {
            Ok(()) => return Ok(()),
            // A file system that cannot exchange (NFS).
            Err(Errno::EINVAL | Errno::ENOSYS) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // For a moment nothing is there; never a part.
    let mut aside = stage.as_os_str().to_owned();
    aside.push("-before");
    fs::rename(real, &aside)?;
    fs::rename(stage, real).inspect_err(|_| {
        let _ = fs::rename(&aside, real);
    })?;
    fs::rename(&aside, stage)
}

/// Moves what is not ours from the old tree to the new one; ours stays behind.
fn carry(old: &Path, new: &Path, below: &str, ours: &BTreeSet<String>) -> io::Result<()> {
    if !old.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(old)? {
        let entry = entry?;
        let name = join(below, &entry.file_name().to_string_lossy());
        let (from, to) = (entry.path(), new.join(entry.file_name()));
        if !entry.file_type()?.is_dir() {
            if !ours.contains(&name) {
                fs::rename(&from, &to)?;
            }
        } else if to.is_dir() {
            carry(&from, &to, &name, ours)?;
        } else if holds_only_ours(&from, &name, ours)? {
            // Nothing to keep.
        } else {
            fs::create_dir(&to)?;
            carry(&from, &to, &name, ours)?;
        }
    }
    Ok(())
}

/// Whether a folder has files, and all of them are ours: then it goes with them.
fn holds_only_ours(folder: &Path, name: &str, ours: &BTreeSet<String>) -> io::Result<bool> {
    let mut files = BTreeSet::new();
    files_below(folder, name, &mut files)?;
    Ok(!files.is_empty() && files.is_subset(ours))
}

fn files_below(folder: &Path, below: &str, files: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = join(below, &entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), &name, files)?;
        } else {
            files.insert(name);
        }
    }
    Ok(())
}

fn join(below: &str, name: &str) -> String {
    if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") }
}

/// Whether a relative name stays inside its directory.
pub(super) fn is_inside(name: &str) -> bool {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    plain && !name.is_empty() && !name.contains('\0') && !name.ends_with('/')
}

fn unwritable(dir: &Path, error: &io::Error) -> Failure {
    let failure = Failure::io("write", dir, error);
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => {
            failure.help("a build is staged beside its folder and then takes its place: name a folder inside one you may write")
        }
        _ => failure,
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
