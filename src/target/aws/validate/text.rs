//! Names, descriptions and tags: what EC2 takes of them.

use super::super::artifact::{Fault, Path, Strictness, Tag};

/// The most characters of a name or a description.
pub const LONGEST: usize = 255;
/// The most tags of a thing.
const MOST_TAGS: usize = 50;

/// What is wrong with the description of a rule (`IpRange.Description` of the EC2 API reference).
#[must_use]
pub fn rule_description(text: &str) -> Option<Fault> {
    long("description", text, LONGEST).or_else(|| odd("description", text))
}

/// What is wrong with the name of a group to be made.
#[must_use]
pub fn group_name(name: Option<&str>) -> Option<Fault> {
    // EC2 cuts blanks at the end, and then compares.
    let name = name.unwrap_or_default().trim_end();
    if name.is_empty() {
        return Some(Fault::Empty("group name"));
    }
    if name.to_ascii_lowercase().starts_with("sg-") || folded(name) == "default" {
        return Some(Fault::Reserved(name.to_owned()));
    }
    long("group name", name, LONGEST).or_else(|| odd("group name", name))
}

/// What is wrong with the description of a group to be made.
#[must_use]
pub fn group_description(text: Option<&str>) -> Option<Fault> {
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Some(Fault::Empty("group description"));
    }
    long("group description", text, LONGEST).or_else(|| odd("group description", text))
}

/// What is wrong with the name of a prefix list to be made.
#[must_use]
pub fn list_name(name: Option<&str>) -> Option<Fault> {
    let name = name.unwrap_or_default();
    if name.is_empty() {
        return Some(Fault::Empty("prefix list name"));
    }
    if name.starts_with("com.amazonaws") {
        return Some(Fault::Reserved(name.to_owned()));
    }
    long("prefix list name", name, LONGEST)
}

/// A name as EC2 compares it with others.
#[must_use]
pub fn folded(name: &str) -> String {
    name.trim_end().to_ascii_lowercase()
}

/// What is wrong with tags, with the place of the tag where it is one.
#[must_use]
pub fn tags(tags: &[Tag], how: Strictness) -> Vec<(Option<usize>, Fault)> {
    let mut faults = Vec::new();
    if tags.len() > MOST_TAGS {
        let (length, limit) = (tags.len(), MOST_TAGS);
        faults.push((None, Fault::Long { what: "list of tags", length, limit }));
    }
    for (at, tag) in tags.iter().enumerate() {
        let fault = if tag.key.is_empty() {
            Some(Fault::Empty("tag key"))
        } else if how == Strictness::Asked && tag.key.to_ascii_lowercase().starts_with("aws:") {
            Some(Fault::Reserved(tag.key.clone()))
        } else {
            long("tag key", &tag.key, 128).or_else(|| long("tag value", &tag.value, 256))
        };
        faults.extend(fault.map(|fault| (Some(at), fault)));
        let first = tags.iter().position(|other| other.key == tag.key);
        if let Some(first) = first.filter(|first| *first < at) {
            let first = Path::root().key("Tags").index(first);
            faults.push((Some(at), Fault::Duplicate { what: "tag key", first }));
        }
    }
    faults
}

fn long(what: &'static str, text: &str, limit: usize) -> Option<Fault> {
    let length = text.chars().count();
    (length > limit).then_some(Fault::Long { what, length, limit })
}

/// The first character outside `a-z A-Z 0-9 . _-:/()#,@[]+=&;{}!$*` and the blank.
fn odd(what: &'static str, text: &str) -> Option<Fault> {
    let takes = |c: char| c.is_ascii_alphanumeric() || ". _-:/()#,@[]+=&;{}!$*".contains(c);
    text.chars().find(|c| !takes(*c)).map(|character| Fault::Character { what, character })
}
