//! Expressions, values, and the elements of sets.

use std::net::IpAddr;

use super::super::artifact::{Data, Duration, Element, Expression, Field, Statement};
use super::ReadError;
use super::cursor::{Parser, Unfit};
use super::token::Kind;
use crate::net::text;

/// Headers and other things that rules look at: each is followed by the name of a field.
const HEADS: [&str; 27] = [
    "meta", "ct", "ip", "ip6", "tcp", "udp", "udplite", "sctp", "dccp", "th", "icmp", "icmpv6", "igmp",
    "ether", "vlan", "arp", "ah", "esp", "comp", "frag", "hbh", "dst", "mh", "ipsec", "socket", "rt",
    "exthdr",
];

/// Fields of `meta` that may stand without it.
const BARE: [&str; 16] = [
    "iifname",
    "oifname",
    "iif",
    "oif",
    "iiftype",
    "oiftype",
    "iifgroup",
    "oifgroup",
    "mark",
    "skuid",
    "skgid",
    "cgroup",
    "rtclassid",
    "pkttype",
    "cpu",
    "fib",
];

/// Whether a word can start an expression that looks at the packet.
pub(super) fn starts_field(word: &str) -> bool {
    HEADS.contains(&word) || BARE.contains(&word) || word == "numgen"
}

