//! What is under way, on disk: so that a rollback needs nothing of the process that began.

#![expect(clippy::disallowed_methods, reason = "keeps its record")]

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::listeners::Process;
use super::{ApplyError, canary, put};
use crate::apply::admin::Connection;
use crate::bastion::applied::{KEPT, PENDING as NAME, PLACE};
use crate::bastion::sshd::meant::DROP_IN;
use crate::durable::Rights;

/// The record from the moment on when its files are put back: whoever renames it to this puts back, whoever renames it to [`KEPT`]
/// confirms, and only one of them can.
const TAKEN: &str = "pending.json.taken-back";
/// The record as it was when the old files were kept: by it they come back where the other is damaged.
const SAVED: &str = "saved.json";
/// Apart from the record, which a rollback may have taken away when this is written again.
const BEFORE: &str = "before.json";
/// Apart from the record for the same reason.
const STARTED: &str = "started.json";
/// Held by whoever puts old files back.
const TAKES_BACK: &str = "takes-back";
/// How folders of tries begin.
const WORK: &str = "try-";

/// A change that waits to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which one: the watchdog of another leaves it alone.
    pub id: u64,
    /// What was there before.
    pub files: Vec<Saved>,
    /// Seconds until it is taken back.
    pub wait: u64,
    /// The options of each sshd that listened then; none where an older fwc did not write it down.
    #[serde(default)]
    pub listened: Option<Vec<Vec<String>>>,
}

/// The sshd that a change started, since none ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Which change.
    pub id: u64,
    /// Which sshd.
    pub process: Process,
}

/// The connections that were there before the new settings were: none of them shows that somebody can log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Of which change.
    pub id: u64,
    /// That of who applied, where it is known.
    pub own: Option<Connection>,
    /// All of them to sshd's ports, that one too.
    pub all: Vec<Connection>,
    /// Whether sshd has not read the new files yet: who logs in then comes by the old settings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loading: bool,
}

/// A place, and what it held; its old text is kept beside the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The place.
    pub path: PathBuf,
    /// Whether a file was there.
    pub was_there: bool,
    /// Its mode.
    pub mode: u32,
    /// Its user and group; none where no file was there.
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
    /// The digest of what was put there; none where an older fwc did not write it down.
    #[serde(default)]
    pub applied: Option<String>,
    /// Where it led, if it was a symbolic link: the link is replaced, and what it led to stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<PathBuf>,
}

impl Saved {
    /// What stands at a place now, before a text is put there.
    #[must_use]
    pub fn of(path: &Path, text: &[u8]) -> Self {
        let rights = fs::metadata(path).map_or(put::MODE.into(), |meta| Rights::of(&meta));
        Self {
            path: path.to_owned(),
            was_there: path.exists(),
            mode: rights.mode,
            owner: rights.owner,
            applied: Some(digest(text)),
            link: fs::read_link(path).ok(),
        }
    }

    /// Whether what was put there stands there still, as it was put.
    #[must_use]
    pub fn is_as_applied(&self) -> bool {
        let Some(applied) = &self.applied else { return true };
        let own = |meta: &fs::Metadata| {
            let rights = Rights::of(meta);
            meta.is_file() && rights.mode == put::MODE && rights.owner.is_some_and(|(user, _)| user == 0)
        };
        fs::symlink_metadata(&self.path).is_ok_and(|meta| own(&meta))
            && fs::read(&self.path).is_ok_and(|now| digest(&now) == *applied)
    }

    /// Its rights.
    #[must_use]
    pub fn rights(&self) -> Rights {
        Rights { mode: self.mode, owner: self.owner }
    }

    /// Whether the file stands there with that text and its rights.
    #[must_use]
    pub fn stands(&self, text: &[u8]) -> bool {
        fs::read(&self.path).is_ok_and(|now| now == text)
            && fs::metadata(&self.path).is_ok_and(|meta| Rights::of(&meta) == self.rights())
    }
}

fn digest(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number that no other record has.
#[must_use]
pub fn number() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The folder.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
}

