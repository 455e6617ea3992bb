//! The smallest parts: names, strings, numbers, addresses, dates. Each either is one or has a finding.
#![deny(clippy::arithmetic_side_effects)]

use ipnet::IpNet;

use crate::diag::code;
use crate::net::text;
use crate::syntax::ast::*;
use crate::syntax::explain::quoted;
use crate::syntax::grammar::Rule;

use super::{Builder, P, child};

/// The longest name the kernel gives an interface: IFNAMSIZ less its final NUL.
const MAX_INTERFACE: usize = 15;

impl Builder<'_, '_> {
    pub(super) fn name(&mut self, pair: &P<'_>) -> Name {
        Name { text: pair.as_str().to_owned(), span: self.span(pair) }
    }

    pub(super) fn name_in(&mut self, pair: P<'_>) -> Option<Name> {
        child(pair, Rule::name).map(|p| self.name(&p))
    }

    /// The two names of `HOST.ZONE`.
    pub(super) fn two_names(&mut self, pair: P<'_>) -> Option<(Name, Name)> {
        let mut names = pair.into_inner().filter(|p| p.as_rule() == Rule::name);
        let (host, zone) = (names.next()?, names.next()?);
        Some((self.name(&host), self.name(&zone)))
    }

    pub(super) fn string(&mut self, pair: &P<'_>) -> Str {
        Str { text: pair.as_str().trim_matches('"').to_owned(), span: self.span(pair) }
    }

    /// A reason, or who answers for it: one that says nothing is none.
    pub(super) fn said(&mut self, pair: &P<'_>) -> Str {
        let said = self.string(pair);
        if said.text.trim().is_empty() {
            self.error(pair, code::SYNTAX, "this says nothing", "say why, or who: a reviewer reads it");
        }
        said
    }

    pub(super) fn said_in(&mut self, pair: P<'_>) -> Option<Str> {
        child(pair, Rule::string).map(|p| self.said(&p))
    }

    pub(super) fn string_in(&mut self, pair: P<'_>) -> Option<Str> {
        child(pair, Rule::string).map(|p| self.string(&p))
    }

    pub(super) fn interface(&mut self, pair: &P<'_>) -> Option<InterfaceName> {
        let text = pair.as_str();
        let told = if text.chars().count() > MAX_INTERFACE {
            format!(
                "an interface has at most {MAX_INTERFACE} characters, and {} has {}",
                quoted(text),
                text.chars().count()
            )
        } else if let Some((name, _)) = text.split_once('@') {
            format!("`ip link` shows `NAME@PEER`, and the interface is {}", quoted(name))
        } else if let Some(c) =
            text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        {
            format!("the name of an interface holds no `{c}`")
        } else if matches!(text, "." | "..") {
            "the kernel gives no interface this name".to_owned()
        } else {
            return Some(InterfaceName { text: text.to_owned(), span: self.span(pair) });
        };
        self.error(pair, code::BAD_INTERFACE_NAME, told, "a leg is written `eth1 10.1.1.1 in clients`");
        None
    }

    pub(super) fn addresses(&mut self, pair: P<'_>) -> Vec<Address> {
        let mut out = Vec::new();
        for p in pair.into_inner().filter(|p| p.as_rule() == Rule::address) {
            out.extend(self.address(&p));
        }
        out
    }

    pub(super) fn address(&mut self, pair: &P<'_>) -> Option<Address> {
        match address_value(pair.as_str()) {
            Ok(value) => Some(Address { value, span: self.span(pair) }),
            Err(why) => {
                let message = format!("{} is {why}", quoted(pair.as_str()));
                self.error(
                    pair,
                    code::BAD_ADDRESS,
                    message,
                    "write `10.1.1.1`, `10.1.1.0/24`, `10.1.1.1-10.1.1.9` or `2001:db8::/32`",
                );
                None
            }
        }
    }

    pub(super) fn port(&mut self, pair: &P<'_>) -> Option<u16> {
        let port = self.number(pair, 0, u32::from(u16::MAX), "a port")?;
        u16::try_from(port).ok()
    }

    pub(super) fn byte(&mut self, pair: &P<'_>, what: &str) -> Option<u8> {
        let byte = self.number(pair, 0, u32::from(u8::MAX), what)?;
        u8::try_from(byte).ok()
    }

