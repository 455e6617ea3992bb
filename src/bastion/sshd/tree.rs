//! Files below a folder that stands for `/`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use super::accounts::Accounts;
use super::config::Files;
use super::glob::Part;
use super::stage::{Stage, StageError};

/// So many symbolic links are followed, as by the kernel.
const LINKS: usize = 40;
/// What a link leads to that switches a file off.
const NOTHING: &str = "/dev/null";

/// Files below a folder that stands for `/`, but those of `/etc/ssh` where a stage has others there.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) ssh: Option<PathBuf>,
    /// What of this machine was looked at for its settings, links on the way among it.
    looked_at: BTreeSet<PathBuf>,
    /// What sshd reads and this does not, or reads otherwise: why the files cannot be gone by.
    doubts: Vec<String>,
    /// Patterns of which it was looked up what they stand for.
    patterns: BTreeSet<String>,
    /// Of another tree the files that were read, as they were, for sshd to read the same.
    read: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    pub(crate) fn new(root: PathBuf, ssh: Option<PathBuf>) -> Self {
        Self {
            root,
            ssh,
            looked_at: BTreeSet::new(),
            doubts: Vec::new(),
            patterns: BTreeSet::new(),
            read: BTreeMap::new(),
        }
    }

    /// Whether it is this machine.
    pub(super) fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Whether `/etc/ssh` is not yet what will be there.
    pub(super) fn is_staged(&self) -> bool {
        self.ssh.is_some()
    }

    /// What was looked at since this was last asked, where it is what a running sshd goes by.
    pub(super) fn looked_at(&mut self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.looked_at)
    }

    /// The machine's accounts and groups, as sshd finds them on the stage. A byte that is no UTF-8 spoils what nobody reads
    /// here, and not the rest.
    ///
    /// # Errors
    /// When a file cannot be read, or a name in it is no text: whom to ask about is not known then.
    pub(super) fn accounts(&self, stage: &Stage) -> Result<Accounts, StageError> {
        let text = |path: &str, names: &[usize]| {
            let at = self.place(path).unwrap_or_else(|| path.into());
            let none = || std::io::Error::from(ErrorKind::NotFound);
            let what = format!("read {}", at.display());
            let bytes = contents(&at).map_err(|why| StageError::Said(format!("cannot {what}: it {why}")))?;
            let bytes = bytes.ok_or_else(none).map_err(StageError::system(what))?;
            for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
                let named =
                    |field: &&usize| line.split(|byte| *byte == b':').nth(**field).unwrap_or_default();
                if names.iter().any(|field| str::from_utf8(named(&field)).is_err()) {
                    let number = number.saturating_add(1);
                    let what = "a name that is not UTF-8, and sshd was asked about another";
                    return Err(StageError::Said(format!("line {number} of {path} has {what}")));
                }
            }
            Ok::<_, StageError>(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (passwd, group) = (text("/etc/passwd", &[0])?, text("/etc/group", &[0, 3])?);
        let accounts = Accounts::read(&passwd, &group);
        let found = from_elsewhere(stage, &accounts)?;
        Ok(if found.is_empty() {
            accounts
        } else {
            Accounts::read(&format!("{}\n{found}", passwd.trim_end()), &group)
        })
    }

    /// Goes on only where what was read here is what sshd would read.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn is_sound(&self) -> Result<(), StageError> {
        self.doubts.first().map_or(Ok(()), |why| Err(StageError::Said(why.clone())))
    }

    /// Whether it was looked up what a pattern of an Include stands for.
    pub(super) fn has_followed(&self, pattern: &str) -> bool {
        self.patterns.contains(pattern)
    }

    /// Puts what was read of another tree onto a bare stage.
    ///
    /// # Errors
    /// When a file does not get there.
    pub(super) fn lay(&mut self, stage: &Stage) -> Result<(), StageError> {
        std::mem::take(&mut self.read).into_iter().try_for_each(|(path, bytes)| stage.put(&path, bytes))
    }

    /// Puts a file of another tree there, if it has one.
    ///
    /// # Errors
    /// When it is no regular file.
    pub(super) fn copy(&self, path: &str, stage: &Stage) -> Result<(), StageError> {
        let Some(at) = self.place(path) else { return Ok(()) };
        let refused = |why| StageError::Said(format!("cannot read {}: it {why}", at.display()));
        contents(&at).map_err(refused)?.map_or(Ok(()), |bytes| stage.put(path, bytes))
    }

    /// What is in a file, if it is there.
    ///
    /// # Errors
    /// Why it is not read.
    pub(super) fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, &'static str> {
        self.place(path).map_or(Ok(None), |at| contents(&at))
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = self.place(folder).and_then(|at| fs::read_dir(at).ok());
        let name = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let mut names: Vec<String> = entries.into_iter().flatten().filter_map(name).collect();
        names.sort_unstable();
        names
    }

    /// What a path leads to, and the folders above that, as sshd goes up them (`safe_path`): each with where this process
    /// reaches it. The root of another tree is no folder of the machine's.
    pub(super) fn way_up(&self, path: &str) -> Vec<(PathBuf, PathBuf)> {
        let Some(way) = self.within(path) else { return Vec::new() };
        let own = |path: &&Path| self.is_real() || *path != Path::new("/");
        way.to.ancestors().filter(own).map(|path| (path.to_owned(), self.outside(path))).collect()
    }

    /// Where a path lies; none where links lead round. Links are followed here, for an absolute one starts at the tree's root
    /// and not at the machine's.
    pub(super) fn place(&self, path: &str) -> Option<PathBuf> {
        self.within(path).map(|way| self.outside(&way.to))
    }

    /// The way to a path; none where links lead round.
    fn within(&self, path: &str) -> Option<Way> {
        let parts = |path: &Path| -> Vec<OsString> {
            path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
        };
        let mut left = parts(Path::new(path));
        let (mut done, mut links, mut strays) = (PathBuf::from("/"), Vec::new(), false);
        while let Some(part) = left.pop() {
            match Path::new(&part).components().next() {
                Some(Component::Normal(_)) => {}
                Some(Component::ParentDir) => {
                    done.pop();
                    continue;
                }
                Some(Component::RootDir) => {
                    done = PathBuf::from("/");
                    continue;
                }
                _ => continue,
            }
            let next = done.join(&part);
            strays |= !next.starts_with("/etc");
            let Ok(target) = fs::read_link(self.outside(&next)) else {
                done = next;
                continue;
            };
            links.push(self.outside(&next));
            if links.len() > LINKS {
                return None;
            }
            left.extend(parts(&target));
        }
        Some(Way { to: done, strays, links })
    }

    fn outside(&self, within: &Path) -> PathBuf {
        match (&self.ssh, within.strip_prefix("/etc/ssh")) {
            (Some(staged), Ok(below)) => staged.join(below),
            _ => self.root.join(within.strip_prefix("/").unwrap_or(within)),
        }
    }
}

