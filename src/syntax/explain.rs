//! Says in the reader's words why the grammar could not read a text: what was expected, after what, and
//! which word was probably meant.
#![deny(clippy::arithmetic_side_effects)]

use std::cmp::Reverse;
use std::ops::Range;

use pest::error::{Error, ErrorVariant, InputLocation};

use crate::diag::{self, code};

use super::grammar::Rule;
use super::lookalike;
use super::parse::Report;
use super::scan::{STARTERS, is_word};

/// How much of a user's word is repeated to them.
const MAX_WORD: usize = 40;
/// How many of the things that were expected are told.
const MAX_EXPECTED: usize = 6;

/// Reports that the statement in `range` of `joined` failed with `error`.
pub(super) fn statement(error: &Error<Rule>, joined: &str, range: &Range<usize>, report: &mut Report<'_>) {
    let text = joined.get(range.clone()).unwrap_or("");
    if token(text) == "expect" && position(error) == 0 {
        let found = report.diagnostic(
            code::SYNTAX,
            word_range(text, 0, range.start),
            "`expect` stands inside of a `test`",
        );
        return report.push(found.help("write `test \"what it is about\" { expect … }`"));
    }
    failure(error, text, range.start, &[], report);
}

/// Reports that the line `text` of a block, whose lines start with `keywords`, failed with `error`.
pub(super) fn line(
    error: &Error<Rule>,
    text: &str,
    start: usize,
    keywords: &[&str],
    report: &mut Report<'_>,
) {
    failure(error, text, start, keywords, report);
}

/// Reports words in `range` of `joined` that start no statement.
pub(super) fn unknown_statement(joined: &str, range: &Range<usize>, report: &mut Report<'_>) {
    let text = joined.get(range.clone()).unwrap_or("");
    if foreign(text, range.start, report) {
        return;
    }
    let word = token(text);
    let at = word_range(text, 0, range.start);
    let span = super::scan::span(report.file(), &at);
    let message = format!("no statement starts with {}", quoted(word));
    let mut found = report.diagnostic(code::UNKNOWN_STATEMENT, at, message);
    let elsewhere = match word {
        "permit" | "accept" | "pass" => Some("allow"),
        "block" | "drop" | "reject" | "forbid" => Some("deny"),
        _ => None,
    };
    if matches!(word, "table" | "flush" | "define") {
        report.push(found.help(
            "this looks like a ruleset of nft, and is read as a policy; `fwc diff` and `fwc verify --against` take rulesets",
        ));
        return;
    }
    if matches!(word, "{" | "[") && joined.get(..range.start).is_some_and(|before| before.trim().is_empty()) {
        report.push(found.help(
            "this looks like JSON, and is read as a policy; `fwc diff` and `fwc verify --against` take what `nft -j` prints, \
             `fwc import aws` makes a policy of answers of EC2",
        ));
        return;
    }
    if ["//", "/*", "--", ";"].iter().any(|mark| text.trim_start().starts_with(mark)) {
        report.push(found.help("comments begin with `#`"));
        return;
    }
    // A service, and whence: what is missing is whether it may.
    let mut words = text.split_whitespace().take_while(|word| *word != "to");
    let is_flow = words.any(|word| word == "from") && !text.contains("expect");
    let near = if is_flow { nearest(word, &["allow", "deny"]) } else { nearest(word, STARTERS) };
    if is_flow && near.or(elsewhere).is_none() {
        report.push(found.help("say whether it may: `allow ssh from lan to web`, or `deny` so"));
        return;
    }
    found = match elsewhere.or(near) {
        Some(near) => found.help(format!("did you mean `{near}`?")).fix(span, near),
        None => found
            .help("a statement starts with `allow`, `deny`, `zone`, `host`, `group`, `service`, `test`, …"),
    };
    report.push(found);
}

/// Where in its text a parse failed.
pub(super) fn position(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    }
}

/// The token `text` starts with: a word, a string, or one character.
pub(super) fn token(text: &str) -> &str {
    let Some(first) = text.chars().next() else { return "" };
    let end = if first == '"' {
        text.get(1..).and_then(|rest| rest.find('"')).map_or(text.len(), |at| at.saturating_add(2))
    } else if is_word(first) {
        text.find(|c: char| !is_word(c)).unwrap_or(text.len())
    } else {
        first.len_utf8()
    };
    text.get(..end).unwrap_or(text)
}

