//! What sshd is told besides its files: by whoever started the one that runs, and by the file that the next start reads.
//!
//! *Input*: `/proc`, `/etc/default/ssh`. *Output*: [`Given`]: words for `sshd -T`, and where they stand.
//!
//! *Design decisions*. An option of the command line is read before every file, so that `-o PasswordAuthentication=yes` beats
//! them all but Match blocks, and `-f` has sshd read another file. What stands there and is not understood ends the run with
//! its name: sshd would be asked about something else than what runs.

#![expect(clippy::disallowed_methods, reason = "reads what the running sshd was started with")]

use std::fs;
use std::path::Path;

use super::config::{self, Files};
use super::stage::StageError;
use super::tree::Tree;

/// Files that say what sshd is started with, and the variable in them that does.
const FILES: [(&str, &str); 2] = [("/etc/default/ssh", "SSHD_OPTS"), ("/etc/sysconfig/sshd", "OPTIONS")];

/// Options beside the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Where they stand.
    pub at: String,
    /// As `sshd -T` takes them.
    pub args: Vec<String>,
    /// The main file, where another one is named.
    pub main: Option<String>,
}

impl Given {
    /// The option that says a keyword, and where it stands.
    #[must_use]
    pub fn says(&self, keyword: &str) -> Option<String> {
        let mut pairs = self.args.chunks(2);
        let said = pairs.find_map(|pair| match pair {
            [flag, said] if flag == "-o" && config::split(said)?.0 == keyword => Some(said),
            _ => None,
        })?;
        Some(format!("`-o {said}` ({})", self.at))
    }
}

/// What sshd is, or will be, started with: each set once; nothing at all where nobody says.
///
/// # Errors
/// Options that are not understood, by name; a `/proc` that cannot be read.
pub(super) fn read(tree: &mut Tree) -> Result<Vec<Given>, StageError> {
    let mut all: Vec<Given> = Vec::new();
    let mut add = |given: Given| {
        if all.iter().all(|known| known.args != given.args) {
            all.push(given);
        }
    };
    if tree.is_real() {
        for (at, words) in running()? {
            add(understood(&at, &words, true)?);
        }
    }
    for (path, name) in FILES {
        let Some(text) = tree.text(path) else { continue };
        if let Some(words) = assigned(path, name, &text)? {
            add(understood(path, &words, tree.is_real())?);
        }
    }
    if all.is_empty() {
        all.push(Given::default());
    }
    Ok(all)
}

/// The words of the last line of a shell file that sets a variable.
fn assigned(path: &str, name: &str, text: &str) -> Result<Option<Vec<String>>, StageError> {
    let mut found = None;
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some(value) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) else { continue };
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let bare = quoted.unwrap_or_else(|| value.split([' ', '\t', '#']).next().unwrap_or(""));
        // A shell would make something else of these; and behind a bare word stands another command.
        if bare.contains(['$', '`', '"', '\'', '\\']) || (quoted.is_none() && value.contains(';')) {
            return Err(unclear(path, line));
        }
        found = Some(bare.split_whitespace().map(ToOwned::to_owned).collect());
    }
    Ok(found)
}

/// The words of each sshd that listens in this network. It shows them in its title, which parts them by blanks alone.
fn running() -> Result<Vec<(String, Vec<String>)>, StageError> {
    let here = fs::read_link("/proc/self/ns/net").map_err(StageError::system("read /proc/self/ns/net"))?;
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").map_err(StageError::system("read /proc"))? {
        let at = entry.map_err(StageError::system("read /proc"))?.path();
        let is_sshd = fs::read_to_string(at.join("comm")).is_ok_and(|name| name.trim() == "sshd");
        if !is_sshd || fs::read_link(at.join("ns/net")).is_ok_and(|net| net != here) {
            continue;
        }
        // One that is gone by now listens no more.
        let Ok(bytes) = fs::read(at.join("cmdline")) else { continue };
        if let Some(words) = of_listener(&String::from_utf8_lossy(&bytes)) {
            let process = at.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.push((format!("the running sshd, process {process}"), words));
        }
    }
    Ok(all)
}

/// The words behind the program of a listener's command line; none for a session's, and for a question to sshd.
fn of_listener(line: &str) -> Option<Vec<String>> {
    let line = line.trim_end_matches('\0');
    let words: Vec<String> = match line.strip_prefix("sshd: ") {
        Some(title) => {
            let (started, _) = title.split_once(" [listener]")?;
            started.split_whitespace().map(ToOwned::to_owned).collect()
        }
        // Before it has set its title.
        None => line.split('\0').map(ToOwned::to_owned).collect(),
    };
    let behind = words.get(1..).unwrap_or_default();
    let other = behind.iter().any(|word| matches!(word.as_str(), "-t" | "-T" | "-G" | "-R" | "-i"));
    (Path::new(words.first()?).file_name()? == "sshd" && !other).then(|| behind.to_vec())
}

