//! The artifacts of one machine, from a build that fwc wrote.
//!
//! Nothing is applied that is not listed in the manifest with its digest: what was edited after it was proved is
//! refused. A folder of a build may be named (`build`, and the machine), or the folder of the machine in it.

#![expect(clippy::disallowed_methods, reason = "reads the build that is applied")]

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::target::nft::artifact::Ruleset;
use crate::target::nft::read;
use crate::target::sysctl::{self, artifact::Settings};

use super::ApplyError;

/// The format of a build, in its manifest: that of every file that is fwc's own, lists too, which have no room for one. Bumped when
/// a reader of an older build would misread a new one (`docs/json.md`).
pub const FORMAT: u64 = 1;

/// What is applied to a machine.
#[derive(Clone, Debug)]
pub struct Build {
    /// The folder of the whole build.
    pub root: PathBuf,
    /// The machine's name in the policy.
    pub host: String,
    /// The policy's digest.
    pub policy: String,
    /// The digest of `manifest.json`, which has those of all other files.
    pub manifest: String,
    /// The digest of `ruleset.nft`.
    pub digest: String,
    /// `ruleset.nft`.
    pub text: String,
    /// The same, read.
    pub ruleset: Ruleset,
    /// `sysctl.conf`.
    pub parameters: String,
    /// The same, read.
    pub settings: Settings,
    /// `routes.json`.
    pub routes: Vec<Route>,
    /// `interfaces.json`.
    pub legs: Vec<Leg>,
    /// `origins.json`.
    pub origins: String,
}

/// A line of `routes.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Route {
    /// Destinations.
    pub to: IpNet,
    /// `on-link`, `via` or `unreachable`.
    pub kind: String,
    /// By which interface; none in the short form of a host.
    #[serde(default)]
    pub interface: Option<String>,
    /// By which gateway.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// By which other addresses of its leg it is known there; an older fwc wrote none.
    #[serde(default)]
    pub also: Vec<IpAddr>,
}

/// A line of `interfaces.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Its name; none in the short form of a host.
    pub interface: Option<String>,
    /// Its static addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it has others, which nobody knows.
    pub dynamic: bool,
    /// Whether the policy says that it is a bridge; an older fwc wrote of none.
    #[serde(default)]
    pub bridge: bool,
    /// Whether it says that members of its zone reach each other through it (S77).
    #[serde(default)]
    pub hub: bool,
}

impl Build {
    /// Reads the artifacts of a machine: `host`, or the one of this machine's name, or the only one.
    ///
    /// # Errors
    /// When there is no such build, machine, or file; when a file is not the one that was proved.
    pub fn read(dir: &Path, host: Option<&str>) -> Result<Self, ApplyError> {
        let (root, host) = place(dir, host)?;
        let manifest = Manifest::read(&root)?;
        let policy = manifest.policy.clone();
        let file = |name: &str| proved(&root, &manifest, &format!("hosts/{host}/{name}"));
        let broken = |name: &str, why: String| ApplyError::Build(format!("`{name}` of `{host}`: {why}"));
        let ruleset_text = file("ruleset.nft")?;
        let parameters = file("sysctl.conf")?;
        let json = |name: &str| -> Result<Value, ApplyError> {
            serde_json::from_str(&file(name)?).map_err(|e| broken(name, e.to_string()))
        };
        Ok(Self {
            policy,
            manifest: manifest.digest.clone(),
            digest: digest(&ruleset_text),
            ruleset: read::read(&ruleset_text).map_err(|e| broken("ruleset.nft", e.to_string()))?.ruleset,
            settings: sysctl::read::read(&parameters).map_err(|e| broken("sysctl.conf", e.to_string()))?,
            routes: serde_json::from_value(json("routes.json")?)
                .map_err(|e| broken("routes.json", e.to_string()))?,
            legs: serde_json::from_value(json("interfaces.json")?)
                .map_err(|e| broken("interfaces.json", e.to_string()))?,
            origins: file("origins.json")?,
            text: ruleset_text,
            parameters,
            host,
            root,
        })
    }
}

