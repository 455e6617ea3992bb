//! JSON for people: a list or an object stands on one line where it fits there, else each of its parts on a line of its own.
//! So an element of a set is a line, as in the ruleset's text, and one flow more is one line more.
//!
//! A document is written once, from its start to its end: what stands on one line is broken as soon as the line is full,
//! the outermost first, which moves no more than a line. What was closed by then stays as it is, so a line may be longer
//! by a column for each level around it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

/// Columns of a line that can be broken: an element of two ranges and a port has about as many.
const WIDTH: usize = 160;

/// A document with a line break at its end. There is `room` for so many bytes from the start: a long text that is moved while it
/// grows is there twice.
///
/// # Errors
/// What the value says where it cannot be written.
pub(crate) fn pretty(value: &impl Serialize, room: usize) -> serde_json::Result<String> {
    let mut page = Page { text: Vec::with_capacity(room.max(1 << 12)), ..Page::default() };
    value.serialize(&mut Serializer::with_formatter(Nowhere, Lines(&mut page)))?;
    page.text.push(b'\n');
    String::from_utf8(page.text).map_err(serde::ser::Error::custom)
}

/// Puts a document on its page as it is told, piece by piece: the writer that it is told of is not asked.
struct Lines<'p>(&'p mut Page);

/// The writer: what comes to it, a piece that [`Lines`] does not know, is an error.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("a kind of value that documents of ours do not have"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Numbers, as they are without line breaks.
macro_rules! numbers {
    ($($write:ident: $number:ty),*) => {$(
        fn $write<W: ?Sized + Write>(&mut self, _: &mut W, value: $number) -> io::Result<()> {
            CompactFormatter.$write(self.0, value)
        }
    )*};
}

impl Formatter for Lines<'_> {
    numbers! {
        write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64, write_i128: i128,
        write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128,
        write_f32: f32, write_f64: f64, write_number_str: &str
    }

    fn write_null<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.put(b"null")
    }

    fn write_bool<W: ?Sized + Write>(&mut self, _: &mut W, value: bool) -> io::Result<()> {
        self.0.put(if value { b"true" } else { b"false" })
    }

    #[inline]
    fn begin_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.text.push(b'"');
        Ok(())
    }

    #[inline]
    fn end_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.put(b"\"")
    }

    #[inline]
    fn write_string_fragment<W: ?Sized + Write>(&mut self, _: &mut W, fragment: &str) -> io::Result<()> {
        self.0.text.extend_from_slice(fragment.as_bytes());
        Ok(())
    }

    fn write_raw_fragment<W: ?Sized + Write>(&mut self, _: &mut W, fragment: &str) -> io::Result<()> {
        self.0.put(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, _: &mut W, escape: CharEscape) -> io::Result<()> {
        CompactFormatter.write_char_escape(self.0, escape)
    }

    #[inline]
    fn begin_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.begin(b"[")
    }

    #[inline]
    fn end_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.end(b"]")
    }

    #[inline]
    fn begin_array_value<W: ?Sized + Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        self.0.part(!first);
        Ok(())
    }

    #[inline]
    fn begin_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.begin(b"{")
    }

    #[inline]
    fn end_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.end(b"}")
    }

    #[inline]
    fn begin_object_key<W: ?Sized + Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        self.0.part(!first);
        Ok(())
    }

    #[inline]
    fn begin_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.put(b": ")
    }
}

/// The text so far.
#[derive(Default)]
struct Page {
    text: Vec<u8>,
    /// Where its last line begins.
    line: usize,
    /// The lists and objects that are not closed, the outermost first; those that are broken come first.
    open: Vec<Open>,
    /// How many of them are broken.
    broken: usize,
    /// Where parts of the others begin: of one after those of another.
    parts: Vec<usize>,
    /// Room for what is moved when one is broken.
    tail: Vec<u8>,
    starts: Vec<usize>,
}

struct Open {
    /// Where its own begin in [`Page::parts`].
    parts: usize,
    filled: bool,
}