/// The way to a path.
struct Way {
    /// The path in the tree, without links in it.
    to: PathBuf,
    /// Whether it leaves `/etc`, where alone a stage has the files of a tree: sshd goes on among the machine's own there.
    strays: bool,
    /// The links on it, as this process reaches them.
    links: Vec<PathBuf>,
}

impl Tree {
    /// Notes what was looked at.
    fn looks(&mut self, way: &Way) {
        if self.is_real() && !self.is_staged() {
            self.looked_at.extend(way.links.iter().cloned());
            self.looked_at.extend(Some(&way.to).filter(|to| *to != Path::new(NOTHING)).cloned());
        }
    }

    /// Notes a path at which sshd, asked about a tree, finds the machine's own files, if it finds any.
    fn strays_to(&mut self, within: &Path) {
        if !self.is_real() && (self.outside(within).exists() || within.exists()) {
            self.doubts.push(format!(
                "`{}` lies outside of the `etc` of the tree, and sshd would read this machine's: have it lie within, or run \
                 fwc there",
                within.display()
            ));
        }
    }

    fn doubted(&mut self, path: &str, why: &str) {
        self.doubts.push(format!(
            "`{path}` {why}: sshd is not asked about it, since its answer could not be judged"
        ));
    }

    /// Keeps what was read of another tree.
    fn keep(&mut self, path: &str, bytes: &[u8]) {
        if !self.is_real() {
            self.read.insert(path.to_owned(), bytes.to_vec());
        }
    }
}

/// Lines of passwd(5) for those whom a group lists and the file does not have: sshd asks the C library (LDAP), and so does
/// getent(1). Where that is not there nobody is found, and what is said of such groups is told as not asked.
fn from_elsewhere(stage: &Stage, accounts: &Accounts) -> Result<String, StageError> {
    /// So many names fit on a command line, however long they are.
    const AT_ONCE: usize = 1000;
    // A number would be looked up as one.
    let sound = |name: &&str| !name.starts_with('-') && !name.bytes().all(|byte| byte.is_ascii_digit());
    let names: Vec<String> = accounts.strangers().filter(sound).map(ToOwned::to_owned).collect();
    let mut found = String::new();
    for names in names.chunks(AT_ONCE) {
        let args = [&["passwd".to_owned()], names].concat();
        let output = match stage.run("getent", &args) {
            Ok(output) => output,
            Err(StageError::System { source, .. }) if source.kind() == ErrorKind::NotFound => break,
            Err(other) => return Err(other),
        };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if line.split(':').next().is_some_and(|name| names.iter().any(|asked| asked == name)) {
                found.push_str(&format!("{line}\n"));
            }
        }
    }
    Ok(found)
}

