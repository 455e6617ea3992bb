//! `docs/json.md` read as tables of fields, and JSON held against them: what is written stands there, as what it is said to
//! be, and what stands there is written.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the page"
)]
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The page: sections by the anchors of their headings.
pub(crate) struct Page(BTreeMap<String, Section>);

struct Section {
    /// What stands in backticks in the heading; else the heading.
    title: String,
    fields: BTreeMap<String, Field>,
}

/// A row of a table.
struct Field {
    /// What it may be: `string`, `number`, `bool`, `list`, `object`, `null`, `anything`.
    kinds: BTreeSet<&'static str>,
    /// Whether it may be absent.
    absent: bool,
    /// Of a list: what its elements are, where they are no objects.
    elements: Option<&'static str>,
    /// The section that says what is in it, where another one does.
    of: Option<String>,
}

/// Fields that were written, by anchor and path.
#[derive(Default)]
pub(crate) struct Seen(BTreeSet<(String, String)>);

impl Page {
    pub(crate) fn read() -> Self {
        Self::of(&std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap())
    }

    /// Headings of three `#`, and below each the rows whose first cell is one word in backticks.
    pub(crate) fn of(text: &str) -> Self {
        let mut sections = BTreeMap::new();
        let mut now = None;
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("### ") {
                let title = heading.split('`').nth(1).unwrap_or(heading).to_owned();
                let section = Section { title, fields: BTreeMap::new() };
                assert!(sections.insert(anchor(heading), section).is_none(), "twice: {heading}");
                now = Some(anchor(heading));
            } else if let (Some(row), Some(now)) = (line.strip_prefix("| `"), &now) {
                let (path, rest) = row.split_once("` | ").unwrap_or_else(|| panic!("no row: {line}"));
                let is = rest.split(" | ").next().unwrap();
                let fields = &mut sections.get_mut(now).unwrap().fields;
                assert!(fields.insert(path.to_owned(), Field::of(is)).is_none(), "twice: {line}");
            }
        }
        Self(sections)
    }

    /// The fields of a section.
    pub(crate) fn fields_of(&self, title: &str) -> Vec<&str> {
        let of = self.0.values().filter(|section| section.title == title);
        of.flat_map(|section| section.fields.keys().map(String::as_str)).collect()
    }

    /// What of an answer is not as the page has it.
    pub(crate) fn answer(&self, value: &Value, seen: &mut Seen) -> Vec<String> {
        let mut value = value.clone();
        let format = value.as_object_mut().and_then(|fields| {
            // At its head.
            let first = fields.keys().next().is_some_and(|first| first == "format");
            first.then(|| fields.shift_remove("format"))?
        });
        match format {
            Some(Value::String(format)) => self.file(&format, &value, seen),
            _ => vec![format!("no `format` at the head of {value}")],
        }
    }

    /// The same of a file, or of an answer without its head.
    pub(crate) fn file(&self, title: &str, value: &Value, seen: &mut Seen) -> Vec<String> {
        let mut faults = Vec::new();
        let Some((anchor, _)) = self.0.iter().find(|(_, section)| section.title == title) else {
            return vec![format!("no section `{title}`")];
        };
        match value {
            Value::Array(all) => {
                all.iter().for_each(|one| self.fields(anchor, "[]", one, seen, &mut faults));
            }
            _ => self.fields(anchor, "", value, seen, &mut faults),
        }
        faults.sort();
        faults.dedup();
        faults
    }

    /// The fields of these sections, or of what they link to, that were never written.
    pub(crate) fn unwritten(&self, seen: &Seen, of: impl Fn(&str) -> bool) -> Vec<String> {
        let mut all = Vec::new();
        for (anchor, section) in self.0.iter().filter(|(_, section)| of(&section.title)) {
            let unseen =
                section.fields.keys().filter(|path| !seen.0.contains(&(anchor.clone(), (*path).clone())));
            all.extend(unseen.map(|path| format!("`{path}` of {}", section.title)));
        }
        all
    }

    fn fields(&self, anchor: &str, path: &str, value: &Value, seen: &mut Seen, faults: &mut Vec<String>) {
        let Some(section) = self.0.get(anchor) else {
            return faults.push(format!("a link to #{anchor}, which is nowhere"));
        };
        let at = |path: &str| format!("`{path}` of {}", section.title);
        let Value::Object(object) = value else {
            return faults.push(format!("{} is no object: {value}", at(path)));
        };
        let inside = if path.is_empty() { String::new() } else { format!("{path}.") };
        for (key, value) in object {
            let named = [format!("{inside}{key}"), format!("{inside}*")];
            let known = named.into_iter().find_map(|path| Some((section.fields.get(&path)?, path)));
            let Some((field, path)) = known else {
                faults.push(format!("{} is not on the page: {value}", at(&format!("{inside}{key}"))));
                continue;
            };
            seen.0.insert((anchor.to_owned(), path.clone()));
            if field.kinds.contains("anything") {
                continue;
            }
            if !field.kinds.contains(kind(value)) {
                faults.push(format!("{} is said to be {:?}, and is {value}", at(&path), field.kinds));
            }
            match (&field.of, value) {
                (_, Value::Null) => {}
                (Some(of), Value::Array(all)) => {
                    all.iter().for_each(|one| self.fields(of, "", one, seen, faults));
                }
                (Some(of), one) => self.fields(of, "", one, seen, faults),
                (None, Value::Array(all)) => match field.elements {
                    Some(wanted) => {
                        let others = all.iter().filter(|one| kind(one) != wanted);
                        faults.extend(others.map(|one| format!("{} has {one}", at(&path))));
                    }
                    None => {
                        let path = format!("{path}[]");
                        all.iter().for_each(|one| self.fields(anchor, &path, one, seen, faults));
                    }
                },
                (None, Value::Object(_)) => self.fields(anchor, &path, value, seen, faults),
                (None, _) => {}
            }
        }
        for (path, field) in &section.fields {
            let Some(key) = path.strip_prefix(&inside).filter(|key| !key.contains(['.', '[', '*'])) else {
                continue;
            };
            if !field.absent && !object.contains_key(key) {
                faults.push(format!("{} is not said to be absent at times, and is: {value}", at(path)));
            }
        }
    }
}

impl Field {
    /// `string or null, absent where …`, `list of strings`, `list of [finding](#finding)`.
    fn of(is: &str) -> Self {
        let (kinds, absent) = match is.split_once(", absent") {
            Some((kinds, _)) => (kinds, true),
            None => (is, false),
        };
        let kinds: BTreeSet<&'static str> = kinds
            .split(" or ")
            .map(|kind| match kind.trim() {
                "string" => "string",
                "number" => "number",
                "bool" => "bool",
                "null" => "null",
                kind if kind.starts_with("list of ") => "list",
                // What is of somebody else's format.
                "anything" => "anything",
                kind if kind.starts_with("object") || kind.starts_with('[') => "object",
                other => panic!("what is `{other}`, in `{is}`?"),
            })
            .collect();
        let elements = if is.contains("list of strings") {
            Some("string")
        } else if is.contains("list of numbers") {
            Some("number")
        } else {
            None
        };
        let of = is.split_once("](#").and_then(|(_, rest)| Some(rest.split_once(')')?.0.to_owned()));
        Self { kinds, absent, elements, of }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// As the hosts of repositories make them of headings.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}
