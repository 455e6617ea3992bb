//! What sshd is told besides its files: by whoever started the one that runs, and by the file that the next start reads.
//!
//! *Input*: `/proc`, `/etc/default/ssh` and its like. *Output*: [`Given`]: words for `sshd -T`, and where they stand.
//!
//! *Design decisions*. An option of the command line is read before every file, so that `-o PasswordAuthentication=yes` beats
//! them all but Match blocks, and `-f` has sshd read another file. What stands there and is not understood ends the run with
//! its name: sshd would be asked about something else than what runs.

use super::config::{self, Files};
use super::running::{self, Running};
use super::stage::StageError;
use super::tree::Tree;

/// Files that say what sshd is started with, and the variable in them that does.
const FILES: [(&str, &str); 5] = [
    // Debian, Red Hat, SUSE; of Alpine and Gentoo the second beats the first.
    ("/etc/default/ssh", "SSHD_OPTS"),
    ("/etc/sysconfig/sshd", "OPTIONS"),
    ("/etc/sysconfig/ssh", "SSHD_OPTS"),
    ("/etc/conf.d/sshd", "SSHD_OPTS"),
    ("/etc/conf.d/sshd", "command_args"),
];

/// Options beside the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Where they stand.
    pub at: String,
    /// As `sshd -T` takes them.
    pub args: Vec<String>,
    /// The main file, where another one is named.
    pub main: Option<String>,
    /// The processes that were started so.
    pub running: Vec<Running>,
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

/// What sshd is, or will be, started with: each set once; nothing at all where nobody says. And remarks on those that users run.
///
/// # Errors
/// Options that are not understood, by name; a `/proc` that cannot be read.
pub(super) fn read(tree: &mut Tree) -> Result<(Vec<Given>, Vec<String>), StageError> {
    let (mut all, mut of_users): (Vec<Given>, Vec<String>) = (Vec::new(), Vec::new());
    let mut add = |given: Given| match all.iter_mut().find(|known| known.args == given.args) {
        Some(known) => known.running.extend(given.running),
        None => all.push(given),
    };
    if tree.is_real() {
        let (listeners, others) = running::listeners()?;
        of_users = others;
        for one in listeners {
            match one.is_asked() {
                Ok(()) => {}
                // Other settings are tried for the one that will be told of them.
                Err(_) if tree.is_staged() => continue,
                Err(why) => return Err(why),
            }
            let given = understood(&one.name(), &one.words, true)?;
            add(Given { running: vec![one], ..given });
        }
    }
    for (path, name) in FILES {
        let Some(text) = tree.text(path) else { continue };
        for words in assigned(path, name, &text)? {
            add(understood(path, &words, tree.is_real())?);
        }
    }
    if all.is_empty() {
        all.push(Given::default());
    }
    Ok((all, of_users))
}

/// What each sshd of root's was started with that listens in this network, of the program that is asked: one process each, or
/// why that is not known: options that are not understood, by name.
///
/// # Errors
/// A `/proc` that cannot be read.
pub(crate) fn each_of_root() -> Result<Vec<Result<Given, StageError>>, StageError> {
    let given = |one: Running| match one.is_asked() {
        Ok(()) => {
            let given = understood(&one.name(), &one.words, true);
            Some(given.map(|given| Given { running: vec![one], ..given }))
        }
        // Another program, which may read other files.
        Err(StageError::Said(_)) => None,
        Err(why) => Some(Err(why)),
    };
    let (all, _) = running::seen()?;
    Ok(all.into_iter().filter_map(|one| one.map_or_else(|why| Some(Err(why)), given)).collect())
}

/// What the next start of this machine's sshd takes, as the files say it.
///
/// # Errors
/// As of what runs.
pub(crate) fn of_next_start() -> Result<Given, StageError> {
    let mut tree = Tree::new("/".into(), None);
    for (path, name) in FILES {
        let Some(text) = tree.text(path) else { continue };
        if let Some(words) = assigned(path, name, &text)?.first() {
            return understood(path, words, true);
        }
    }
    Ok(Given::default())
}