impl State {
    /// Finds or makes it; nobody but root reads it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open() -> Result<Self, ApplyError> {
        let folder = Path::new(PLACE).to_owned();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(ApplyError::io(format!("make {PLACE}")))?;
        Ok(Self { folder })
    }

    /// One apply or confirm at a time. The watchdog does not ask: whoever holds this may hang.
    ///
    /// # Errors
    /// While another has it.
    pub fn lock(&self) -> Result<Flock<File>, ApplyError> {
        let file = File::create(self.folder.join("lock")).map_err(ApplyError::io("make a lock"))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| ApplyError::Refused("another `fwc bastion` is at work".to_owned()))
    }

    /// While this is held, nobody begins another change: who takes one back may be held up for long, and goes on by what it
    /// read. Several may at once, and none waits for it: one may hang.
    #[must_use]
    pub fn takes_back(&self) -> Option<Flock<File>> {
        let begun = Instant::now();
        // On a disk that became read-only it can be had all the same.
        let path = self.folder.join(TAKES_BACK);
        let mut file = File::create(&path).or_else(|_| File::open(&path)).ok()?;
        loop {
            match Flock::lock(file, FlockArg::LockSharedNonblock) {
                Ok(held) => return Some(held),
                // An apply asks for it for a moment.
                Err((given_back, _)) if begun.elapsed() < Duration::from_secs(1) => file = given_back,
                Err(_) => return None,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether anybody takes something back.
    ///
    /// # Errors
    /// While somebody does.
    pub fn nobody_takes_back(&self) -> Result<(), ApplyError> {
        let file = File::create(self.folder.join(TAKES_BACK)).map_err(ApplyError::io("make a lock"))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map(drop).map_err(|_| {
            let said = "a `fwc bastion rollback`, or the watchdog, is putting old files back: wait until it is through, or end it \
                        where it was stopped";
            ApplyError::Refused(said.to_owned())
        })
    }

    /// Whether a change is the one that waits to be confirmed, or to be taken back. A record that is damaged is of the one whose old
    /// files are kept.
    #[must_use]
    pub fn is_of(&self, id: u64) -> bool {
        match self.read() {
            Ok(record) => record.is_some_and(|record| record.id == id),
            Err(_) => self.saved().ok().flatten().is_none_or(|saved| saved.id == id),
        }
    }

    /// A folder for a try, gone with its value. It holds host keys: hence here, where nobody but root comes.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn work(&self) -> Result<tempfile::TempDir, ApplyError> {
        let named = tempfile::Builder::new().prefix(WORK).tempdir_in(&self.folder);
        named.map_err(ApplyError::io("make a folder"))
    }

    /// Takes away what a try left that was killed, its sshd too. Only under the lock.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sweep(&self) -> Result<(), ApplyError> {
        let failed = || format!("clear {PLACE}");
        for entry in fs::read_dir(&self.folder).map_err(ApplyError::io(failed()))? {
            let entry = entry.map_err(ApplyError::io(failed()))?;
            if entry.file_name().as_encoded_bytes().starts_with(WORK.as_bytes()) {
                canary::end_left_in(&entry.path());
                fs::remove_dir_all(entry.path()).map_err(ApplyError::io(failed()))?;
            }
        }
        Ok(())
    }

    /// The change that waits to be confirmed, or to be taken back.
    ///
    /// # Errors
    /// When it cannot be read: then nobody may take it for none.
    pub fn read(&self) -> Result<Option<Record>, ApplyError> {
        match self.pending()? {
            None => self.read_as(TAKEN).map_err(|why| self.way_out(why, TAKEN)),
            pending => Ok(pending),
        }
    }

    /// The change that waits to be confirmed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn pending(&self) -> Result<Option<Record>, ApplyError> {
        self.read_as(NAME).map_err(|why| self.way_out(why, NAME))
    }

    /// What is said of a record that cannot be read, with what helps.
    fn way_out(&self, why: ApplyError, name: &str) -> ApplyError {
        let ApplyError::Failed(why) = why else { return why };
        let out = if matches!(self.saved(), Ok(Some(_))) {
            "`fwc bastion rollback` takes back what it is about".to_owned()
        } else {
            format!(
                "nothing else says what it is about (an older fwc wrote no `{SAVED}`): the old files are `{PLACE}/old-N`, 0 that of \
                 `{DROP_IN}`, the others files of keys; put back by hand what is wanted, have sshd reload, and remove `{PLACE}/{name}`"
            )
        };
        ApplyError::Failed(format!("{why}; {out}"))
    }

    /// Whether the old files of a change are being put back.
    #[must_use]
    pub fn is_taken_back(&self) -> bool {
        self.folder.join(TAKEN).exists()
    }

    /// The record as it was when the old files were kept, whatever became of it since.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn saved(&self) -> Result<Option<Record>, ApplyError> {
        self.read_as(SAVED)
    }

    /// The connections that were there before a change; none where that is not known.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn before(&self, id: u64) -> Result<Option<Before>, ApplyError> {
        Ok(self.read_as(BEFORE)?.filter(|before: &Before| before.id == id))
    }

    /// The sshd that a change started; none where it started none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn started(&self, id: u64) -> Result<Option<Started>, ApplyError> {
        Ok(self.read_as(STARTED)?.filter(|started: &Started| started.id == id))
    }

    fn read_as<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ApplyError> {
        let path = self.folder.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(ApplyError::io(format!("read {}", path.display()))(e)),
        };
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|e| ApplyError::Failed(format!("{} is damaged: {e}", path.display())))
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, record: &Record) -> Result<(), ApplyError> {
        self.write_as(NAME, record)
    }

    /// Writes down what the old files are, once they are kept.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_saved(&self, record: &Record) -> Result<(), ApplyError> {
        self.write_as(SAVED, record)
    }

    /// Writes down which connections were there before.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_before(&self, before: &Before) -> Result<(), ApplyError> {
        self.write_as(BEFORE, before)
    }

    /// Writes down which sshd was started.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_started(&self, started: &Started) -> Result<(), ApplyError> {
        self.write_as(STARTED, started)
    }

    fn write_as(&self, name: &str, what: &impl Serialize) -> Result<(), ApplyError> {
        let text = serde_json::to_string_pretty(what).map_err(|e| ApplyError::Failed(e.to_string()))?;
        put::replace(&self.folder.join(name), text.as_bytes(), 0o600, &mut |_| Ok(()))
    }

    /// Takes the record, to put the old files back: from here on nobody confirms. False where it is gone, and confirmed.
    #[must_use]
    pub fn take(&self) -> bool {
        match fs::rename(self.folder.join(NAME), self.folder.join(TAKEN)) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => self.is_taken_back(),
            // Where nothing can be renamed, nothing can be removed either, and nobody confirms.
            Ok(()) | Err(_) => true,
        }
    }

    /// The change is final. False where somebody took the record before: it is being undone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn confirm(&self) -> Result<bool, ApplyError> {
        match fs::rename(self.folder.join(NAME), self.folder.join(KEPT)) {
            // On the disk too: after a loss of power it would wait to be confirmed again.
            Ok(()) => put::sync(&self.folder).map(|()| true),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(why) => Err(ApplyError::io(format!("rename {PLACE}/{NAME}"))(why)),
        }
    }

    /// The change is undone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self) -> Result<(), ApplyError> {
        put::remove(&self.folder.join(NAME))?;
        put::remove(&self.folder.join(TAKEN))
    }

    /// Keeps an old text.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(&self, number: usize, text: &[u8]) -> Result<(), ApplyError> {
        put::replace(&self.old(number), text, 0o600, &mut |_| Ok(()))
    }

    /// An old text; none where it is gone.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn kept(&self, number: usize) -> Result<Option<Vec<u8>>, ApplyError> {
        let path = self.old(number);
        match fs::read(&path) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
            text => text.map(Some).map_err(ApplyError::io(format!("read {}", path.display()))),
        }
    }

    fn old(&self, number: usize) -> PathBuf {
        self.folder.join(format!("old-{number}"))
    }
}