/// Options as `sshd -T` takes them (sshd(8)): those that change settings.
fn understood(at: &str, words: &[String], real: bool) -> Result<Given, StageError> {
    const ALONE: &str = "46Ddeiqr";
    let mut given = Given { at: at.to_owned(), ..Given::default() };
    let mut left = words.iter();
    while let Some(word) = left.next() {
        let mut letters = word.strip_prefix('-').ok_or_else(|| unclear(at, word))?.chars();
        while let Some(letter) = letters.next() {
            if ALONE.contains(letter) {
                continue;
            }
            let attached = letters.as_str();
            let value = if attached.is_empty() { left.next().map(String::as_str) } else { Some(attached) };
            let value = value.ok_or_else(|| unclear(at, word))?;
            given.take(letter, value, real).ok_or_else(|| unclear(at, &format!("-{letter} {value}")))?;
            break;
        }
    }
    Ok(given)
}

impl Given {
    /// An option with its value; none where it is not understood.
    fn take(&mut self, letter: char, value: &str, real: bool) -> Option<()> {
        match letter {
            // A log, a random number's length and a process's name change nothing that is asked.
            'E' | 'b' | 'u' => return Some(()),
            'f' => {
                // A tree stands for `/etc` alone: elsewhere sshd would read the machine's own.
                let sound = value.starts_with('/') && !value.contains("..");
                (sound && (real || value.starts_with("/etc/"))).then_some(())?;
                self.main = Some(value.to_owned());
            }
            // Of a tree no host key may be read, and one is made for the question.
            'h' | 'c' if !real => return Some(()),
            'o' => {
                // `-o "Keyword value"` shows no more where the value ends.
                let (_, words) = config::split(value)?;
                (!words.is_empty()).then_some(())?;
            }
            'h' | 'c' | 'p' | 'g' => {}
            _ => return None,
        }
        self.args.extend([format!("-{letter}"), value.to_owned()]);
        Some(())
    }
}

fn unclear(at: &str, word: &str) -> StageError {
    StageError::Said(format!(
        "{at} starts sshd with `{word}`, which fwc does not understand, and settings of the command line beat the files: \
         write it into sshd_config, or ask `sshd -T` with it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn command_lines_are_read_as_sshd_reads_them() {
        let read = |text: &str| understood("x", &words(text), true).map(|given| given.args.join(" "));
        assert_eq!(read("-D -e -E /l").unwrap(), "");
        assert_eq!(
            read("-De -oPasswordAuthentication=yes -p2222").unwrap(),
            "-o PasswordAuthentication=yes -p 2222"
        );
        assert_eq!(read("-f /srv/other").unwrap(), "-f /srv/other");
        for unclear in ["-o PasswordAuthentication yes", "-Z", "stray", "-o", "-f other", "-f /etc/../x"] {
            assert!(read(unclear).is_err(), "{unclear}");
        }
        assert!(understood("x", &words("-f /srv/other"), false).is_err());
        let given = understood("x", &words("-p 22 -o PasswordAuthentication=yes"), true).unwrap();
        assert_eq!(
            given.says("passwordauthentication").as_deref(),
            Some("`-o PasswordAuthentication=yes` (x)")
        );
        assert_eq!(given.says("permitopen"), None);
    }

    #[test]
    fn a_listener_is_told_from_its_sessions() {
        let of = |line: &str| of_listener(line).map(|words| words.join(" "));
        assert_eq!(
            of("sshd: /usr/sbin/sshd -D -p 1 [listener] 0 of 10-100 startups\0\0").as_deref(),
            Some("-D -p 1")
        );
        assert_eq!(of("/usr/sbin/sshd\0-D\0").as_deref(), Some("-D"));
        assert_eq!(of("sshd: ana [priv]"), None);
        assert_eq!(of("/usr/sbin/sshd\0-T\0"), None);
    }

    #[test]
    fn what_a_shell_would_set_is_what_is_read() {
        let of = |text: &str| assigned("f", "SSHD_OPTS", text).map(|all| all.map(|words| words.join(" ")));
        assert_eq!(of("# SSHD_OPTS=-x\n").unwrap(), None);
        assert_eq!(of("SSHD_OPTS=\n").unwrap().as_deref(), Some(""));
        assert_eq!(of("SSHD_OPTS=-4\nexport SSHD_OPTS='-p 1  -e'\n").unwrap().as_deref(), Some("-p 1 -e"));
        assert!(of("SSHD_OPTS=\"$MORE -e\"\n").is_err());
        assert!(of("SSHD_OPTS=\"-o 'a b'\"\n").is_err());
    }
}
