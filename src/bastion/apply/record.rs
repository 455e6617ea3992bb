//! What is under way, on disk: so that a rollback needs nothing of the process that began.

#![expect(clippy::disallowed_methods, reason = "keeps its record")]

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::{ApplyError, put};

/// The folder of the record and of the old files.
const PLACE: &str = "/var/lib/fwc-bastion";
const NAME: &str = "pending.json";

/// A change that waits to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which one: the watchdog of another leaves it alone.
    pub id: u64,
    /// What was there before.
    pub files: Vec<Saved>,
    /// `SSH_CONNECTION` of who applied.
    pub session: Option<String>,
    /// Seconds until it is taken back.
    pub wait: u64,
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

    /// The change that waits.
    ///
    /// # Errors
    /// When it cannot be read: then nobody may take it for none.
    pub fn read(&self) -> Result<Option<Record>, ApplyError> {
        let path = self.folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(ApplyError::io(format!("read {}", path.display()))(e)),
        };
        let record = serde_json::from_str(&text);
        record.map(Some).map_err(|e| ApplyError::Failed(format!("{} is damaged: {e}", path.display())))
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, record: &Record) -> Result<(), ApplyError> {
        let text = serde_json::to_string_pretty(record).map_err(|e| ApplyError::Failed(e.to_string()))?;
        put::replace(&self.folder.join(NAME), text.as_bytes(), 0o600, &mut |_| Ok(()))
    }

    /// The change is final, or undone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self) -> Result<(), ApplyError> {
        put::remove(&self.folder.join(NAME))
    }

    /// Keeps an old text.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(&self, number: usize, text: &[u8]) -> Result<(), ApplyError> {
        put::replace(&self.old(number), text, 0o600, &mut |_| Ok(()))
    }

    /// An old text.
    ///
    /// # Errors
    /// When it is gone.
    pub fn kept(&self, number: usize) -> Result<Vec<u8>, ApplyError> {
        let path = self.old(number);
        fs::read(&path).map_err(ApplyError::io(format!("read {}", path.display())))
    }

    fn old(&self, number: usize) -> PathBuf {
        self.folder.join(format!("old-{number}"))
    }
}