impl Parser<'_> {
    /// The left side of a comparison: one field or several with `.` between, perhaps masked.
    pub(super) fn looked_at(&mut self) -> Result<Expression, Unfit> {
        let mut parts = vec![self.field()?];
        while self.took(".") {
            parts.push(self.field()?);
        }
        let left = if parts.len() == 1 { parts.pop().ok_or(Unfit)? } else { Expression::Concat(parts) };
        if !(self.at(Kind::Sign) && self.now.text == "&" || self.at_word("and")) {
            return Ok(left);
        }
        self.bump();
        let mask = if self.took_kind(Kind::OpenParen) {
            let flags = self.flags(Kind::Bar)?;
            if !self.took_kind(Kind::CloseParen) {
                return Err(Unfit);
            }
            flags
        } else {
            self.value()?
        };
        Ok(Expression::Masked(Box::new(left), Box::new(mask)))
    }

    pub(super) fn field(&mut self) -> Result<Expression, Unfit> {
        if !self.at(Kind::Word) || !starts_field(self.now.text) {
            return Err(Unfit);
        }
        let head = self.bump().text;
        if head == "fib" {
            return self.fib();
        }
        if head == "numgen" {
            return self.numgen();
        }
        let mut words = head.to_owned();
        if BARE.contains(&head) && !matches!(head, "iifname" | "oifname" | "iif" | "oif") {
            words.insert_str(0, "meta ");
        } else if HEADS.contains(&head) {
            let mut more = 1u8;
            while more > 0 {
                if !self.at(Kind::Word) {
                    return Err(Unfit);
                }
                let word = self.bump().text;
                words.push(' ');
                words.push_str(word);
                // `ct original ip saddr`, `ct original proto-dst`, `ct reply bytes`.
                more = match (words.as_str(), word) {
                    ("ct original" | "ct reply" | "tcp option", _) => 1,
                    (_, "ip" | "ip6") if head == "ct" || head == "rt" => 1,
                    // `tcp option maxseg size`, `tcp option sack-perm exists`; with numbers for words `tcp option sack-perm 1`.
                    (said, _) if said.starts_with("tcp option ") && said.matches(' ').count() == 2 => {
                        u8::from(OF_OPTIONS.contains(&self.now.text))
                    }
                    _ => 0,
                };
            }
        }
        let spelled =
            words.strip_prefix("meta ").filter(|w| matches!(*w, "iifname" | "oifname" | "iif" | "oif"));
        let field = Field::spelled(spelled.unwrap_or(&words));
        Ok(field.map_or(Expression::Unknown(words), Expression::Field))
    }

    // `fib saddr . iif oif`, nft(8), FIB EXPRESSIONS.
    fn fib(&mut self) -> Result<Expression, Unfit> {
        let mut words = String::from("fib");
        loop {
            if !matches!(self.now.text, "saddr" | "daddr" | "iif" | "oif" | "mark") {
                return Err(Unfit);
            }
            words.push(' ');
            words.push_str(self.bump().text);
            if !self.took(".") {
                break;
            }
            words.push_str(" .");
        }
        if !matches!(self.now.text, "oif" | "oifname" | "type") {
            return Err(Unfit);
        }
        words.push(' ');
        words.push_str(self.bump().text);
        Ok(Expression::Unknown(words))
    }

    // `numgen random mod 4 offset 1`, nft(8), NUMGEN EXPRESSION: a number that nobody knows.
    fn numgen(&mut self) -> Result<Expression, Unfit> {
        if !matches!(self.now.text, "inc" | "random") {
            return Err(Unfit);
        }
        let mut words = format!("numgen {}", self.bump().text);
        for key in ["mod", "offset"] {
            if !self.took(key) {
                continue;
            }
            let Some(Expression::Number(number)) = plain(self.now.text) else { return Err(Unfit) };
            self.bump();
            words.push_str(&format!(" {key} {number}"));
        }
        if words.contains(" mod ") { Ok(Expression::Unknown(words)) } else { Err(Unfit) }
    }

    /// The right side of a comparison; with `list`, `a,b` is a list of flags.
    pub(super) fn compared_with(&mut self, list: bool) -> Result<Expression, Unfit> {
        let paren = self.took_kind(Kind::OpenParen);
        let mut first = self.value()?;
        if self.at(Kind::Bar) || list && self.at(Kind::Comma) {
            let mut flags = vec![first];
            let between = self.now.kind;
            while self.took_kind(between) {
                flags.push(self.value()?);
            }
            first = Expression::Flags(flags);
        } else if self.at_word(".") {
            let mut parts = vec![first];
            while self.took(".") {
                parts.push(self.value()?);
            }
            first = Expression::Concat(parts);
        }
        if paren && !self.took_kind(Kind::CloseParen) {
            return Err(Unfit);
        }
        Ok(first)
    }

    /// Whether a value stands here with `|` behind it.
    pub(super) fn at_joined(&mut self) -> bool {
        let start = self.mark();
        self.took_kind(Kind::OpenParen);
        let joined = self.value().is_ok() && self.at(Kind::Bar);
        self.back(start);
        joined
    }

    fn flags(&mut self, between: Kind) -> Result<Expression, Unfit> {
        let first = self.value()?;
        if !self.at(between) {
            return Ok(first);
        }
        let mut flags = vec![first];
        while self.took_kind(between) {
            flags.push(self.value()?);
        }
        Ok(Expression::Flags(flags))
    }

    fn value(&mut self) -> Result<Expression, Unfit> {
        match self.now.kind {
            Kind::Text => {
                let first = Expression::Text(self.bump().text.to_owned());
                // `meta hour "08:00"-"17:00"`.
                if !self.took("-") {
                    return Ok(first);
                }
                if !self.at(Kind::Text) {
                    return Err(Unfit);
                }
                let last = Expression::Text(self.bump().text.to_owned());
                Ok(Expression::Range(Box::new(first), Box::new(last)))
            }
            Kind::Word
                if !matches!(self.now.text, "meta" | "ct" | "ip" | "ip6" | "th" | "and" | "or" | "xor")
                    && !NO_VALUES.contains(&self.now.text) =>
            {
                let value = plain(self.now.text).ok_or(Unfit)?;
                self.bump();
                Ok(value)
            }
            _ => Err(Unfit),
        }
    }

    // ---- elements -------------------------------------------------------------------------------------

    /// `{ … }`, and the line of each element.
    pub(super) fn elements(&mut self) -> Result<(Vec<Element>, Vec<u32>), ReadError> {
        let (mut elements, mut lines) = (Vec::new(), Vec::new());
        self.bump();
        loop {
            self.newlines();
            if self.took_kind(Kind::Close) {
                self.forget_notes();
                return Ok((elements, lines));
            }
            if self.at_end() {
                return self.fault("expected an element or `}`");
            }
            let start = self.mark();
            lines.push(self.now.line);
            let element = self.element();
            self.newlines();
            let whole = matches!(self.now.kind, Kind::Comma | Kind::Close);
            match element {
                Ok(element) if whole => elements.push(element),
                Ok(_) | Err(Unfit) => {
                    self.back(start);
                    let text = self.raw(|p| matches!(p.now.kind, Kind::Comma | Kind::Close));
                    if text.is_empty() {
                        return self.fault("expected an element");
                    }
                    elements.push(Element::new(Expression::Unknown(text)));
                }
            }
            if !self.took_kind(Kind::Comma) && !self.at(Kind::Close) {
                return self.fault("expected `,` or `}`");
            }
        }
    }

    fn element(&mut self) -> Result<Element, Unfit> {
        let first = self.part()?;
        let key = if self.at_word(".") {
            // There may be a hundred thousand, and most are of four parts.
            let mut parts = Vec::with_capacity(4);
            parts.push(first);
            while self.took(".") {
                parts.push(self.part()?);
            }
            parts.shrink_to_fit();
            Expression::Concat(parts)
        } else {
            first
        };
        let mut element = Element::new(key);
        self.element_options(&mut element)?;
        if self.took(":") {
            self.newlines();
            let verdict = if self.at(Kind::Word) { self.verdict() } else { None };
            element.data = Some(match verdict {
                Some(verdict) => Data::Verdict(verdict),
                None => Data::Value(Box::new(self.compared_with(false)?)),
            });
            self.element_options(&mut element)?;
        }
        Ok(element)
    }

    /// A part of an element's key. Elsewhere than there the protocols `ip` and `ip6` start an expression.
    fn part(&mut self) -> Result<Expression, Unfit> {
        if self.at_word("ip") || self.at_word("ip6") {
            return Ok(Expression::word(self.bump().text));
        }
        self.flags(Kind::Bar)
    }

    fn element_options(&mut self, element: &mut Element) -> Result<(), Unfit> {
        loop {
            if self.took("comment") {
                if !self.at(Kind::Text) {
                    return Err(Unfit);
                }
                element.comment = Some(self.bump().text.to_owned());
            } else if self.took("timeout") {
                let time = self.length_of_time()?;
                element.restate(|state| state.timeout = Some(time));
            } else if self.took("expires") {
                let time = self.length_of_time()?;
                element.restate(|state| state.expires = Some(time));
            } else if self.at_word("counter") || self.at_word("limit") {
                let statement = self.statement()?;
                if !matches!(statement, Statement::Counter(_) | Statement::Limit(_)) {
                    return Err(Unfit);
                }
                element.restate(|state| state.statements.push(statement));
            } else {
                return Ok(());
            }
        }
    }

    fn length_of_time(&mut self) -> Result<Duration, Unfit> {
        let time = duration(self.now.text).ok_or(Unfit)?;
        self.bump();
        Ok(time)
    }
}

