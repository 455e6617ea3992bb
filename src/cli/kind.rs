//! What a path is, where another kind of thing is needed: said in the words of fwc before the system says it in its own.

use std::fmt;
use std::io;
use std::path::Path;

use crate::apply::ApplyError;

use super::aws::is_answer;
use super::failure::Failure;
use super::files::text_of;
use super::manifest;

/// A kind of thing that a command can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Policy,
    Policies,
    Build,
    Machine,
    Answer,
    File,
    Folder,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policy => "a policy",
            Self::Policies => "a folder of policies",
            Self::Build => "a build",
            Self::Machine => "the folder of a machine in a build",
            Self::Answer => "an answer of EC2",
            Self::File => "a file",
            Self::Folder => "a folder",
        })
    }
}

/// What is at a path.
fn kind(path: &Path) -> io::Result<Kind> {
    let is_policy = |path: &Path| path.extension().is_some_and(|ext| ext == "fw");
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(match path {
            policy if is_policy(policy) => Kind::Policy,
            file if text_of(file).is_ok_and(|text| is_answer(&text)) => Kind::Answer,
            _ => Kind::File,
        });
    }
    let holds_policy =
        || std::fs::read_dir(path).is_ok_and(|all| all.flatten().any(|entry| is_policy(&entry.path())));
    Ok(if path.join(manifest::NAME).is_file() || path.join("hosts").is_dir() {
        Kind::Build
    } else if path.join("ruleset.nft").is_file() || path.join("ssh").is_dir() {
        Kind::Machine
    } else if holds_policy() {
        Kind::Policies
    } else {
        Kind::Folder
    })
}

/// A build, or the folder of a machine in one, is needed at a path.
pub(super) fn a_build(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let writes = "`fwc compile` writes a build; name its folder, and the machine by `--host`";
    match kind(path).map_err(|why| Failure::io("read", path, &why).help(writes))? {
        Kind::Build | Kind::Machine => Ok(()),
        kind @ (Kind::Policy | Kind::Policies) => {
            Err(Failure::new(format!("`{shown}` is {kind}; a build is needed here"))
                .help(format!("write one, `fwc compile {shown} -o build`, and name its folder")))
        }
        Kind::File => {
            Err(Failure::new(format!("`{shown}` is a file; the folder of a build is needed here"))
                .help(writes))
        }
        kind @ (Kind::Answer | Kind::Folder) => {
            Err(Failure::new(format!("`{shown}` is {kind}, and no build")).help(writes))
        }
    }
}

/// The folder with what a machine's sshd is told is needed at a path.
#[cfg(feature = "bastion")]
pub(super) fn files_of_sshd(path: &Path) -> Result<(), Failure> {
    const NEEDED: &str = "the folder of what a machine's sshd is told is needed here";
    let found = kind(path).map_err(|why| Failure::io("read", path, &why))?;
    let shown = path.display();
    let help = match found {
        _ if path.join("00-fwc.conf").exists() => return Ok(()),
        Kind::Build => format!("name the machine's: `{shown}/hosts/NAME/ssh`"),
        Kind::Machine => format!("name `{shown}/ssh`"),
        Kind::Policy | Kind::Policies => {
            format!("write it, `fwc compile {shown} -o build`, and name `build/hosts/NAME/ssh`")
        }
        Kind::Answer | Kind::File | Kind::Folder => {
            "`fwc compile` writes it, with `00-fwc.conf` in it: `build/hosts/NAME/ssh`".to_owned()
        }
    };
    Err(Failure::new(format!("`{shown}` is {found}; {NEEDED}")).help(help))
}

/// The folder of the state, which may still have to be made.
pub(super) fn of_state(path: &Path) -> Result<(), ApplyError> {
    match kind(path) {
        Ok(kind @ (Kind::Policy | Kind::Answer | Kind::File)) => Err(ApplyError::Cannot(format!(
            "`{}` is {kind}, and the state is kept in a folder",
            path.display()
        ))),
        Ok(Kind::Policies | Kind::Build | Kind::Machine | Kind::Folder) | Err(_) => Ok(()),
    }
}

/// Why a text is no ruleset, in what it is where that can be told.
pub(super) fn no_ruleset(name: &str, text: Option<&str>, why: &str, help: String) -> Failure {
    if text.is_some_and(is_answer) {
        return Failure::new(format!("`{name}` is an answer of EC2, and no ruleset")).help(
            "`fwc diff` compares such answers with one another, `fwc verify --aws-live` with a policy, and `fwc import aws` makes \
             a policy of them",
        );
    }
    if Path::new(name).extension().is_some_and(|ext| ext == "fw") {
        return Failure::new(format!("`{name}` is a policy, and no ruleset"))
            .help("a ruleset is what `nft list ruleset` prints; `fwc diff` compares policies");
    }
    Failure::new(format!("`{name}` cannot be read as a ruleset: {why}")).help(help)
}
