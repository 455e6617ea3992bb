//! JSON with bounds: a size, a depth, a number of values; and no object with one key twice.
//!
//! A reader that keeps the last of two equal keys, as most do, would read another rule than a reader that keeps the first.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::artifact::Path;
use super::{ReadError, Why};

/// The most bytes of a document: an account with every group full has a tenth of it.
pub const MOST_BYTES: usize = 64 << 20;
/// The deepest nesting; what EC2 answers has nine levels, a recording two more.
pub const MOST_DEPTH: usize = 32;
/// The most values in a document.
pub const MOST_VALUES: usize = 4_000_000;

/// A value of JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(i64),
    // No whole number of 64 bits: EC2 has none such.
    Fraction,
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The value that a text is.
pub(crate) fn parse(text: &str) -> Result<Json, ReadError> {
    let error = |why| ReadError { place: Path::root(), why };
    if text.len() > MOST_BYTES {
        return Err(error(Why::TooLarge { bytes: text.len() }));
    }
    let mut values = 0;
    let mut reader = serde_json::Deserializer::from_str(text);
    let json = Seed { depth: 0, values: &mut values }.deserialize(&mut reader);
    let json = json.and_then(|json| reader.end().map(|()| json));
    json.map_err(|why| error(Why::Json(why.to_string())))
}

/// One value to be read, at a depth; counts all.
struct Seed<'c> {
    depth: usize,
    values: &'c mut usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        *self.values = self.values.saturating_add(1);
        if *self.values > MOST_VALUES {
            return Err(D::Error::custom(format!("more than {MOST_VALUES} values")));
        }
        if self.depth > MOST_DEPTH {
            return Err(D::Error::custom(format!("nested deeper than {MOST_DEPTH} levels")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Fraction, Json::Number))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Fraction)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        let depth = self.depth.saturating_add(1);
        while let Some(item) = items.next_element_seed(Seed { depth, values: &mut *self.values })? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        let depth = self.depth.saturating_add(1);
        while let Some(key) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(Seed { depth, values: &mut *self.values })?;
            object.push((key, value));
        }
        let mut keys: Vec<&str> = object.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if let Some([twice, _]) = keys.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(A::Error::custom(format!("the key `{twice}` stands twice in one object")));
        }
        Ok(Json::Object(object))
    }
}