/// The fields of an option of TCP (nft 1.1, `parser_bison.y`, `tcp_hdr_option_kind_and_field`).
const OF_OPTIONS: [&str; 10] =
    ["kind", "length", "size", "count", "left", "right", "tsval", "tsecr", "subtype", "offset"];

/// Words that begin the next statement, whatever stands before them: none of them is a value of anything.
const NO_VALUES: [&str; 9] =
    ["accept", "drop", "return", "continue", "jump", "goto", "reject", "masquerade", "notrack"];

/// What may be written without any modelled field becoming another.
const ALTERED: [&str; 8] = [
    "tcp option maxseg size",
    "ip dscp",
    "ip6 dscp",
    "meta priority",
    "meta nftrace",
    "ct helper",
    "ct label",
    "ct event",
];

/// The only words of nft that begin with a digit: the EtherTypes of tags (IEEE 802.1Q), which nft 0.9.8 takes as numbers alone.
const TAGS: [(&str, u128); 2] = [("8021q", 0x8100), ("8021ad", 0x88a8)];

/// Whether nothing modelled reads a field.
pub(super) fn is_altered(field: &str) -> bool {
    ALTERED.contains(&field)
}

/// What is looked up in a map that stands there, in one form for text and JSON. None of a map with a name: what is in it is not said.
pub(super) fn said(lookup: &Expression) -> Option<String> {
    let each = |parts: &[Expression], between: &str| {
        parts.iter().map(said).collect::<Option<Vec<_>>>().map(|parts| parts.join(between))
    };
    Some(match lookup {
        Expression::Lookup { key, map } => format!("{} map {}", said(key)?, said(map)?),
        Expression::Set(elements) => {
            let element = |of: &Element| match &of.data {
                Some(Data::Value(data)) if of.stated.is_none() && of.comment.is_none() => {
                    Some(format!("{} : {}", said(&of.key)?, said(data)?))
                }
                _ => None,
            };
            let mut elements = elements.iter().map(element).collect::<Option<Vec<_>>>()?;
            // Their order says nothing.
            elements.sort();
            format!("{{ {} }}", elements.join(", "))
        }
        Expression::Field(field) => field.keyword().to_owned(),
        Expression::Masked(of, mask) => format!("{} & {}", said(of)?, said(mask)?),
        Expression::Concat(parts) => each(parts, " . ")?,
        Expression::Number(number) => number.to_string(),
        Expression::Address(addr) => addr.to_string(),
        Expression::Prefix(net) => net.to_string(),
        Expression::Range(first, last) => format!("{}-{}", said(first)?, said(last)?),
        Expression::Word(word) => word.clone(),
        // JSON has no quotes; with them a name may have a `*`.
        Expression::Text(text) => match plain(text) {
            Some(Expression::Word(word)) => word,
            _ => format!("\"{text}\""),
        },
        Expression::Any => "*".to_owned(),
        // What JSON alone has is not understood.
        Expression::Unknown(words) => Some(words).filter(|words| !words.starts_with('{'))?.clone(),
        Expression::Bits { .. } | Expression::Flags(_) | Expression::Named(_) => return None,
    })
}

