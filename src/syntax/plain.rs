//! The sentence that nearly every line of a large policy is, read without the grammar: `allow tcp 443 from PLACE to PLACE`.
//!
//! Law: what is read here is what the grammar reads, places included. Whatever is not plainly of this form, and whatever
//! has an error, is none here and the grammar's to read; so all that is told of it is told in one place.
//!
//! The grammar takes 5 µs for such a sentence; this takes less than one.
#![deny(clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::source::{FileId, Span};

use super::ast::*;
use super::build::{Spans, address_value};
use super::{explain, scan};

/// The statement that `text` is, which stands at `base`; none where the grammar has to read it.
pub(super) fn sentence(text: &str, base: usize, (file, spans): (FileId, Spans)) -> Option<Statement> {
    let mut words = Words { text, at: 0, base, file, spans };
    let action = match words.next()?.0 {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        _ => return None,
    };
    let (proto, proto_at) = words.next()?;
    let proto = match proto {
        "tcp" => PortProto::Tcp,
        "udp" => PortProto::Udp,
        _ => return None,
    };
    let (ports, ports_at) = words.next()?;
    let service = words.span(&(proto_at.start..ports_at.end));
    let to = Some(words.ports(ports, &ports_at)?);
    let services = vec![ServiceItem { kind: ServiceKind::Ports { proto, to, from: None }, span: service }];
    words.next().filter(|(word, _)| *word == "from")?;
    let from = words.place()?;
    words.next().filter(|(word, _)| *word == "to")?;
    let to = words.place()?;
    if words.at < text.len() {
        return None;
    }
    let sentence = words.span(&(0..text.len()));
    let (clause, people, modifiers) = (None, Vec::new(), Vec::new());
    let access = Access { action, services, from, to, clause, people, modifiers, sentence };
    Some(Statement { kind: StatementKind::Access(access), span: sentence })
}

/// Words with single blanks, or several, between them.
struct Words<'t> {
    text: &'t str,
    at: usize,
    base: usize,
    file: FileId,
    spans: Spans,
}

impl<'t> Words<'t> {
    /// The next word, up to a blank or the end; none where anything else than a blank ends it.
    fn next(&mut self) -> Option<(&'t str, Range<usize>)> {
        let rest = self.text.get(self.at..)?;
        let start = self.at.saturating_add(rest.len().saturating_sub(rest.trim_start_matches(' ').len()));
        let rest = self.text.get(start..)?;
        let length = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
        let word = rest.get(..length)?;
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/');
        self.at = start.saturating_add(length);
        (!word.is_empty() && word.bytes().all(plain)).then_some((word, start..self.at))
    }

    fn span(&self, range: &Range<usize>) -> Span {
        let at = |offset: usize| self.base.saturating_add(offset);
        match self.spans {
            Spans::Kept => scan::span(self.file, &(at(range.start)..at(range.end))),
            Spans::Zero => Span { file: FileId(0), start: 0, end: 0 },
        }
    }

    fn ports(&self, word: &str, range: &Range<usize>) -> Option<PortRange> {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        // The bare digits: `parse` would take `+8` too.
        let port =
            |word: &str| word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse::<u16>().ok());
        Some(PortRange { first: port(first)??, last: port(last)??, span: self.span(range) })
    }

    /// One address or name.
    fn place(&mut self) -> Option<Places> {
        let (word, range) = self.next()?;
        let span = self.span(&range);
        let first = word.bytes().next()?;
        let kind = if first.is_ascii_digit() || word.contains(':') {
            // A range of addresses may be meant as ports, and the like.
            if !word.contains(['.', ':']) {
                return None;
            }
            PlaceKind::Address(Address { value: address_value(word).ok()?, span })
        } else {
            let name =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
            let starts = first.is_ascii_lowercase() || first == b'_';
            if !starts || !word.bytes().all(name) || explain::is_reserved(word) {
                return None;
            }
            PlaceKind::Name(Name { text: word.to_owned(), span })
        };
        Some(Places { plus: vec![Place { kind, span }], except: Vec::new(), span })
    }
}
