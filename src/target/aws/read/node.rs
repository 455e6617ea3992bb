//! A value of a document together with the way to it, so that every error can say where.

use super::super::artifact::{Fault, Note, NoteKind, Path, Scalar, Step, Strictness};
use super::json::Json;
use super::{ReadError, Why};

/// A value and whence it was reached.
pub(crate) struct Node<'a> {
    pub(crate) json: &'a Json,
    above: Option<(&'a Node<'a>, Way<'a>)>,
}

enum Way<'a> {
    Key(&'a str),
    Index(usize),
}

/// How to read, and what was noted on the way.
pub(crate) struct Reading {
    pub(crate) how: Strictness,
    pub(crate) notes: Vec<Note>,
}

impl Reading {
    pub(crate) fn new(how: Strictness) -> Self {
        Self { how, notes: Vec::new() }
    }

    pub(crate) fn note(&mut self, node: &Node<'_>, kind: NoteKind) {
        self.notes.push(Note { place: node.path(), kind });
    }
}

impl<'a> Node<'a> {
    pub(crate) fn root(json: &'a Json) -> Self {
        Self { json, above: None }
    }

    pub(crate) fn path(&self) -> Path {
        let mut steps = Vec::new();
        let mut at = self;
        while let Some((above, way)) = &at.above {
            steps.push(match way {
                Way::Key(key) => Step::Key((*key).to_owned()),
                Way::Index(index) => Step::Index(*index),
            });
            at = above;
        }
        steps.reverse();
        Path(steps)
    }

    pub(crate) fn error(&self, why: Why) -> ReadError {
        ReadError { place: self.path(), why }
    }

    pub(crate) fn fault(&self, fault: Fault) -> ReadError {
        self.error(Why::Fault(fault))
    }

    /// The fields of an object that may have these keys and no others.
    pub(crate) fn fields(&'a self, known: &[&str]) -> Result<Fields<'a>, ReadError> {
        let fields = self.object()?;
        match fields.entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(self.error(Why::UnknownKey(key.clone()))),
            None => Ok(fields),
        }
    }

    /// The same, where further keys are kept if their values have no parts: those can hold no rule.
    pub(crate) fn fields_keeping(
        &'a self,
        known: &[&str],
        reading: &mut Reading,
    ) -> Result<(Fields<'a>, Vec<(String, Scalar)>), ReadError> {
        let fields = self.object()?;
        let mut kept = Vec::new();
        for (key, value) in fields.entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let scalar = match value {
                Json::Bool(value) => Scalar::Bool(*value),
                Json::Number(value) => Scalar::Number(*value),
                Json::Text(value) => Scalar::Text(value.clone()),
                Json::Null => continue,
                Json::List(_) | Json::Object(_) | Json::Fraction => {
                    return Err(self.error(Why::UnknownKey(key.clone())));
                }
            };
            if reading.how == Strictness::Asked {
                return Err(self.error(Why::UnknownKey(key.clone())));
            }
            reading.note(self, NoteKind::UnknownKey(key.clone()));
            kept.push((key.clone(), scalar));
        }
        Ok((fields, kept))
    }

    /// The fields of an object, whichever there are.
    pub(crate) fn object(&'a self) -> Result<Fields<'a>, ReadError> {
        match self.json {
            Json::Object(entries) => Ok(Fields { node: self, entries }),
            _ => Err(self.error(Why::Expected("an object"))),
        }
    }

    /// Reads every item of a list.
    pub(crate) fn items<T>(
        &self,
        mut read: impl FnMut(&Node<'_>) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let Json::List(items) = self.json else { return Err(self.error(Why::Expected("a list"))) };
        let nodes = items.iter().enumerate();
        nodes.map(|(at, json)| read(&Node { json, above: Some((self, Way::Index(at))) })).collect()
    }

    pub(crate) fn text(&self) -> Result<&'a str, ReadError> {
        match self.json {
            Json::Text(text) => Ok(text),
            _ => Err(self.error(Why::Expected("a text"))),
        }
    }

    pub(crate) fn number(&self) -> Result<i64, ReadError> {
        match self.json {
            Json::Number(number) => Ok(*number),
            _ => Err(self.error(Why::Expected("a whole number"))),
        }
    }

    pub(crate) fn flag(&self) -> Result<bool, ReadError> {
        match self.json {
            Json::Bool(flag) => Ok(*flag),
            _ => Err(self.error(Why::Expected("true or false"))),
        }
    }
}

/// The fields of an object. `null` is as good as absent, as the tools that record answers have it.
pub(crate) struct Fields<'a> {
    node: &'a Node<'a>,
    pub(crate) entries: &'a [(String, Json)],
}

impl<'a> Fields<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<Node<'a>> {
        let (key, json) = self.entries.iter().find(|(known, _)| known == key)?;
        (*json != Json::Null).then_some(Node { json, above: Some((self.node, Way::Key(key))) })
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(known, value)| known == key && *value != Json::Null)
    }

    pub(crate) fn need(&self, key: &'static str) -> Result<Node<'a>, ReadError> {
        self.get(key).ok_or_else(|| self.node.fault(Fault::Missing(key)))
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, ReadError> {
        self.get(key).map(|node| node.text().map(ToOwned::to_owned)).transpose()
    }

    pub(crate) fn need_text(&self, key: &'static str) -> Result<String, ReadError> {
        self.need(key)?.text().map(ToOwned::to_owned)
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, ReadError> {
        self.get(key).map(|node| node.number()).transpose()
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, ReadError> {
        self.get(key).map(|node| node.flag()).transpose()
    }

    /// Every item of a list; none where there is no such key.
    pub(crate) fn list<T>(
        &self,
        key: &str,
        read: impl FnMut(&Node<'_>) -> Result<T, ReadError>,
    ) -> Result<Option<Vec<T>>, ReadError> {
        self.get(key).map(|node| node.items(read)).transpose()
    }
}