/// What is done to the bits of a mark, one operation after another.
pub(super) struct Bits {
    of: Field,
    and: u32,
    xor: u32,
}

impl Bits {
    /// Nothing yet; none where the field is no mark.
    pub(super) fn of(of: Field) -> Option<Self> {
        matches!(of, Field::Mark | Field::CtMark).then_some(Self { of, and: u32::MAX, xor: 0 })
    }

    /// One of `&`, `|`, `^` with a number.
    pub(super) fn then(&mut self, op: char, number: u32) {
        let (and, xor) = match op {
            '&' => (number, 0),
            '|' => (!number, number),
            _ => (u32::MAX, number),
        };
        self.and &= and;
        self.xor = (self.xor & and) ^ xor;
    }

    pub(super) fn expression(self) -> Expression {
        let Self { of, and, xor } = self;
        if (and, xor) == (u32::MAX, 0) { Expression::Field(of) } else { Expression::Bits { of, and, xor } }
    }
}

/// A word as a value: number, address, network, range, `@set`, `*` or symbol; an Ethernet address is one that nobody knows.
pub(super) fn plain(word: &str) -> Option<Expression> {
    if word == "*" {
        return Some(Expression::Any);
    }
    if let Some(&(_, number)) = TAGS.iter().find(|(tag, _)| *tag == word) {
        return Some(Expression::Number(number));
    }
    if let Some(name) = word.strip_prefix('@') {
        // kube-proxy has names with slashes.
        let ok = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
        return ok.then(|| Expression::Named(name.to_owned()));
    }
    // What starts with a letter is a number only as an address with colons.
    let is_symbol = |word: &str| word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains(':');
    if !is_symbol(word)
        && let Some(scalar) = scalar(word)
    {
        return Some(scalar);
    }
    if let Some((first, last)) = word.split_once('-')
        && let (Some(first), Some(last)) = (scalar(first), scalar(last))
    {
        let same_kind = match (&first, &last) {
            (Expression::Number(_), Expression::Number(_)) => true,
            (Expression::Address(a), Expression::Address(b)) => a.is_ipv4() == b.is_ipv4(),
            _ => false,
        };
        return same_kind.then(|| Expression::Range(Box::new(first), Box::new(last)));
    }
    let octets = || word.split(':').filter(|o| o.len() == 2 && o.bytes().all(|b| b.is_ascii_hexdigit()));
    if word.len() == 17 && octets().count() == 6 {
        return Some(Expression::Unknown(word.to_owned()));
    }
    // The class of a queue (tc(8), CLASSES).
    let half = |half: &str| (1..=4).contains(&half.len()) && half.bytes().all(|b| b.is_ascii_hexdigit());
    if word.split_once(':').is_some_and(|(major, minor)| half(major) && half(minor)) {
        return Some(Expression::Unknown(word.to_owned()));
    }
    let mut chars = word.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    let symbol = first && chars.all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    symbol.then(|| Expression::Word(word.to_owned()))
}