/// The one of `words` that `word` was probably meant to be.
pub(super) fn nearest<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    // Long words are no misspelling of a short one, and their distance is costly; nor is what begins with a sign one of a word.
    if word.len() < 2 || word.len() > 24 || !word.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let allowed = if word.len() < 4 { 1 } else { 2 };
    words
        .iter()
        .map(|w| (strsim::damerau_levenshtein(&word.to_ascii_lowercase(), w), *w))
        .filter(|(distance, w)| *distance <= allowed && w.len() > *distance && *w != word)
        .min_by_key(|(distance, w)| (*distance, Reverse(common_start(word, w))))
        .map(|(_, w)| w)
}

/// How many letters two words start with alike: of words that are equally near, whoever mistypes one mostly has its first
/// letters right.
pub(crate) fn common_start(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
}

/// The user's word between backticks, cut where it is long.
pub(super) fn quoted(word: &str) -> String {
    let short: String = word.chars().take(MAX_WORD).collect();
    let more = if short.len() < word.len() { "…" } else { "" };
    format!("`{short}{more}`")
}

/// Reports a character of the words at the beginning of a text that is not what it looks like; whether there is one.
fn foreign(text: &str, start: usize, report: &mut Report<'_>) -> bool {
    let words = text.trim_ascii_start();
    let Some((at, found, like)) = lookalike::first(words) else { return false };
    let from = start.saturating_add(text.len().saturating_sub(words.len())).saturating_add(at);
    let place = from..from.saturating_add(found.len_utf8());
    let span = super::scan::span(report.file(), &place);
    let diagnostic = report.diagnostic(code::SYNTAX, place, lookalike::told(found, like));
    let diagnostic = diagnostic.help("write it anew: what is not in quotes or a comment is ASCII");
    // A dash before a blank, and one quote of two, are not mended by themselves.
    let after = words.get(at.saturating_add(found.len_utf8())..).unwrap_or("");
    let mends = match like {
        "\"" => false,
        "-" => after.starts_with(is_word),
        _ => true,
    };
    report.push(if mends { diagnostic.fix(span, like) } else { diagnostic });
    true
}

fn failure(error: &Error<Rule>, text: &str, start: usize, keywords: &[&str], report: &mut Report<'_>) {
    let at = position(error).min(text.len());
    let rules: &[Rule] = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        ErrorVariant::CustomError { .. } => &[],
    };
    let rest = text.get(at..).unwrap_or("");
    if foreign(rest, start.saturating_add(at), report) {
        return;
    }
    let word = token(rest.trim_start());
    let before = previous(text.get(..at).unwrap_or(""));
    if rest.starts_with(' ') && apart(word, before, start.saturating_add(at), rules, report) {
        return;
    }
    let expected = expected(rules);

    let mut message = if expected.is_empty() {
        "this cannot be read".to_owned()
    } else {
        format!("expected {}", any_of(&expected))
    };
    if let Some((previous, _)) = &before {
        message = format!("{message} after {}", quoted(previous));
    }
    if !word.is_empty() && !expected.is_empty() {
        message = format!("{message}, found {}", quoted(word));
    }
    // At the end there is nothing to point at but the last word.
    let place = match &before {
        Some((previous, from)) if word.is_empty() => {
            let from = start.saturating_add(*from);
            from..from.saturating_add(previous.len())
        }
        _ => word_range(text, at, start),
    };
    let span = super::scan::span(report.file(), &place);
    let mut found = report.diagnostic(code::SYNTAX, place, message);

    let first = token(text);
    let words: Vec<&str> = rules.iter().filter_map(|&r| keyword(r)).collect();
    if let Some(near) = nearest(word, &words) {
        found = found.help(format!("did you mean `{near}`?")).fix(span, near);
    } else if let Some(near) = nearest(first, keywords)
        .filter(|_| !keywords.contains(&first) && !first.ends_with(|c: char| c.is_ascii_digit()))
    {
        let first_span = super::scan::span(report.file(), &word_range(text, 0, start));
        found = found.help(format!("did you mean `{near}` by `{first}`?")).fix(first_span, near);
    } else if ["->", "=>", "→"].iter().any(|arrow| rest.trim_start().starts_with(arrow))
        && words.contains(&"to")
    {
        found = found.help("the other end follows `to`");
    } else if let Some(help) = elsewhere(word, text.get(..at).unwrap_or(""))
        .or_else(|| hint(word, text.get(..at).unwrap_or(""), rules))
    {
        found = found.help(help);
    }
    report.push(found);
}

