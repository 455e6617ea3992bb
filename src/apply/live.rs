//! The kernel's tables, by `nft`: those of the network namespace that the calling thread is in.

#![expect(clippy::disallowed_methods, reason = "apply starts `nft`")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::lab::LabError;
use crate::target::nft::artifact::{Ruleset, TableFamily};
use crate::target::nft::read;

/// The tables that are ours, in the order in which they are written.
pub const OWN: [TableFamily; 2] = [TableFamily::Inet, TableFamily::Bridge];
/// Their name.
pub const NAME: &str = "fwc";
/// What the name of the chain that marks a generation begins with.
pub const MARK: &str = "fwc_generation_";

/// An `nft`.
#[derive(Clone, Debug)]
pub struct Nft {
    path: PathBuf,
}

impl Nft {
    /// The one that is in the path, or where distributions put it: a watchdog has another path than a login.
    ///
    /// # Errors
    /// When there is none.
    pub fn found() -> Result<Self, LabError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
        let mut all = std::env::split_paths(&path).chain(usual).map(|folder| folder.join("nft"));
        match all.find(|path| path.is_absolute() && path.is_file()) {
            Some(path) => Ok(Self { path }),
            None => Err(LabError::Start {
                command: "nft".to_owned(),
                source: std::io::Error::new(std::io::ErrorKind::NotFound, "it is not installed (nftables)"),
            }),
        }
    }

    /// The one at a path.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Loads a text, in one transaction.
    ///
    /// # Errors
    /// When nft refuses it. That says nothing of the tables: read them.
    pub fn load(&self, text: &str) -> Result<(), LabError> {
        self.run(&["-f", "-"], Stdio::piped(), text).map(|_| ())
    }

    /// Loads a file, in one transaction; `held` is a descriptor that the program keeps open until it ends.
    ///
    /// # Errors
    /// As [`Nft::load`].
    pub fn load_file(&self, path: &Path, held: File) -> Result<(), LabError> {
        self.run(&["-f", &path.to_string_lossy()], Stdio::from(held), "").map(|_| ())
    }

    /// Which of our tables there are.
    ///
    /// # Errors
    /// When nft cannot say, for want of rights.
    pub fn own(&self) -> Result<Vec<TableFamily>, LabError> {
        let text = self.run(&["list", "tables"], Stdio::null(), "")?;
        let is = |family: &TableFamily| {
            let line = format!("table {} {NAME}", family.keyword());
            text.lines().any(|l| l.trim() == line)
        };
        Ok(OWN.into_iter().filter(is).collect())
    }

    /// Our tables as they are, what they have counted included; none: an empty text.
    ///
    /// # Errors
    /// When nft cannot say.
    pub fn own_text(&self) -> Result<String, LabError> {
        let mut text = String::new();
        for family in self.own()? {
            text.push_str(&self.run(&["list", "table", family.keyword(), NAME], Stdio::null(), "")?);
        }
        Ok(text)
    }

    /// Every table, ours included.
    ///
    /// # Errors
    /// When nft cannot say.
    pub fn all_text(&self) -> Result<String, LabError> {
        self.run(&["list", "ruleset"], Stdio::null(), "")
    }

    /// Which version it is: `nftables v1.0.6 (…)`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn version(&self) -> Result<String, LabError> {
        self.run(&["--version"], Stdio::null(), "").map(|text| text.trim().to_owned())
    }

    fn run(&self, args: &[&str], stdin: Stdio, input: &str) -> Result<String, LabError> {
        let command = || format!("{} {}", self.path.display(), args.join(" "));
        let start = |source| LabError::Start { command: command(), source };
        let mut child = Command::new(&self.path)
            .args(args)
            // Dates are read and listed in the time zone of nft.
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        let pipe = child.stdin.take();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(input.as_bytes())));
            child.wait_with_output()
        })
        .map_err(start)?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(LabError::Command { command: command(), status: output.status, stderr });
        }
        String::from_utf8(output.stdout)
            .map_err(|e| LabError::Output { command: command(), detail: format!("it is not UTF-8: {e}") })
    }
}

/// A listing without our tables.
#[must_use]
pub fn foreign_text(listing: &str) -> String {
    let mut kept = String::new();
    let mut ours = false;
    for line in listing.lines() {
        if line.starts_with("table ") {
            ours = OWN.iter().any(|family| line.starts_with(&format!("table {} {NAME} ", family.keyword())));
        }
        if !ours {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Reads a listing of nft.
///
/// # Errors
/// When a structure of it is not known.
pub fn parsed(listing: &str) -> Result<Ruleset, LabError> {
    let mut ruleset = read::read(listing)
        .map_err(|e| LabError::Output { command: "nft list".to_owned(), detail: e.to_string() })?
        .ruleset;
    read::dates_are_utc(&mut ruleset);
    Ok(ruleset)
}

/// Of a listing of every table, the text of ours: `table FAMILY fwc {` to the brace that stands in its column.
#[must_use]
pub fn own_part(listing: &str) -> String {
    let heads = OWN.map(|family| format!("table {} {NAME} {{", family.keyword()));
    let mut inside = false;
    let mut part = String::new();
    for line in listing.split_inclusive('\n') {
        let bare = line.trim_end();
        inside |= heads.iter().any(|head| head == bare);
        if inside {
            part.push_str(line);
        }
        inside &= bare != "}";
    }
    part
}

/// The mark of the generation that a ruleset is; none where it has none.
#[must_use]
pub fn mark(ruleset: &Ruleset) -> Option<String> {
    let chains = ruleset.tables.iter().filter(|t| is_own(t)).flat_map(|table| &table.chains);
    chains.map(|chain| &chain.name).find(|name| name.starts_with(MARK)).cloned()
}

/// The number of the generation that a mark is of.
#[must_use]
pub fn generation(mark: &str) -> Option<u64> {
    mark.strip_prefix(MARK)?.split_once('_')?.0.parse().ok()
}

/// Whether a table is one of ours.
#[must_use]
pub fn is_own(table: &crate::target::nft::artifact::Table) -> bool {
    table.name == NAME && OWN.contains(&table.family)
}

#[cfg(test)]
mod tests {
    use super::own_part;

    #[test]
    fn of_a_listing_our_tables_are_taken_whole_and_nothing_else() {
        let ours = "table inet fwc {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n\tchain c {\n\t}\n}\n";
        let bridge = "table bridge fwc {\n}\n";
        let others = [
            "table ip fwc {\n\tchain c {\n\t}\n}\n",
            "table inet fwc2 {\n}\n",
            "table inet f2b {\n\tchain x {\n\t}\n}\n",
        ];
        let listing = [others[0], ours, others[1], bridge, others[2]].concat();
        assert_eq!(own_part(&listing), format!("{ours}{bridge}"));
        assert_eq!(own_part(&others.concat()), "");
    }
}
