//! Policy files, and what they include, from the file system.
//!
//! A file is read once however it is named: two names of one inode are one text. Names stay as the user gave
//! them, or are the including file's folder and the words of the `include`, so that nothing said or written
//! depends on where a checkout lies.
//!
//! SECURITY: devices, FIFOs and sockets are refused (a FIFO would hang the run, `/dev/zero` would not end);
//! each file and all of them together are bounded.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;

use crate::source::{FileId, Loader, SourceFile, SourceMap};

use super::failure::{Failure, reason};

/// The longest file that is read, of what people write.
const FILE_LIMIT: u64 = 16 << 20;
/// The longest of what programs write.
const LISTING_LIMIT: u64 = 128 << 20;
/// What all files of a run may come to.
const TOTAL_LIMIT: u64 = 128 << 20;
/// How many files a run may read.
const COUNT_LIMIT: usize = 4096;

/// Reads files for one run.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Device and inode of what was read, with the name it goes by.
    seen: BTreeMap<(u64, u64), String>,
    /// By name, where it really lies.
    places: BTreeMap<String, PathBuf>,
    total: u64,
}

impl Files {
    /// Reads the policies that a command names; none means `policy.fw`.
    pub(super) fn roots(
        &mut self,
        named: &[PathBuf],
        sources: &mut SourceMap,
    ) -> Result<Vec<FileId>, Failure> {
        let mut roots = Vec::new();
        for path in policies(named)? {
            let file = self.read(&path).map_err(|why| {
                let failure = Failure::new(format!("cannot read `{}`: {why}", path.display()));
                if named.is_empty() {
                    failure.help("name a policy file or a folder, or run fwc where `policy.fw` is")
                } else {
                    failure
                }
            })?;
            if sources.find(&file.name).is_none() {
                roots.push(sources.add(file.name, file.text));
            }
        }
        Ok(roots)
    }

    /// Reads one file; the error is the reason alone.
    fn read(&mut self, path: &Path) -> Result<SourceFile, String> {
        // Files are told apart by their names: two that are shown alike would be one.
        let own = path.to_str().ok_or("its name is not UTF-8: rename it")?;
        let (text, inode) = read_text(path, TOTAL_LIMIT.saturating_sub(self.total))?;
        let name = self.seen.get(&inode).cloned().unwrap_or_else(|| own.to_owned());
        if self.seen.insert(inode, name.clone()).is_none() {
            self.total = self.total.saturating_add(text.len() as u64);
            if self.seen.len() > COUNT_LIMIT {
                return Err(format!("more than {COUNT_LIMIT} files"));
            }
        }
        if let Ok(place) = fs::canonicalize(path) {
            self.places.entry(name.clone()).or_insert(place);
        }
        Ok(SourceFile { name, text })
    }
}