/// Reports a blank beside the `/` of a rate, which is one word; whether there is one.
fn apart(
    word: &str,
    before: Option<(&str, usize)>,
    at: usize,
    rules: &[Rule],
    report: &mut Report<'_>,
) -> bool {
    let slash = rules.contains(&Rule::slash) && word.starts_with('/');
    let unit = rules.contains(&Rule::unit)
        && before.is_some_and(|(last, _)| last.ends_with('/'))
        && word.starts_with(|c: char| c.is_ascii_lowercase());
    if !slash && !unit {
        return false;
    }
    let message = "a rate is written without blanks";
    let found = report.diagnostic(code::SYNTAX, at..at.saturating_add(1), message);
    report.push(found.help("write `5/second`"));
    true
}

/// What is written so in other languages of firewalls; `before` is what stands before it in the statement.
fn elsewhere(word: &str, before: &str) -> Option<String> {
    let (last, _) = previous(before)?;
    if matches!(last, "tcp" | "udp") {
        let port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some((first, last)) = word.split_once(':').filter(|(a, b)| port(a) && port(b)) {
            return Some(format!("a range is written with `-`: `{first}-{last}`"));
        }
        if let Some(number) = word.strip_prefix('/').filter(|number| port(number)) {
            return Some(format!("the port follows: `{last} {number}`"));
        }
    }
    match word {
        "port" | "dport" if matches!(last, "tcp" | "udp") => Some(format!("the port follows: `{last} 80`")),
        "!" if matches!(last, "from" | "to" | ",") => {
            Some("all but some are `anywhere except` them".to_owned())
        }
        "any" | "*" if matches!(last, "from" | "to") => Some("every place is `anywhere`".to_owned()),
        "any" if last == "," => Some("every place is `anywhere`".to_owned()),
        "*" if matches!(last, "allow" | "deny" | "only") => Some("every service is `any`".to_owned()),
        "log" | "limit" | "until" | "reject" | "owner" | "waive" => {
            Some(format!("modifiers stand in braces at the end: `{{ {word} … }}`"))
        }
        _ => None,
    }
}

/// What a person who wrote `word` there may not know; `before` is what stands before it in the statement.
fn hint(word: &str, before: &str, rules: &[Rule]) -> Option<String> {
    let first = word.chars().next()?;
    if rules.iter().any(|r| matches!(r, Rule::expect | Rule::kw_expect))
        && matches!(word, "allow" | "deny" | "only")
    {
        return Some(format!("in a `test`, write `expect {word} …`"));
    }
    if rules.iter().any(|r| matches!(r, Rule::interface | Rule::leg | Rule::host_line))
        && (first.is_ascii_digit() || word == "dynamic")
    {
        return Some(format!("a leg starts with its interface: `eth1 {word} in …`"));
    }
    let takes_name =
        rules.iter().any(|r| matches!(r, Rule::name | Rule::place | Rule::places | Rule::place_list));
    let takes_service = rules.iter().any(|r| matches!(r, Rule::service_item | Rule::services));
    if takes_service && first.is_ascii_digit() {
        // The one that was meant is most likely the one said last.
        let said = before.rsplit(|c: char| !is_word(c)).find(|word| matches!(*word, "tcp" | "udp"));
        // `80/tcp`, as `services(5)` and nmap write it.
        let (ports, after) = word.split_once('/').unwrap_or((word, ""));
        let ports = ports.replacen(':', "-", 1);
        let proto =
            ["tcp", "udp", "sctp"].into_iter().find(|proto| *proto == after).or(said).unwrap_or("tcp");
        return Some(format!("say the protocol of each port: `{proto} {ports}`"));
    }
    if !(takes_name || takes_service) {
        return None;
    }
    let takes_place = !rules.contains(&Rule::name) || takes_service;
    if takes_place && matches!(word, "from" | "to" | "in" | "except") {
        return None;
    }
    if is_reserved(word) {
        return Some(format!("`{word}` is a reserved word, and names nothing"));
    }
    if word.chars().any(|c| c.is_ascii_uppercase()) {
        return Some("names are written in lower case".to_owned());
    }
    (!first.is_ascii())
        .then(|| "names are made of a-z, 0-9, `_` and `-`, and start with a letter or `_`".to_owned())
}

/// Whether a word is never a name.
pub(crate) fn is_reserved(word: &str) -> bool {
    STARTERS.contains(&word)
        || matches!(word, "expect" | "from" | "to" | "in" | "except" | "any" | "anywhere" | "rest" | "none")
}

