//! Reads files of sysctl.d(5), ours and other people's.

use super::artifact::{Setting, Settings};

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail}")]
pub struct Unreadable {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub detail: String,
}

/// The parameters that a text sets. The comment right before a line is its reason.
///
/// # Errors
/// At the first line that is neither empty, nor a comment, nor `KEY = VALUE`; a pattern (`*`, `?`, `[`), whose effect
/// depends on what the machine has; a name that is set twice.
pub fn read(text: &str) -> Result<Settings, Unreadable> {
    let mut settings = Settings::default();
    let mut because = Vec::new();
    for (line, words) in (1usize..).zip(text.lines()) {
        let wrong = |detail: String| Unreadable { line, detail };
        let words = words.trim();
        if let Some(comment) = words.strip_prefix(['#', ';']) {
            because.push(comment.strip_prefix(' ').unwrap_or(comment).to_owned());
            continue;
        }
        if words.is_empty() {
            because.clear();
            continue;
        }
        let (optional, words) = match words.strip_prefix('-') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, words),
        };
        let (key, value) =
            words.split_once('=').ok_or_else(|| wrong("this is not KEY = VALUE".to_owned()))?;
        let (key, value) = (path(key.trim()), value.trim().to_owned());
        if key.contains(['*', '?', '[']) {
            return Err(wrong(format!("`{key}` is a pattern: what it sets depends on the machine")));
        }
        if key.split('/').any(|part| part.is_empty() || part == "..") {
            return Err(wrong(format!("`{key}` is no name of a parameter")));
        }
        if settings.value(&key).is_some() {
            return Err(wrong(format!("`{key}` is set twice")));
        }
        settings.settings.push(Setting { key, value, optional, because: std::mem::take(&mut because) });
    }
    Ok(settings)
}

/// A name as a path: where the first separator is a dot, dots and slashes change places (sysctl.d(5)).
fn path(key: &str) -> String {
    match key.find(['.', '/']).and_then(|at| key.get(at..)) {
        Some(rest) if rest.starts_with('.') => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        Some(_) | None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::print::print;
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        let mut settings = Settings::default();
        settings.settings.push(Setting::new("net/ipv4/ip_forward", "1", &["why", "and why"]));
        settings.settings.push(Setting::new("net/ipv4/conf/eth0.100/send_redirects", "0", &[]));
        let odd = Setting { optional: true, ..Setting::new("net/bridge/x", "0 4", &["x"]) };
        settings.settings.push(odd);
        let text = print(&settings);
        assert_eq!(
            text,
            "# why\n# and why\nnet.ipv4.ip_forward = 1\nnet/ipv4/conf/eth0.100/send_redirects = 0\n\n\
             # x\n-net.bridge.x = 0 4\n"
        );
        assert_eq!(read(&text).unwrap(), settings);
    }

    #[test]
    fn names_of_either_kind() {
        let one = |text: &str| read(text).unwrap().settings.remove(0).key;
        assert_eq!(one("net.ipv4.conf.eth0/100.rp_filter=2"), "net/ipv4/conf/eth0.100/rp_filter");
        assert_eq!(one("  net/ipv4/conf/eth0.100/rp_filter = 2"), "net/ipv4/conf/eth0.100/rp_filter");
    }

    #[test]
    fn what_cannot_be_known_is_refused() {
        for (text, line) in [
            ("a.b = 1\na/b = 2\n", 2),
            ("# x\n\nnet.ipv4.conf.*.rp_filter = 0\n", 3),
            ("net.ipv4.ip_forward\n", 1),
            ("net..x = 1\n", 1),
            ("net/../x = 1\n", 1),
        ] {
            assert_eq!(read(text).unwrap_err().line, line, "{text}");
        }
    }
}