impl Loader for Files {
    fn load(&mut self, from: &str, path: &str) -> Result<SourceFile, String> {
        if path.is_empty() || path.contains('\0') {
            return Err("no file has this name".to_owned());
        }
        let joined = Path::new(from).parent().unwrap_or_else(|| Path::new("")).join(path);
        let folded = folded(&joined);
        // `a/../b` is `b` only where `a` is no symbolic link: the short name is used iff it is the same file.
        let same = match (fs::metadata(&joined), fs::metadata(&folded)) {
            (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
            (Ok(_), Err(_)) | (Err(_), _) => false,
        };
        self.read(if same { &folded } else { &joined })
    }

    fn place(&self, name: &str) -> Option<String> {
        self.places.get(name)?.to_str().map(ToOwned::to_owned)
    }
}

/// The policy files that paths mean, a folder's in the order of their names.
pub(super) fn policies(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    if named.is_empty() {
        return Ok(vec![PathBuf::from("policy.fw")]);
    }
    let mut files = Vec::new();
    for path in named {
        if fs::metadata(path).map_err(|e| Failure::io("read", path, &e))?.is_dir() {
            files.extend(of_folder(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |e: io::Error| Failure::io("read", folder, &e);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // Editors keep half-written copies as dot files.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|ext| ext == "fw") && !hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let failure = Failure::new(format!("no policy in `{}`", folder.display()));
        return Err(
            failure.help("a folder stands for the files in it that end in `.fw`, not for those below")
        );
    }
    Ok(files)
}

/// The text of a file of any kind fwc reads, bounded; the error is the reason alone.
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    read_text(path, FILE_LIMIT).map(|(text, _)| text)
}

/// The same for what programs write: a ruleset, a listing, a file of a build. Those of 100,000 flows are longer than what
/// people write.
pub(super) fn listing_of(path: &Path) -> Result<String, String> {
    let bytes =
        in_file(path, |file, length| within(file, length, LISTING_LIMIT, || longer_than(LISTING_LIMIT)))?.0;
    text_in(bytes).map(without_mark)
}

/// The same for a file of another program, to whom a byte order mark is text.
#[cfg(feature = "bastion")]
pub(super) fn raw_text_of(path: &Path) -> Result<String, String> {
    read_raw(path, FILE_LIMIT).map(|(text, _)| text)
}

/// The bytes of a file of any kind fwc reads, bounded; the error is the reason alone.
pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>, String> {
    read_bytes(path, FILE_LIMIT).map(|(bytes, _)| bytes)
}

fn read_text(path: &Path, left: u64) -> Result<(String, (u64, u64)), String> {
    let (text, inode) = read_raw(path, left)?;
    Ok((without_mark(text), inode))
}

/// Windows editors put a byte order mark first; it says nothing.
pub(super) fn without_mark(text: String) -> String {
    text.strip_prefix('\u{feff}').map(ToOwned::to_owned).unwrap_or(text)
}

fn read_raw(path: &Path, left: u64) -> Result<(String, (u64, u64)), String> {
    let (bytes, inode) = read_bytes(path, left)?;
    Ok((text_in(bytes)?, inode))
}

fn text_in(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|e| {
        let before = e.as_bytes().get(..e.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|&&b| b == b'\n').count().saturating_add(1);
        format!("line {line} is not UTF-8")
    })
}

fn read_bytes(path: &Path, left: u64) -> Result<(Vec<u8>, (u64, u64)), String> {
    in_file(path, |file, length| of_length(file, length, left))
}

/// What is read of a plain file, with its device and inode.
fn in_file(
    path: &Path,
    read: impl FnOnce(&File, u64) -> Result<Vec<u8>, String>,
) -> Result<(Vec<u8>, (u64, u64)), String> {
    // Without O_NONBLOCK opening a FIFO waits for its writer.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| reason(&e))?;
    let meta = file.metadata().map_err(|e| reason(&e))?;
    if meta.is_dir() {
        return Err("it is a folder".to_owned());
    }
    if !meta.is_file() {
        return Err("it is no plain file".to_owned());
    }
    Ok((read(&file, meta.len())?, (meta.dev(), meta.ino())))
}

/// Reads to the end of what people write, or to its limit, or to what is left of that of all files.
pub(super) fn bounded(source: impl Read, left: u64) -> Result<Vec<u8>, String> {
    of_length(source, 0, left)
}

fn of_length(source: impl Read, length: u64, left: u64) -> Result<Vec<u8>, String> {
    let limit = FILE_LIMIT.min(left);
    within(source, length, limit, || match limit {
        FILE_LIMIT => longer_than(FILE_LIMIT),
        _ => format!("all files together are longer than {} MiB", TOTAL_LIMIT >> 20),
    })
}

/// Reads to the end, or to a limit. The length that a file says it has is what to make room for, and a promise that a growing
/// file breaks.
fn within(
    source: impl Read,
    length: u64,
    limit: u64,
    beyond: impl FnOnce() -> String,
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let room = usize::try_from(length.min(limit)).unwrap_or_default();
    let _ = bytes.try_reserve_exact(room);
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| reason(&e))?;
    if bytes.len() as u64 > limit {
        return Err(beyond());
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}

fn longer_than(limit: u64) -> String {
    format!("it is longer than {} MiB", limit >> 20)
}

/// The path without `.` and without a folder that the next word leaves again.
fn folded(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for part in path.components() {
        let leaves = part == Component::ParentDir
            && matches!(short.components().next_back(), Some(Component::Normal(_)));
        if leaves {
            short.pop();
        } else if part != Component::CurDir {
            short.push(part);
        }
    }
    short
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes the files that it reads")]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_is_its_policies_in_order_and_not_those_below() {
        let folder = folder(&[("b.fw", ""), ("a.fw", ""), ("c.txt", ""), (".#a.fw", ""), ("d/e.fw", "")]);
        let found = policies(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = found.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.fw", "b.fw"]);
        assert!(policies(&[folder.path().join("d/none")]).is_err());
    }

    #[test]
    fn one_file_has_one_name() {
        let folder = folder(&[("site/policy.fw", "a"), ("lists/x.txt", "\u{feff}1\n")]);
        let policy = folder.path().join("site/policy.fw");
        let (mut files, mut sources) = (Files::default(), SourceMap::default());
        let roots = files.roots(&[policy.clone(), folder.path().join("site")], &mut sources).unwrap();
        assert_eq!(roots.len(), 1, "the file, and the folder that holds it, name one policy");
        let from = policy.display().to_string();
        let first = files.load(&from, "../lists/x.txt").unwrap();
        assert_eq!(first.text, "1\n");
        assert_eq!(first.name, folder.path().join("lists/x.txt").display().to_string());
        std::os::unix::fs::symlink(folder.path().join("lists"), folder.path().join("site/l")).unwrap();
        assert_eq!(files.load(&from, "l/x.txt").unwrap().name, first.name);
        assert_eq!(files.load(&from, "./policy.fw").unwrap().name, from);
    }

    #[test]
    fn what_is_written_calls_a_file_alike_however_it_was_named() {
        let folder = folder(&[("site/policy.fw", ""), ("site/more/x.fw", "")]);
        let names = |named: &[&str]| {
            let (mut files, mut sources) = (Files::default(), SourceMap::default());
            let named: Vec<PathBuf> = named.iter().map(|name| folder.path().join(name)).collect();
            let roots = files.roots(&named, &mut sources).unwrap();
            sources.settle(&files);
            roots.iter().map(|id| sources.portable(*id).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&["site/policy.fw"]), ["policy.fw"]);
        assert_eq!(names(&["site/more/../."]), ["policy.fw"]);
        assert_eq!(names(&["site/policy.fw", "site/more"]), ["policy.fw", "more/x.fw"]);
        assert_eq!(names(&["site/./more/../policy.fw", "site/more/x.fw"]), ["policy.fw", "more/x.fw"]);
    }

    /// `a\xfe.fw` and `a\xff.fw` are shown alike: the second was taken for the first, and what it denied was not denied.
    #[test]
    fn a_name_that_is_not_utf_8_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let folder = folder(&[("sub/a.fw", "")]);
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"sub/b\xfe.fw")), "").unwrap();
        let named = [folder.path().join("sub")];
        let why = Files::default().roots(&named, &mut SourceMap::default()).unwrap_err();
        assert!(format!("{why:?}").contains("its name is not UTF-8"), "{why:?}");
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_reason() {
        let folder = folder(&[("p.fw", ""), ("sub/x", "")]);
        fs::write(folder.path().join("latin"), b"ok\ncaf\xe9\n").unwrap();
        nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let from = folder.path().join("p.fw").display().to_string();
        let why = |path: &str| Files::default().load(&from, path).unwrap_err();
        assert_eq!(why("latin"), "line 2 is not UTF-8");
        assert_eq!(why("fifo"), "it is no plain file");
        assert_eq!(why("/dev/zero"), "it is no plain file");
        assert_eq!(why("sub"), "it is a folder");
        assert_eq!(why("none"), "no such file or directory");
        assert_eq!(why(""), "no file has this name");
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(bounded(io::repeat(b'x'), 10).unwrap_err(), "all files together are longer than 128 MiB");
        assert_eq!(bounded(io::repeat(b'x'), u64::MAX).unwrap_err(), "it is longer than 16 MiB");
        assert_eq!(bounded(&b"0123456789"[..], 10).unwrap().len(), 10);
    }

    #[test]
    fn what_a_program_writes_may_be_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ruleset.json");
        fs::write(&path, "x".repeat(17 << 20)).unwrap();
        assert_eq!(text_of(&path).unwrap_err(), "it is longer than 16 MiB");
        assert_eq!(listing_of(&path).map(|text| text.len()), Ok(17 << 20));
        File::options().write(true).open(&path).unwrap().set_len(LISTING_LIMIT + 1).unwrap();
        assert_eq!(listing_of(&path).unwrap_err(), "it is longer than 128 MiB");
        assert_eq!(listing_of(folder.path()).unwrap_err(), "it is a folder");
    }
}