    pub(super) fn number(&mut self, pair: &P<'_>, least: u32, most: u32, what: &str) -> Option<u32> {
        let number = pair.as_str().parse().ok().filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.out_of_range(pair, pair.as_str(), least, most, what);
        }
        number
    }

    pub(super) fn port_range(&mut self, pair: &P<'_>) -> Option<PortRange> {
        let (first, last) = pair.as_str().split_once('-').unwrap_or((pair.as_str(), pair.as_str()));
        let (Ok(first), Ok(last)) = (first.parse(), last.parse()) else {
            let wrong = if first.parse::<u16>().is_err() { first } else { last };
            self.out_of_range(pair, wrong, 0, u32::from(u16::MAX), "a port");
            return None;
        };
        Some(PortRange { first, last, span: self.span(pair) })
    }

    fn out_of_range(&mut self, pair: &P<'_>, text: &str, least: u32, most: u32, what: &str) {
        let message = format!("{} is not {what}: it goes from {least} to {most}", quoted(text));
        self.error(pair, code::NUMBER_OUT_OF_RANGE, message, "");
    }

    pub(super) fn date(&mut self, pair: &P<'_>) -> Option<Until> {
        let text = pair.as_str();
        if is_date(text) {
            return Some(Until { text: text.to_owned(), span: self.span(pair) });
        }
        let message = format!("{} is no date", quoted(text));
        self.error(
            pair,
            code::BAD_DATE,
            message,
            "write `2027-06-30`, that day included, or `2027-06-30T18:00Z`",
        );
        None
    }

    /// A length of time in seconds.
    pub(super) fn duration(&mut self, pair: &P<'_>) -> Option<u32> {
        let text = pair.as_str();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u32 = match text.strip_prefix(digits).unwrap_or("") {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => {
                let message = format!("{} is no length of time", quoted(text));
                self.error(pair, code::SYNTAX, message, "write `90s`, `15m`, `8h` or `1d`");
                return None;
            }
        };
        let seconds = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).filter(|&n| n > 0);
        if seconds.is_none() {
            self.out_of_range(pair, text, 1, u32::MAX, "a number of seconds");
        }
        seconds
    }
}

/// What a word says, or what is wrong with it.
pub(crate) fn address_value(word: &str) -> Result<AddressValue, &'static str> {
    if let Some((first, last)) = word.split_once('-') {
        let (Some(first), Some(last)) = (text::addr(first), text::addr(last)) else {
            return Err("no range of addresses");
        };
        return Ok(AddressValue::Range(first, last));
    }
    if let Some((address, length)) = word.split_once('/') {
        let Some(address) = text::addr(address) else {
            return Err("no network: its address cannot be read");
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        // The bare digits: `parse` would take `+8` too.
        let length =
            Some(length).filter(|l| l.bytes().all(|b| b.is_ascii_digit())).and_then(|l| l.parse::<u8>().ok());
        let Some(length) = length.filter(|&l| l <= most) else {
            return Err(if most == 32 {
                "no network: a prefix goes from 0 to 32"
            } else {
                "no network: a prefix goes from 0 to 128"
            });
        };
        return IpNet::new(address, length).map(AddressValue::Net).map_err(|_| "no network");
    }
    text::addr(word).map(AddressValue::One).ok_or("no address, and names start with a letter")
}

fn is_date(text: &str) -> bool {
    let (day, clock) = text.split_once('T').map_or((text, None), |(day, clock)| (day, Some(clock)));
    let day_form = time::macros::format_description!("[year]-[month]-[day]");
    let minute = time::macros::format_description!("[hour]:[minute]Z");
    let second = time::macros::format_description!("[hour]:[minute]:[second]Z");
    let is_clock = |clock: &str| match clock.len() {
        6 => time::Time::parse(clock, &minute).is_ok(),
        9 => time::Time::parse(clock, &second).is_ok(),
        _ => false,
    };
    // `parse` reads signs and long years as well: the form here is fixed.
    day.len() == 10
        && day.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && time::Date::parse(day, &day_form).is_ok()
        && clock.is_none_or(is_clock)
}