fn scalar(word: &str) -> Option<Expression> {
    if let Some(address) = text::v4(word) {
        return Some(Expression::Address(IpAddr::V4(address)));
    }
    // What has a dot, a colon or a slash is no number, and what has a slash no address.
    let has = |wanted: &[u8]| word.bytes().any(|byte| wanted.contains(&byte));
    if has(b"/") {
        return text::net(word).map(Expression::Prefix);
    }
    if has(b".:") {
        return text::addr(word).map(Expression::Address);
    }
    let number = match word.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        // nft reads what begins with 0 as octal, and lists nothing so.
        None if word.len() > 1 && word.starts_with('0') => None,
        None => word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.parse().ok()).flatten(),
    };
    number.map(Expression::Number)
}

/// What follows `to` in a translation: `ADDR`, `ADDR:PORT`, `[ADDR]:PORT`, `:PORT`, with ranges for each.
pub(super) fn target(word: &str) -> Option<(Option<Expression>, Option<Expression>)> {
    if let Some(port) = word.strip_prefix(':')
        && let Some(port @ (Expression::Number(_) | Expression::Range(..))) = plain(port)
    {
        return Some((None, Some(port)));
    }
    let (addr, port) = match word.rsplit_once("]:") {
        Some((addr, port)) => (addr, Some(port)),
        None if word.matches(':').count() == 1 => {
            word.rsplit_once(':').map(|(addr, port)| (addr, Some(port))).unwrap_or_default()
        }
        None => (word, None),
    };
    let addr = addr.replace(['[', ']'], "");
    let addr = plain(&addr)?;
    let is_addr = match &addr {
        Expression::Address(_) | Expression::Prefix(_) => true,
        Expression::Range(first, _) => matches!(first.as_ref(), Expression::Address(_)),
        _ => false,
    };
    let port = match port {
        None => None,
        Some(port) => match plain(port)? {
            port @ Expression::Number(_) => Some(port),
            Expression::Range(a, b) if matches!(*a, Expression::Number(_)) => Some(Expression::Range(a, b)),
            _ => return None,
        },
    };
    let network_with_port = matches!(addr, Expression::Prefix(_)) && port.is_some();
    (is_addr && !network_with_port).then_some((Some(addr), port))
}

/// `1d2h3m4s5ms`, or plain seconds.
pub(super) fn duration(word: &str) -> Option<Duration> {
    if let Ok(seconds) = word.parse::<u64>() {
        return seconds.checked_mul(1_000).map(Duration);
    }
    let (mut total, mut rest) = (0u64, word);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let length: u64 = match unit {
            "w" => 604_800_000,
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        total = total.checked_add(count.parse::<u64>().ok()?.checked_mul(length)?)?;
        rest = after;
    }
    (!word.is_empty()).then_some(Duration(total))
}

/// `2027-12-28 13:20:00` as seconds since 1970, if it were UTC.
pub(super) fn seconds(date: &str) -> Option<u128> {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let date = time::PrimitiveDateTime::parse(date, &format).ok()?;
    u128::try_from(date.assume_utc().unix_timestamp()).ok()
}

/// `13:20` or `13:20:05` as seconds of a day.
pub(super) fn seconds_of_day(hour: &str) -> Option<u128> {
    let parts: Option<Vec<u128>> = hour.split(':').map(|part| part.parse().ok()).collect();
    let (hours, minutes, seconds) = match *parts?.as_slice() {
        [hours, minutes] => (hours, minutes, 0),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let is_time = hours < 24 && minutes < 60 && seconds < 60;
    is_time.then(|| {
        hours.saturating_mul(3600).saturating_add(minutes.saturating_mul(60)).saturating_add(seconds)
    })
}
