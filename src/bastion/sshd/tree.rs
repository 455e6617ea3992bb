//! Files below a folder that stands for `/`.

#![expect(clippy::disallowed_methods, reason = "reads the configuration of sshd")]

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::bastion::keys::from;

use super::accounts::Accounts;
use super::config::Files;
use super::stage::StageError;

/// So many symbolic links are followed, as by the kernel.
const LINKS: usize = 40;

/// Files below a folder that stands for `/`, but those of `/etc/ssh` where a stage has others there.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) ssh: Option<PathBuf>,
    /// What lies outside of `/etc`, where alone a stage has the files of a tree: sshd reads the machine's own there.
    strayed: Vec<PathBuf>,
}

impl Tree {
    pub(crate) fn new(root: PathBuf, ssh: Option<PathBuf>) -> Self {
        Self { root, ssh, strayed: Vec::new() }
    }

    /// Whether it is this machine.
    pub(super) fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The machine's accounts and groups. A byte that is no UTF-8 spoils a name, or what nobody reads here, and not the rest.
    ///
    /// # Errors
    /// When a file cannot be read: whom to ask about is not known then.
    pub(super) fn accounts(&self) -> Result<Accounts, StageError> {
        let text = |path: &str| {
            let at = self.place(path).unwrap_or_else(|| path.into());
            let bytes = fs::read(&at).map_err(StageError::system(format!("read {}", at.display())))?;
            Ok::<_, StageError>(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Accounts::read(&text("/etc/passwd")?, &text("/etc/group")?))
    }

    /// What was read that sshd did not: a link, or an Include, leads out of the folder that stands for `/etc`.
    pub(super) fn strayed(&self) -> Option<&PathBuf> {
        self.strayed.first()
    }

    /// Where a path lies; none where links lead round. Links are followed here, for an absolute one starts at the tree's root
    /// and not at the machine's.
    pub(super) fn place(&self, path: &str) -> Option<PathBuf> {
        self.within(path).map(|within| self.outside(&within))
    }

    /// A path of the tree without links in it.
    fn within(&self, path: &str) -> Option<PathBuf> {
        let parts = |path: &Path| -> Vec<OsString> {
            path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
        };
        let mut left = parts(Path::new(path));
        let (mut done, mut followed) = (PathBuf::from("/"), 0usize);
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
            let Ok(target) = fs::read_link(self.outside(&next)) else {
                done = next;
                continue;
            };
            followed = followed.saturating_add(1);
            if followed > LINKS {
                return None;
            }
            left.extend(parts(&target));
        }
        Some(done)
    }

    fn outside(&self, within: &Path) -> PathBuf {
        match (&self.ssh, within.strip_prefix("/etc/ssh")) {
            (Some(staged), Ok(below)) => staged.join(below),
            _ => self.root.join(within.strip_prefix("/").unwrap_or(within)),
        }
    }
}

impl Files for Tree {
    fn text(&mut self, path: &str) -> Option<String> {
        const LONGEST: u64 = 16 << 20;
        let within = self.within(path)?;
        let at = self.outside(&within);
        let sound = fs::metadata(&at).is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST);
        // Names of ports are the same everywhere, and on some machines not below `/etc`.
        if sound && !self.is_real() && !within.starts_with("/etc") && path != "/etc/services" {
            self.strayed.push(within);
        }
        sound.then(|| fs::read(&at).ok()).flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
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
                let Some(entries) = self.place(folder).and_then(|at| fs::read_dir(at).ok()) else { continue };
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

#[cfg(test)]
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
        assert!(tree.strayed().is_none());
        assert!(tree.text("/etc/ssh/out").is_some());
        assert_eq!(tree.strayed(), Some(&PathBuf::from("/opt/stray")));
    }
}