/// The last token of `text` and where it starts.
fn previous(text: &str) -> Option<(&str, usize)> {
    let text = text.trim_end();
    let last = text.chars().next_back()?;
    let before_last = text.len().saturating_sub(last.len_utf8());
    let start = if last == '"' {
        text.get(..before_last)?.rfind('"').unwrap_or(before_last)
    } else if is_word(last) {
        text.rfind(|c: char| !is_word(c)).map_or(0, |at| {
            at.saturating_add(text.get(at..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8))
        })
    } else {
        before_last
    };
    Some((text.get(start..)?, start))
}

fn word_range(text: &str, at: usize, start: usize) -> Range<usize> {
    let rest = text.get(at..).unwrap_or("");
    let blanks = rest.len().saturating_sub(rest.trim_start().len());
    let from = start.saturating_add(at).saturating_add(blanks);
    from..from.saturating_add(token(rest.trim_start()).len())
}

/// The words for what was expected, most telling first, each once.
fn expected(rules: &[Rule]) -> Vec<String> {
    let mut told: Vec<(usize, String)> = rules.iter().filter_map(|&rule| words(rule)).collect();
    told.sort();
    told.dedup();
    told.into_iter().map(|(_, words)| words).collect()
}

fn any_of(expected: &[String]) -> String {
    let shown = expected.get(..MAX_EXPECTED).unwrap_or(expected);
    diag::listed(shown, "or")
}

/// How a rule is called, and its rank among what is told: things before marks, marks before further words.
fn words(rule: Rule) -> Option<(usize, String)> {
    let thing = match rule {
        Rule::name => "a name",
        Rule::place | Rule::places | Rule::place_list => "a place",
        Rule::place_leg | Rule::via => "a leg such as `lb.dmz`",
        Rule::address | Rule::addresses => "an address",
        Rule::services | Rule::service_item => "a service",
        Rule::number => "a number",
        Rule::port_range => "a port",
        Rule::date => "a date such as `2027-06-30`",
        Rule::duration => "a length of time such as `15m`",
        Rule::interface | Rule::leg => "an interface",
        Rule::string => "a string in quotes",
        Rule::rate | Rule::rate_number => "a rate such as `10/second`",
        Rule::unit => "`second`, `minute`, `hour` or `day`",
        Rule::key_type => "a kind of key such as `ed25519`",
        Rule::zone_line => "a network or `rest`",
        Rule::host_kind => "`host`, `firewall` or `router`",
        Rule::host_line => "an interface, `route`, `log from`, `nftables`, …",
        Rule::vpc_line => "a network, `region`, `id`, `gateway` or `waive`",
        Rule::user_line => "`key`, `keys file`, `account`, `uid` or `until`",
        Rule::sshd_line => "`accept`, `idle` or `serve`",
        Rule::modifier => "`log`, `reject`, `limit`, `reason`, `owner`, `until`, `waive` or `break-glass`",
        Rule::expect => "`expect`",
        Rule::verb => "`allow` or `deny`",
        Rule::leg_short => "an address or `dynamic`",
        _ => "",
    };
    if !thing.is_empty() {
        return Some((0, thing.to_owned()));
    }
    let (rank, word) = match rule {
        Rule::comma => (1, "`,`"),
        Rule::equals => (1, "`=`"),
        Rule::plus_equals => (1, "`+=`"),
        Rule::colon => (1, "`:`"),
        Rule::slash => (1, "`/`"),
        Rule::dot => (1, "`.`"),
        Rule::close => (4, "`}`"),
        Rule::open
        | Rule::zone_block
        | Rule::host_block
        | Rule::vpc_block
        | Rule::user_block
        | Rule::sshd_block
        | Rule::modifiers
        | Rule::test_block => (4, "`{`"),
        Rule::clause => (3, "a nat clause"),
        Rule::people => (3, "`as`"),
        Rule::EOI => (5, "the end"),
        _ => return keyword(rule).map(|word| (2, format!("`{word}`"))),
    };
    Some((rank, word.to_owned()))
}

