//! JSON as it stands in a text: words borrowed from it, the fields of an object in their order. A listing has some values
//! for each element, and with a hash table for each object they would take most of the time to read it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

/// The most fields of an object: libnftables-json(5) has none with half as many.
const MOST_FIELDS: usize = 64;

/// What a listing is.
const LISTING: &str = "an object with a list `nftables`, as `nft -j list ruleset` prints it";

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value<'t> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'t, str>),
    Array(Vec<Self>),
    Object(Fields<'t>),
}

/// The fields of an object. Of several of one name the last counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'t>(Vec<(Cow<'t, str>, Value<'t>)>);

/// Reads `{"nftables": [ … ]}` and gives each value of the list, one after another, so that only one is ever there; stops
/// where that says so.
pub(super) fn each<'t, E>(
    text: &'t str,
    mut each: impl FnMut(Value<'t>) -> Result<(), E>,
) -> Result<Result<(), E>, serde_json::Error> {
    let mut stopped = None;
    let mut from = serde_json::Deserializer::from_str(text);
    let mut told = |value| each(value).map_err(|why| stopped = Some(why)).is_ok();
    let read = from.deserialize_map(Listing(&mut told)).and_then(|()| from.end());
    match stopped {
        Some(why) => Ok(Err(why)),
        None => read.map(Ok),
    }
}

/// Tells of each value; whether it goes on.
type Told<'f, 't> = &'f mut dyn FnMut(Value<'t>) -> bool;

struct Listing<'f, 't>(Told<'f, 't>);

impl<'t> Visitor<'t> for Listing<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LISTING)
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        let mut lists = 0u8;
        while let Some(Name(name)) = map.next_key()? {
            if name != "nftables" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(List(&mut *self.0))?;
            lists = lists.saturating_add(1);
        }
        match lists {
            1 => Ok(()),
            0 => Err(A::Error::custom(format!("expected {LISTING}"))),
            _ => Err(A::Error::custom("there are two lists `nftables`")),
        }
    }
}

struct List<'f, 't>(Told<'f, 't>);

impl<'t> DeserializeSeed<'t> for List<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'t> Visitor<'t> for List<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(value) = seq.next_element()? {
            if !(self.0)(value) {
                return Err(A::Error::custom("it goes on with what is not understood"));
            }
        }
        Ok(())
    }
}

impl<'t> Value<'t> {
    pub(super) fn as_object(&self) -> Option<&Fields<'t>> {
        if let Self::Object(fields) = self { Some(fields) } else { None }
    }

    pub(super) fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(all) = self { Some(all) } else { None }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::String(word) = self { Some(word) } else { None }
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(is) = self { Some(*is) } else { None }
    }

    pub(super) fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }

    pub(super) fn as_i64(&self) -> Option<i64> {
        if let Self::Number(number) = self { number.as_i64() } else { None }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl<'t> Fields<'t> {
    pub(super) fn get(&self, name: &str) -> Option<&Value<'t>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value<'t>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(is) => to.serialize_bool(*is),
            Self::Number(number) => number.serialize(to),
            Self::String(word) => to.serialize_str(word),
            Self::Array(all) => to.collect_seq(all),
            Self::Object(fields) => fields.serialize(to),
        }
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'t> Deserialize<'t> for Value<'t> {
    fn deserialize<D: Deserializer<'t>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AValue)
    }
}

struct AValue;

impl<'t> Visitor<'t> for AValue {
    type Value = Value<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'t>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Value<'t>, E> {
        Ok(Value::Bool(is))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'t>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'t>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'t>, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_borrowed_str<E>(self, word: &'t str) -> Result<Value<'t>, E> {
        Ok(Value::String(Cow::Borrowed(word)))
    }

    fn visit_str<E>(self, word: &str) -> Result<Value<'t>, E> {
        Ok(Value::String(Cow::Owned(word.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<Value<'t>, A::Error> {
        let Some(first) = seq.next_element()? else { return Ok(Value::Array(Vec::new())) };
        // Most have two values, or hundreds.
        let mut all = Vec::with_capacity(2);
        all.push(first);
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Value<'t>, A::Error> {
        let mut fields: Vec<(Cow<'t, str>, Value<'t>)> = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            let known = fields.iter().position(|(known, _)| *known == name);
            if let Some(known) = known.and_then(|at| fields.get_mut(at)) {
                known.1 = value;
                continue;
            }
            if fields.len() >= MOST_FIELDS {
                return Err(A::Error::custom(format!("an object has more than {MOST_FIELDS} fields")));
            }
            // Most have one field.
            fields.reserve_exact(if fields.is_empty() { 1 } else { 4 });
            fields.push((name, value));
        }
        Ok(Value::Object(Fields(fields)))
    }
}

/// The name of a field.
struct Name<'t>(Cow<'t, str>);

impl<'t> Deserialize<'t> for Name<'t> {
    fn deserialize<D: Deserializer<'t>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(AName).map(Name)
    }
}

struct AName;

impl<'t> Visitor<'t> for AName {
    type Value = Cow<'t, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, word: &'t str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Borrowed(word))
    }

    fn visit_str<E>(self, word: &str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Owned(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any value, as serde_json has it.
    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<u64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            ".{0,9}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::vec(("[a-c\"\n\u{e9}]{0,2}", inner), 0..6)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_says_what_serde_json_says(value in any_value()) {
            for text in [value.to_string(), format!("{value:#}")] {
                let (ours, theirs): (Value<'_>, serde_json::Value) =
                    (serde_json::from_str(&text).unwrap(), serde_json::from_str(&text).unwrap());
                prop_assert_eq!(ours.to_string(), theirs.to_string());
            }
        }
    }

    #[test]
    fn of_several_fields_the_last_counts_and_there_are_not_many() {
        let read: Value<'_> = serde_json::from_str(r#"{"a": 1, "b": 2, "a": 3}"#).unwrap();
        assert_eq!(read.to_string(), r#"{"a":3,"b":2}"#);
        let many: Vec<String> = (0..=MOST_FIELDS).map(|n| format!("\"{n}\": null")).collect();
        let many = format!("{{{}}}", many.join(","));
        let why = serde_json::from_str::<Value<'_>>(&many).unwrap_err().to_string();
        assert!(why.contains("more than 64 fields"), "{why}");
        let deep = "[".repeat(200);
        assert!(serde_json::from_str::<Value<'_>>(&deep).is_err());
    }
}
