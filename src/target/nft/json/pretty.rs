//! JSON for people, byte for byte as `serde_json`'s pretty printer has it, a line at a time: most of a large document is
//! its indentation, which that printer puts two spaces at a time.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// A document with a line break at its end.
///
/// # Errors
/// What the value says where it cannot be written.
pub(crate) fn pretty(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = Vec::with_capacity(1 << 12);
    value.serialize(&mut Serializer::with_formatter(&mut text, Lines::default()))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

#[derive(Default)]
struct Lines {
    depth: usize,
    /// Whether something stands in what was opened last.
    filled: bool,
}

/// The start of a line behind a comma, with as many spaces as documents of ours have.
const LINE: &[u8] = b",\n                                                                ";

impl Lines {
    #[inline]
    fn line<W: ?Sized + Write>(&self, to: &mut W, comma: bool) -> io::Result<()> {
        let (start, end) = (usize::from(!comma), self.depth.saturating_mul(2).saturating_add(2));
        if let Some(line) = LINE.get(start..end) {
            return to.write_all(line);
        }
        to.write_all(if comma { b",\n" } else { b"\n" })?;
        (0..self.depth).try_for_each(|_| to.write_all(b"  "))
    }

    #[inline]
    fn open<W: ?Sized + Write>(&mut self, to: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_add(1);
        self.filled = false;
        to.write_all(bracket)
    }

    #[inline]
    fn close<W: ?Sized + Write>(&mut self, to: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if std::mem::replace(&mut self.filled, true) {
            self.line(to, false)?;
        }
        to.write_all(bracket)
    }

    #[inline]
    fn next<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.filled = true;
        self.line(to, !first)
    }
}

impl Formatter for Lines {
    #[inline]
    fn begin_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"[")
    }

    #[inline]
    fn end_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"]")
    }

    #[inline]
    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.next(to, first)
    }

    #[inline]
    fn begin_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"{")
    }

    #[inline]
    fn end_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"}")
    }

    #[inline]
    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.next(to, first)
    }

    #[inline]
    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(40, 64, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn lines_are_those_of_serde_json(value in value(), deeper in 0usize..40) {
            let value = (0..deeper).fold(value, |inner, _| Value::from(vec![inner]));
            let expected = serde_json::to_string_pretty(&value).unwrap() + "\n";
            prop_assert_eq!(pretty(&value).unwrap(), expected);
        }
    }
}
