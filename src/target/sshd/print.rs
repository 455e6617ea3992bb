//! Configuration and keys as text.

use super::artifact::{Config, KeyLine, Scope};

/// `00-fwc.conf`.
#[must_use]
pub fn config(config: &Config) -> String {
    let mut text = String::from(
        "# Written by fwc from the policy: change that. Its name sorts first, for the first value of a keyword counts.\n",
    );
    for section in &config.sections {
        let inside = match &section.scope {
            Scope::Global => "",
            Scope::User(users) => {
                text.push_str(&format!("\nMatch User {}\n", users.join(",")));
                "    "
            }
            Scope::All => {
                // Of several `Match` blocks the first counts: a later file cannot open this again.
                text.push_str("\n# Of several Match blocks the first counts: no later one opens this again.\nMatch all\n");
                "    "
            }
            Scope::Other(criteria) => {
                text.push_str(&format!("\nMatch {criteria}\n"));
                "    "
            }
        };
        for setting in &section.settings {
            text.push_str(inside);
            text.push_str(&setting.keyword);
            for argument in &setting.arguments {
                text.push(' ');
                text.push_str(argument);
            }
            text.push('\n');
        }
    }
    text
}

/// The `authorized_keys` of an account.
#[must_use]
pub fn keys(lines: &[KeyLine]) -> String {
    let mut text = String::from("# Written by fwc from the policy: change that.\n");
    for line in lines {
        text.push_str(&key(line));
        text.push('\n');
    }
    text
}

fn key(line: &KeyLine) -> String {
    let mut options: Vec<String> = Vec::new();
    for (set, word) in
        [(line.restrict, "restrict"), (line.pty, "pty"), (line.port_forwarding, "port-forwarding")]
    {
        options.extend(set.then(|| word.to_owned()));
    }
    options.extend(line.command.as_ref().map(|command| format!("command=\"{command}\"")));
    options.extend(line.permit_open.iter().map(|to| format!("permitopen=\"{to}\"")));
    if let Some(from) = &line.from {
        let nets: Vec<String> = from.iter().map(|net| net.to_string()).collect();
        options.push(format!("from=\"{}\"", nets.join(",")));
    }
    options.extend(line.expiry.map(|second| format!("expiry-time=\"{}\"", date(second))));
    let mut text = options.join(",");
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(&line.key);
    if !line.comment.is_empty() {
        text.push(' ');
        text.push_str(&line.comment);
    }
    text
}

/// `YYYYMMDDHHMMSSZ`, in UTC (sshd(8), `expiry-time`).
fn date(second: u64) -> String {
    let format = time::macros::format_description!("[year][month][day][hour][minute][second]Z");
    let at = i64::try_from(second).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    // Until 2262, as `resolve` has it: always a date. What is none has ended.
    at.and_then(|at| at.format(format).ok()).unwrap_or_else(|| "19700101000000Z".to_owned())
}