/// The root of the build that a folder is, or is in, and the machine.
fn place(dir: &Path, host: Option<&str>) -> Result<(PathBuf, String), ApplyError> {
    let dir =
        fs::canonicalize(dir).map_err(ApplyError::system(format!("cannot read `{}`", dir.display())))?;
    if dir.join("ruleset.nft").is_file() {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let root = dir.parent().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        if let Some(host) = host.filter(|host| *host != name) {
            let why = format!("`{}` is the folder of `{name}`, not of `{host}`", dir.display());
            return Err(ApplyError::Build(why));
        }
        return Ok((root, name));
    }
    let entries = fs::read_dir(dir.join("hosts"))
        .map_err(ApplyError::system(format!("`{}` is no build", dir.display())))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().map(str::to_owned)).collect();
    names.sort();
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = own.trim().split('.').next().unwrap_or_default();
    let found = match (host, names.as_slice()) {
        (Some(host), _) => names.iter().find(|name| *name == host),
        (None, [only]) => Some(only),
        (None, _) => names.iter().find(|name| *name == own),
    };
    match found {
        Some(name) => Ok((dir, name.clone())),
        None => {
            let wanted = host.unwrap_or(own);
            Err(ApplyError::Build(format!(
                "the build has no machine `{wanted}`; it has {}",
                names.join(", ")
            )))
        }
    }
}

/// The manifest of a build.
#[derive(Clone, Debug)]
pub struct Manifest {
    policy: String,
    digest: String,
    value: Value,
}

impl Manifest {
    /// Reads that of a build's folder.
    ///
    /// # Errors
    /// When there is none, or it is of another format than this fwc reads.
    pub fn read(root: &Path) -> Result<Self, ApplyError> {
        let listed = text(root, "manifest.json")?;
        let value: Value = serde_json::from_str(&listed)
            .map_err(|e| ApplyError::Build(format!("`{}/manifest.json`: {e}", root.display())))?;
        let policy = value.get("policy").and_then(Value::as_str).map(str::to_owned);
        let policy =
            policy.ok_or_else(|| ApplyError::Build(format!("`{}` is no build of fwc", root.display())))?;
        if value.get("format").and_then(Value::as_u64) != Some(FORMAT) {
            let told = value.get("format").map_or_else(|| "none".to_owned(), Value::to_string);
            let why = format!("the format of `{}` is {told}, and this fwc reads {FORMAT}", root.display());
            return Err(ApplyError::Build(why));
        }
        Ok(Self { policy, digest: digest(&listed), value })
    }

    fn files(&self) -> Option<&serde_json::Map<String, Value>> {
        self.value.get("files").and_then(Value::as_object)
    }

    /// The files that it lists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files().into_iter().flat_map(|files| files.keys().map(String::as_str))
    }

    /// Holds a file against its digest.
    ///
    /// # Errors
    /// When it is not listed, or is another.
    pub fn proves(&self, name: &str, text: &[u8]) -> Result<(), ApplyError> {
        let wanted = self.files().and_then(|files| files.get(name)).and_then(Value::as_str);
        let wanted =
            wanted.ok_or_else(|| ApplyError::Build(format!("the manifest does not list `{name}`")))?;
        if digest(text) == wanted {
            return Ok(());
        }
        let why = "is not the file that was proved: its digest is not the manifest's; compile again";
        Err(ApplyError::Build(format!("`{name}` {why}")))
    }
}

/// A file whose digest is the one that the manifest has of it.
fn proved(root: &Path, manifest: &Manifest, name: &str) -> Result<String, ApplyError> {
    let text = text(root, name)?;
    manifest.proves(name, text.as_bytes()).map(|()| text)
}

fn text(root: &Path, name: &str) -> Result<String, ApplyError> {
    let path = root.join(name);
    fs::read_to_string(&path).map_err(ApplyError::system(format!("cannot read `{}`", path.display())))
}

/// The SHA-256 of a text, as a manifest has it.
#[must_use]
pub fn digest(text: impl AsRef<[u8]>) -> String {
    let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