/// What is in a regular file; none where there is none, or a folder. Nothing else is read: who reads a pipe waits for
/// whoever writes, and a device may never end.
///
/// # Errors
/// Why it is not read.
fn contents(at: &Path) -> Result<Option<Vec<u8>>, &'static str> {
    const LONGEST: u64 = 16 << 20;
    const LONG: &str = "is longer than 16 MiB";
    const OTHER: &str = "is no regular file, and may never end";
    let Some(meta) = fs::metadata(at).ok().filter(|meta| !meta.is_dir()) else { return Ok(None) };
    if !meta.is_file() {
        return Err(OTHER);
    }
    // It may be another by now: a pipe is opened without waiting, and looked at again.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(at);
    let file = file.map_err(|_| "cannot be read")?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(OTHER);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| "cannot be read")?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LONGEST { Err(LONG) } else { Ok(Some(bytes)) }
}

/// Whether a line that counts is no text; one of notes alone may be what it likes.
fn is_garbled(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start);
    lines.any(|line| !line.starts_with(b"#") && str::from_utf8(line).is_err())
}

impl Files for Tree {
    fn text(&mut self, path: &str) -> Option<String> {
        let way = self.within(path)?;
        // Names of ports are the same everywhere, and on some machines not below `/etc`.
        let ports = path == "/etc/services";
        if !ports {
            self.looks(&way);
        }
        if way.to == Path::new(NOTHING) {
            self.keep(path, &[]);
            return Some(String::new());
        }
        let at = self.outside(&way.to);
        if way.strays && !ports {
            self.strays_to(&way.to);
        }
        let bytes = match contents(&at) {
            Ok(bytes) => bytes?,
            Err(why) => {
                self.doubted(path, why);
                return None;
            }
        };
        self.keep(path, &bytes);
        if !ports && bytes.contains(&0) {
            self.doubted(path, "has a NUL, which sshd takes for the end of a line and reads on");
        } else if !ports && is_garbled(&bytes) {
            self.doubted(path, "has a line that is not UTF-8");
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// glob(3), part by part.
    fn glob(&mut self, pattern: &str) -> Vec<String> {
        self.patterns.insert(pattern.to_owned());
        if pattern.contains('\\') {
            self.doubted(pattern, "has a backslash, which is not followed here");
        }
        let mut found = vec![String::new()];
        let mut left = Some(pattern);
        while let Some(now) = left {
            let (part, rest) = now.split_once('/').map_or((now, None), |(part, rest)| (part, Some(rest)));
            left = rest;
            if part.is_empty() {
                continue;
            }
            if !part.contains(['*', '?', '[']) {
                found.iter_mut().for_each(|path| path.push_str(&format!("/{part}")));
                continue;
            }
            match Part::read(part, rest.unwrap_or_default()) {
                Ok(read) => {
                    let dot = part.starts_with('.');
                    found = found.iter().flat_map(|folder| self.hits(folder, &read, dot)).collect();
                }
                Err(why) => {
                    self.doubted(pattern, why);
                    return Vec::new();
                }
            }
        }
        found.sort_unstable();
        found
    }
}

impl Tree {
    /// The names in a folder that a part of a pattern matches. A leading dot is matched by itself alone: `dot` where the part
    /// begins with one.
    fn hits(&mut self, folder: &str, part: &Part, dot: bool) -> Vec<String> {
        let Some(way) = self.within(folder) else { return Vec::new() };
        self.looks(&way);
        if way.strays {
            self.strays_to(&way.to);
        }
        let Ok(entries) = fs::read_dir(self.outside(&way.to)) else { return Vec::new() };
        let mut all = Vec::new();
        for name in entries.filter_map(|entry| Some(entry.ok()?.file_name())) {
            let text = name.to_string_lossy();
            let shown = dot || !text.starts_with('.');
            let hit = shown && part.matches(&text);
            if name.to_str().is_none() && shown {
                self.doubted(&format!("{folder}/{text}"), "has a name that is not UTF-8");
            } else if hit {
                all.push(format!("{folder}/{text}"));
            }
        }
        all
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a tree is written")]
mod tests {
    use super::*;

    #[test]
    fn links_stay_within_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir_all(etc.join("ssh")).unwrap();
        fs::create_dir_all(dir.path().join("opt")).unwrap();
        fs::write(dir.path().join("opt/stray"), "of the tree").unwrap();
        fs::write(etc.join("ssh/text"), "of the tree").unwrap();
        for (name, to) in [
            ("absolute", "/etc/ssh/text"),
            ("relative", "./text"),
            ("up", "../../../../etc/ssh/text"),
            ("round", "/etc/ssh/round"),
            ("out", "/opt/stray"),
        ] {
            std::os::unix::fs::symlink(to, etc.join("ssh").join(name)).unwrap();
        }
        let mut tree = Tree::new(dir.path().to_owned(), None);
        for name in ["absolute", "relative", "up", "../ssh/absolute"] {
            assert_eq!(tree.text(&format!("/etc/ssh/{name}")).as_deref(), Some("of the tree"), "{name}");
        }
        assert_eq!(tree.text("/etc/ssh/round"), None);
        assert!(tree.is_sound().is_ok());
        assert!(tree.text("/etc/ssh/out").is_some());
        let told = tree.is_sound().unwrap_err().to_string();
        assert!(told.starts_with("`/opt/stray` lies outside"), "{told}");
    }
}
