//! Reads what EC2 answers, and calls to it, into the types of [`artifact`](super::artifact).
//!
//! Law: `read(print(x)) == x` for what is in order. Beyond that it reads answers as tools record them: the CLI's, boto's
//! inside `{"status_code", "data"}`, Batfish's files. What an answer leaves out is not known, and not empty. A key
//! that may change what a rule means and is not known is an error with its place; so is a value EC2 could not have
//! answered. What was taken otherwise than it stood is a [`Note`].
//!
//! A document has bounds ([`MOST_BYTES`], [`MOST_DEPTH`], [`MOST_VALUES`]) and is looked at once: no text, however hostile,
//! overflows the stack or takes more than about linear time.

#![deny(clippy::arithmetic_side_effects)]

mod acls;
mod cloudformation;
mod gather;
mod groups;
mod interfaces;
mod json;
mod lists;
mod node;
mod terraform;
mod vpcs;

pub use cloudformation::cloudformation;
pub use gather::{Conflict, gather};
pub use json::{MOST_BYTES, MOST_DEPTH, MOST_VALUES};
pub use terraform::terraform;
pub use vpcs::{VpcBlocks, Vpcs, vpcs};

pub(crate) use acls::entry as acl_entry;
pub(crate) use groups::{permission, rule_request, tags};
pub(crate) use json::parse;
pub(crate) use lists::entry as list_entry;
pub(crate) use node::{Fields, Node, Reading};

use super::artifact::{Document, Fault, Note, NoteKind, Path, Strictness};

/// A document and what was noted in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What it says.
    pub document: Document,
    /// What was taken otherwise than it stood.
    pub notes: Vec<Note>,
}

/// Why a document is not read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct ReadError {
    /// Where.
    pub place: Path,
    /// Why.
    pub why: Why,
}

/// Why a document is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It is no JSON, or beyond a bound, or has a key twice.
    #[error("{0}")]
    Json(String),
    /// Beyond [`MOST_BYTES`].
    #[error("{bytes} bytes are more than {MOST_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Another kind of value.
    #[error("this should be {0}")]
    Expected(&'static str),
    /// A key whose meaning is not known, where it may change that of a rule.
    #[error("the key `{0}` is not known, and may change the meaning")]
    UnknownKey(String),
    /// EC2 could not have answered it, or would refuse it.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// None of the documents that are read.
    #[error(
        "no answer that is known: expected one of SecurityGroups, SecurityGroupRules, NetworkInterfaces, \
         PrefixLists, Entries, NetworkAcls"
    )]
    Unrecognised,
    /// Several answers in one.
    #[error("more than one answer in a document")]
    Several,
    /// An answer, but an error of EC2.
    #[error("EC2 answered with the error `{code}`")]
    Answer {
        /// Its code.
        code: String,
    },
}

/// Reads a recorded answer.
///
/// # Errors
/// [`ReadError`].
pub fn read(text: &str) -> Result<Read, ReadError> {
    read_as(text, Strictness::Recorded)
}

/// Reads an answer; with [`Strictness::Asked`], only as EC2 itself would have it today.
///
/// # Errors
/// [`ReadError`].
pub fn read_as(text: &str, how: Strictness) -> Result<Read, ReadError> {
    let json = json::parse(text)?;
    let mut reading = Reading::new(how);
    let root = Node::root(&json);
    let document = document(&root, &mut reading)?;
    Ok(Read { document, notes: reading.notes })
}

/// Reads every answer of a file as tools record them: one, pages one after another in a list, or answers of several kinds in
/// one object. What else stands beside them is noted.
///
/// # Errors
/// [`ReadError`], where any of them is not read.
pub fn read_all(text: &str) -> Result<Vec<Read>, ReadError> {
    let json = json::parse(text)?;
    let root = Node::root(&json);
    let mut all = Vec::new();
    match &json {
        json::Json::List(pages) if !pages.is_empty() => {
            root.items(|page| answers(page, &mut all))?;
        }
        _ => answers(&root, &mut all)?,
    }
    Ok(all)
}

/// The answers of one object.
fn answers(node: &Node<'_>, all: &mut Vec<Read>) -> Result<(), ReadError> {
    let fields = node.object()?;
    if let Some(data) = fields.get("data") {
        node.fields(&["status_code", "data"])?;
        return answers(&data, all);
    }
    let kinds: Vec<&'static str> =
        KINDS.into_iter().filter(|kind| fields.entries.iter().any(|(key, _)| key == kind)).collect();
    if kinds.is_empty() {
        let mut reading = Reading::new(Strictness::Recorded);
        return answer(node, &mut reading).map(drop);
    }
    for kind in kinds {
        let mut reading = Reading::new(Strictness::Recorded);
        // The blocks of vpcs are read by [`vpcs`].
        let known =
            |key: &str| KINDS.contains(&key) || ["ResponseMetadata", "NextToken", "Vpcs"].contains(&key);
        for (key, _) in fields.entries.iter().filter(|(key, _)| !known(key)) {
            reading.note(node, NoteKind::Beside(key.clone()));
        }
        let document = of_kind(kind, &fields, node, &mut reading)?;
        all.push(Read { document, notes: reading.notes });
    }
    Ok(())
}

/// What the answers that are read have at their top.
pub const KINDS: [&str; 6] =
    ["SecurityGroups", "SecurityGroupRules", "NetworkInterfaces", "PrefixLists", "Entries", "NetworkAcls"];

/// An answer: the CLI's, or boto's with what it says of the transport, or recorded with its status.
fn document(root: &Node<'_>, reading: &mut Reading) -> Result<Document, ReadError> {
    let fields = root.object()?;
    if let Some(data) = fields.get("data") {
        root.fields(&["status_code", "data"])?;
        return answer(&data, reading);
    }
    answer(root, reading)
}

fn answer(node: &Node<'_>, reading: &mut Reading) -> Result<Document, ReadError> {
    let fields = node.object()?;
    if let Some(error) = fields.get("Error") {
        let code = error.object()?.need_text("Code")?;
        return Err(error.error(Why::Answer { code }));
    }
    let mut found = KINDS.into_iter().filter(|kind| fields.entries.iter().any(|(key, _)| key == kind));
    let kind = match (found.next(), found.next()) {
        (Some(kind), None) => kind,
        (Some(_), Some(_)) => return Err(node.error(Why::Several)),
        (None, _) => return Err(node.error(Why::Unrecognised)),
    };
    node.fields(&[kind, "ResponseMetadata", "NextToken"])?;
    of_kind(kind, &fields, node, reading)
}

fn of_kind(
    kind: &'static str,
    fields: &Fields<'_>,
    node: &Node<'_>,
    reading: &mut Reading,
) -> Result<Document, ReadError> {
    if fields.text("NextToken")?.is_some_and(|token| !token.is_empty()) {
        reading.note(node, NoteKind::NotWhole);
    }
    let list = fields.need(kind)?;
    Ok(match kind {
        "SecurityGroups" => Document::Groups(list.items(|item| groups::group(item, reading))?),
        "SecurityGroupRules" => Document::Rules(list.items(|item| groups::record(item, reading))?),
        "NetworkInterfaces" => Document::Interfaces(list.items(|item| interfaces::interface(item, reading))?),
        "PrefixLists" => Document::Lists(list.items(|item| lists::list(item, reading))?),
        "Entries" => Document::Entries(list.items(|item| lists::entry(item, reading))?),
        _ => Document::Acls(list.items(|item| acls::acl(item, reading))?),
    })
}