/// The start of a line, with as many spaces as documents of ours have.
const LINE: &[u8] = b"\n                                                                ";

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    /// Text that holds no line break, the last of a value or of a sign between values.
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.text.extend_from_slice(bytes);
        self.fit(0);
        Ok(())
    }

    fn begin(&mut self, bracket: &[u8]) -> io::Result<()> {
        self.put(bracket)?;
        self.open.push(Open { parts: self.parts.len(), filled: false });
        Ok(())
    }

    fn end(&mut self, bracket: &[u8]) -> io::Result<()> {
        self.close();
        self.put(bracket)
    }

    fn part(&mut self, later: bool) {
        if later {
            self.text.push(b',');
        }
        if self.broken == self.open.len() {
            self.new_line(self.broken);
        } else {
            if later {
                self.text.push(b' ');
            }
            self.parts.push(self.text.len());
        }
        self.open.last_mut().into_iter().for_each(|last| last.filled = true);
    }

    fn close(&mut self) {
        // The bracket is to fit too.
        self.fit(1);
        let Some(last) = self.open.pop() else { return };
        self.parts.truncate(last.parts);
        if self.broken > self.open.len() {
            self.broken = self.open.len();
            if last.filled {
                self.new_line(self.broken);
            }
        }
    }

    /// Breaks what is open, the outermost first, until the last line has room for so many columns more.
    #[inline]
    fn fit(&mut self, more: usize) {
        while self.text.len().saturating_sub(self.line).saturating_add(more) > WIDTH
            && self.broken < self.open.len()
        {
            self.break_one();
        }
    }

    /// Puts each part of the outermost that is not broken on a line of its own.
    #[cold]
    fn break_one(&mut self) {
        let own = |at: usize| self.open.get(at).map(|open| open.parts);
        let from = own(self.broken).unwrap_or_default();
        let to = own(self.broken.saturating_add(1)).unwrap_or(self.parts.len());
        self.broken = self.broken.saturating_add(1);
        let Some(first) = self.parts.get(from).copied() else { return };
        let (mut tail, mut starts) = (std::mem::take(&mut self.tail), std::mem::take(&mut self.starts));
        tail.clear();
        tail.extend_from_slice(self.text.get(first..).unwrap_or_default());
        self.text.truncate(first);
        starts.clear();
        starts.extend(self.parts.drain(from..to).map(|at| at.saturating_sub(first)));
        for (at, start) in starts.iter().enumerate() {
            while self.text.last() == Some(&b' ') {
                self.text.pop();
            }
            self.new_line(self.broken);
            let end = starts.get(at.saturating_add(1)).copied().unwrap_or(tail.len());
            self.text.extend_from_slice(tail.get(*start..end).unwrap_or_default());
        }
        // What is deeper is all in the last part.
        let (before, now) = (first.saturating_add(tail.len()), self.text.len());
        for at in self.parts.iter_mut().skip(from) {
            *at = now.saturating_sub(before.saturating_sub(*at));
        }
        for open in self.open.iter_mut().skip(self.broken) {
            open.parts = open.parts.saturating_sub(starts.len());
        }
        (self.tail, self.starts) = (tail, starts);
    }

    #[inline]
    fn new_line(&mut self, depth: usize) {
        let spaces = depth.saturating_mul(2);
        match LINE.get(..spaces.saturating_add(1)) {
            Some(line) => self.text.extend_from_slice(line),
            None => {
                self.text.push(b'\n');
                self.text.extend(std::iter::repeat_n(b' ', spaces));
            }
        }
        self.line = self.text.len().saturating_sub(spaces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,30}".prop_map(Value::from),
        ];
        leaf.prop_recursive(40, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]{1,20}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// What of the text follows a value that begins it: at each bracket is asked whether its line had room.
    fn follow<'t>(value: &Value, depth: usize, column: usize, text: &'t str) -> &'t str {
        let line = one_line(value);
        let parts: Vec<(String, &Value)> = match value {
            Value::Array(all) => all.iter().map(|one| (String::new(), one)).collect(),
            Value::Object(all) => {
                all.iter().map(|(key, one)| (one_line(&Value::from(key.as_str())) + ": ", one)).collect()
            }
            _ => Vec::new(),
        };
        let end = column + line.len();
        if let Some(rest) = text.strip_prefix(&line) {
            // Where what is around it was broken later, each level may have moved it by one.
            assert!(parts.is_empty() || end <= WIDTH + depth, "too long: {line}");
            return rest;
        }
        assert!(end > WIDTH, "has room: {line}");
        let (open, close) = if value.is_array() { ("[", "]") } else { ("{", "}") };
        let mut text = text.strip_prefix(open).unwrap();
        for (at, (key, one)) in parts.iter().enumerate() {
            let start = format!("{}\n{}{key}", if at == 0 { "" } else { "," }, "  ".repeat(depth + 1));
            text = text.strip_prefix(&start).unwrap();
            text = follow(one, depth + 1, 2 * (depth + 1) + key.len(), text);
        }
        text.strip_prefix(&format!("\n{}{close}", "  ".repeat(depth))).unwrap()
    }

    fn one_line(value: &Value) -> String {
        match value {
            Value::Array(all) => format!("[{}]", all.iter().map(one_line).collect::<Vec<_>>().join(", ")),
            Value::Object(all) => {
                let each =
                    all.iter().map(|(key, one)| format!("{}: {}", Value::from(key.as_str()), one_line(one)));
                format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
            }
            leaf => leaf.to_string(),
        }
    }

    proptest! {
        #[test]
        fn lines_are_as_long_as_they_may_be(value in value(), deeper in 0usize..40) {
            let value = (0..deeper).fold(value, |inner, _| Value::from(vec![inner]));
            let text = pretty(&value, 0).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value.clone());
            prop_assert_eq!(follow(&value, 0, 0, &text), "\n");
        }
    }

    #[test]
    fn an_element_is_a_line() {
        let element =
            |n: u8| json!([{"concat": [format!("10.0.0.{n}"), "10.1.0.1", "tcp", 443]}, {"accept": null}]);
        let set = json!({"set": {"name": "ports", "elem": [element(1), element(2), element(3)]}});
        let wanted = r#"{
  "set": {
    "name": "ports",
    "elem": [
      [{"concat": ["10.0.0.1", "10.1.0.1", "tcp", 443]}, {"accept": null}],
      [{"concat": ["10.0.0.2", "10.1.0.1", "tcp", 443]}, {"accept": null}],
      [{"concat": ["10.0.0.3", "10.1.0.1", "tcp", 443]}, {"accept": null}]
    ]
  }
}
"#;
        assert_eq!(pretty(&set, 0).unwrap(), wanted);
    }
}