/// The words of the last line that sets a variable: to systemd (`EnvironmentFile`), which takes a value up to the end of its
/// line, and to a shell, where that is something else.
fn assigned(path: &str, name: &str, text: &str) -> Result<Vec<Vec<String>>, StageError> {
    let (mut systemd, mut shell) = (None, None);
    let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
    for line in text.lines() {
        let line = line.trim();
        let exported = line.strip_prefix("export ").map(str::trim_start);
        let rest = exported.unwrap_or(line).strip_prefix(name);
        let Some((gap, value)) = rest.and_then(|rest| rest.split_once('=')) else { continue };
        if !gap.trim().is_empty() {
            continue;
        }
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let bare = quoted.unwrap_or(value);
        // Each makes something else of these; and behind a bare word a shell finds another command.
        if bare.contains(['$', '`', '"', '\'', '\\']) || (quoted.is_none() && value.contains(';')) {
            return Err(unclear(path, line));
        }
        if exported.is_none() {
            systemd = Some(words(bare));
        }
        if gap.is_empty() {
            shell = Some(words(quoted.unwrap_or_else(|| bare.split([' ', '\t']).next().unwrap_or(""))));
        }
    }
    let mut all: Vec<Vec<String>> = systemd.into_iter().chain(shell).collect();
    all.dedup();
    Ok(all)
}

/// Options as `sshd -T` takes them (sshd(8)): those that change settings.
fn understood(at: &str, words: &[String], real: bool) -> Result<Given, StageError> {
    const ALONE: &str = "Ddeiqr";
    const FAMILIES: [(char, &str); 2] = [('4', "inet"), ('6', "inet6")];
    let mut given = Given { at: at.to_owned(), ..Given::default() };
    let mut left = words.iter();
    while let Some(word) = left.next() {
        let mut letters = word.strip_prefix('-').ok_or_else(|| unclear(at, word))?.chars();
        while let Some(letter) = letters.next() {
            if ALONE.contains(letter) {
                continue;
            }
            // Beats whatever `-o` says, before it or after it.
            if let Some((_, family)) = FAMILIES.iter().find(|(known, _)| *known == letter) {
                given.args.splice(0..0, ["-o".to_owned(), format!("AddressFamily={family}")]);
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
            read("-oAddressFamily=any -D6p2200").unwrap(),
            "-o AddressFamily=inet6 -o AddressFamily=any -p 2200"
        );
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
    fn what_systemd_or_a_shell_would_set_is_what_is_read() {
        let of = |text: &str| {
            let joined = |all: Vec<Vec<String>>| all.iter().map(|words| words.join(" ")).collect::<Vec<_>>();
            assigned("f", "SSHD_OPTS", text).map(joined).unwrap_or_else(|_| vec!["unclear".to_owned()])
        };
        for (text, words) in [
            ("# SSHD_OPTS=-x\n", &[][..]),
            ("SSHD_OPTS=\n", &[""]),
            ("SSHD_OPTS='-p 1  -e'\n", &["-p 1 -e"]),
            ("SSHD_OPTS=-4\nexport SSHD_OPTS='-p 1  -e'\n", &["-4", "-p 1 -e"]),
            ("SSHD_OPTS=-4 -oPasswordAuthentication=yes\n", &["-4 -oPasswordAuthentication=yes", "-4"]),
            ("SSHD_OPTS = -6\n", &["-6"]),
            ("SSHD_OPTS=\"$MORE -e\"\n", &["unclear"]),
            ("SSHD_OPTS=\"-o 'a b'\"\n", &["unclear"]),
            ("SSHD_OPTS=-4 # and no more\n", &["-4 # and no more", "-4"]),
        ] {
            assert_eq!(of(text), words, "{text}");
        }
    }
}