/// The word a rule stands for, where it stands for one.
fn keyword(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::kw_allow => "allow",
        Rule::kw_deny => "deny",
        Rule::kw_expect => "expect",
        Rule::kw_test => "test",
        Rule::kw_include => "include",
        Rule::kw_var => "var",
        Rule::kw_list => "list",
        Rule::kw_zone => "zone",
        Rule::kw_firewall => "firewall",
        Rule::kw_router => "router",
        Rule::kw_host => "host",
        Rule::kw_group => "group",
        Rule::kw_each => "each",
        Rule::kw_service => "service",
        Rule::kw_vpc => "vpc",
        Rule::kw_security_group => "security-group",
        Rule::kw_user => "user",
        Rule::kw_sshd => "sshd",
        Rule::kw_from => "from",
        Rule::kw_to => "to",
        Rule::kw_in => "in",
        Rule::kw_except => "except",
        Rule::kw_any => "any",
        Rule::kw_anywhere => "anywhere",
        Rule::kw_rest => "rest",
        Rule::kw_none => "none",
        Rule::kw_place => "place",
        Rule::kw_file => "file",
        Rule::kw_prefix_list => "prefix-list",
        Rule::kw_public => "public",
        Rule::kw_dynamic => "dynamic",
        Rule::kw_bridge => "bridge",
        Rule::kw_hub => "hub",
        Rule::kw_serves => "serves",
        Rule::kw_dhcp => "dhcp",
        Rule::kw_clamps => "clamps",
        Rule::kw_mss => "mss",
        Rule::kw_br_netfilter => "br_netfilter",
        Rule::kw_stateful => "stateful",
        Rule::kw_stateless => "stateless",
        Rule::kw_route => "route",
        Rule::kw_via => "via",
        Rule::kw_log => "log",
        Rule::kw_reject => "reject",
        Rule::kw_strict_source => "strict-source",
        Rule::kw_nftables => "nftables",
        Rule::kw_docker => "docker",
        Rule::kw_ssh => "ssh",
        Rule::kw_port => "port",
        Rule::kw_host_key => "host-key",
        Rule::kw_region => "region",
        Rule::kw_id => "id",
        Rule::kw_gateway => "gateway",
        Rule::kw_key => "key",
        Rule::kw_keys => "keys",
        Rule::kw_account => "account",
        Rule::kw_uid => "uid",
        Rule::kw_accept => "accept",
        Rule::kw_idle => "idle",
        Rule::kw_serve => "serve",
        Rule::kw_dnat => "dnat",
        Rule::kw_snat => "snat",
        Rule::kw_masquerade => "masquerade",
        Rule::kw_ipvs => "ipvs",
        Rule::kw_nat => "nat",
        Rule::kw_dr => "dr",
        Rule::kw_hairpin => "hairpin",
        Rule::kw_as => "as",
        Rule::kw_limit => "limit",
        Rule::kw_burst => "burst",
        Rule::kw_per => "per",
        Rule::kw_source => "source",
        Rule::kw_reason => "reason",
        Rule::kw_owner => "owner",
        Rule::kw_until => "until",
        Rule::kw_waive => "waive",
        Rule::kw_break_glass => "break-glass",
        Rule::kw_only => "only",
        Rule::kw_direct => "direct",
        Rule::kw_tcp => "tcp",
        Rule::kw_udp => "udp",
        Rule::kw_icmp => "icmp",
        Rule::kw_icmpv6 => "icmpv6",
        Rule::kw_type => "type",
        Rule::kw_code => "code",
        Rule::kw_proto => "proto",
        Rule::on_port => "port",
        Rule::from_ports => "from",
        Rule::zone_vpc => "in",
        Rule::leg_public => "public",
        Rule::bridge => "bridge",
        Rule::leg_leases => "serves",
        Rule::leg_clamp => "clamps",
        Rule::prefix_list => "prefix-list",
        Rule::list_file => "file",
        Rule::route => "route",
        Rule::log_from => "log",
        Rule::reject_from => "reject",
        Rule::ssh_port => "ssh",
        Rule::host_key => "host-key",
        Rule::vpc_region => "region",
        Rule::vpc_id | Rule::group_id => "id",
        Rule::vpc_gateway => "gateway",
        Rule::user_keys => "keys",
        Rule::user_key => "key",
        Rule::user_account => "account",
        Rule::user_uid => "uid",
        Rule::until => "until",
        Rule::sshd_accept => "accept",
        Rule::sshd_idle => "idle",
        Rule::sshd_serve => "serve",
        Rule::burst => "burst",
        Rule::per_source => "per",
        Rule::icmp_code => "code",
        Rule::var_place => "place",
        Rule::var_service => "service",
        Rule::limit => "limit",
        Rule::reason => "reason",
        Rule::owner => "owner",
        Rule::waive | Rule::waive_name => "waive",
        Rule::break_glass => "break-glass",
        Rule::dnat => "dnat",
        Rule::snat => "snat",
        Rule::ipvs => "ipvs",
        _ => return None,
    })
}
