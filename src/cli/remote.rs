//! `fwc apply --remote`: one machine over the system's own ssh. The build goes there, is applied there, and is confirmed
//! over a second connection: that this one can be made is what is confirmed.

#![expect(clippy::disallowed_methods, reason = "starts `ssh` and `tar`")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::apply::build::Build;

use super::clean::clean_line;
use super::{Console, Exit, Failure};

/// A machine that ssh can reach, and on which `fwc` is in the path.
#[derive(Clone, Debug)]
pub(super) struct Remote<'a> {
    pub(super) host: &'a str,
    pub(super) config: Option<&'a PathBuf>,
}

/// How it is applied there.
#[derive(Clone, Copy, Debug)]
pub(super) struct There {
    pub(super) within: Duration,
    pub(super) sysctl: bool,
    pub(super) console: bool,
}

pub(super) fn run(
    remote: &Remote<'_>,
    root: &Path,
    build: &Build,
    there: There,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    // SECURITY: names of machines are names of the policy, letters and digits; nothing else of it is in a command.
    let plain = build.host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !plain || remote.host.starts_with('-') {
        return Err(Failure::new("this name cannot be said to a shell"));
    }
    // A folder for this run alone: another's build in its place would be applied, and confirmed, for ours.
    let mut apply = format!(
        "umask 077; mkdir -p /var/lib/fwc && d=$(mktemp -d /var/lib/fwc/incoming.XXXXXXXX) || exit 2; \
         trap 'rm -rf \"$d\"' EXIT; tar -C \"$d\" -xf - && \
         fwc apply \"$d\" --host {} --manifest {} --confirm-within {}s",
        build.host,
        build.manifest,
        there.within.as_secs()
    );
    if there.sysctl {
        apply.push_str(" --sysctl");
    }
    if there.console {
        apply.push_str(" --i-have-console");
    }
    let fail = |what: &str, why: &std::io::Error| Failure::new(format!("cannot {what}: {why}"));
    let mut tar = Command::new("tar")
        .arg("-C")
        .arg(root)
        .args(["-cf", "-", "manifest.json", &format!("hosts/{}", build.host)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|why| fail("start `tar`", &why))?;
    let pipe = tar.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let applied = remote.ssh(&apply, pipe, console)?;
    let packed = tar.wait().map_err(|why| fail("wait for `tar`", &why))?;
    if !packed.success() {
        return Err(Failure::new("`tar` could not read the build"));
    }
    if !applied.success() {
        let host = clean_line(remote.host);
        console.talk(&if applied.is_lost() {
            format!(
                "the connection to `{host}` was lost, or never made: it may be on trial there; then its watchdog rolls \
                 it back within {} s: `fwc status` there says\n",
                there.within.as_secs()
            )
        } else {
            format!("not applied on `{host}`\n")
        });
        return Ok(Exit::AtFault);
    }
    if applied.said.contains("nothing to do") {
        return Ok(Exit::Fine);
    }
    if let Some(generation) = on_trial(&applied.said) {
        let confirm = format!("fwc confirm --generation {generation}");
        if remote.ssh(&confirm, Stdio::null(), console)?.success() {
            return Ok(Exit::Fine);
        }
    }
    console.talk(&format!(
        "not confirmed: no new connection to `{}` did it; its watchdog rolls it back within {} s\n",
        clean_line(remote.host),
        there.within.as_secs()
    ));
    Ok(Exit::AtFault)
}

/// Which generation an `apply` there says that it put on trial.
fn on_trial(said: &str) -> Option<u64> {
    said.lines().find_map(|line| {
        let (number, rest) = line.strip_prefix("generation ")?.split_once(' ')?;
        number.parse().ok().filter(|_| rest.contains(" is loaded, on trial"))
    })
}

/// How a command there ended, and what it said.
struct Said {
    code: Option<i32>,
    said: String,
}

impl Said {
    fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Whether ssh itself failed, or was killed: then nobody knows how far the command there came. fwc ends with less
    /// than 255, which is ssh's own (ssh(1), EXIT STATUS).
    fn is_lost(&self) -> bool {
        matches!(self.code, None | Some(255))
    }
}

impl Remote<'_> {
    /// One command over a connection of its own.
    fn ssh(&self, words: &str, stdin: Stdio, console: &mut Console<'_>) -> Result<Said, Failure> {
        let mut command = Command::new("ssh");
        if let Some(config) = self.config {
            command.arg("-F").arg(config);
        }
        // A shared connection would show nothing of a new one.
        command.args(["-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ConnectTimeout=10", "--"]);
        let output = command.args([self.host, words]).stdin(stdin).output();
        let output = output.map_err(|why| Failure::new(format!("cannot start `ssh`: {why}")))?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        for line in said.lines() {
            console.talk(&format!("{}: {}\n", clean_line(self.host), clean_line(line)));
        }
        Ok(Said { code: output.status.code(), said: said.into_owned() })
    }
}
