//! The ruleset for programs: libnftables JSON (libnftables-json(5)), never the thing that is applied.
//!
//! The words are those of the crate `nftables`; where it has none (verdicts as map data, `meta time`, statements of
//! set updates, comments of tables and chains), or says them in an order that changes from run to run (flags), they
//! are put in by hand. nft 1.0.6 crashes on some of this; 1.1.x loads it and lists what it lists for the text.
//!
//! Everything is written as it comes: as values of their own the parts would cost many times their text. What JSON has
//! no word for is an error of the writing, whose message is the text that was not understood.

mod pretty;
mod words;

use std::borrow::Cow;

use nftables::schema::{NfListObject, Table as JsonTable};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde::ser::{Error as _, SerializeMap as _, SerializeSeq};
use serde::{Serialize, Serializer};

pub(crate) use pretty::pretty;

use super::artifact::{
    Chain, ChainKind, Data, DataType, Duration, Element, Expression, Hook, Policy, Rule, Ruleset, Set,
    SetFlag, SetKey, Statement, Table, TableFamily,
};
use super::print::Unprintable;

/// The commands that replace these tables, as one document.
///
/// # Errors
/// [`Unprintable`] for what JSON has no word for: statements that were not understood when they were read.
pub fn json(ruleset: &Ruleset) -> Result<String, Unprintable> {
    // Whatever is no string in the text is none here.
    let text = super::print::print(ruleset)?;
    of_printed(ruleset, text.len())
}

/// The same of a ruleset that was printed, as a text of this length: what may not stand in it was refused there.
///
/// # Errors
/// As [`json`].
pub fn of_printed(ruleset: &Ruleset, length: usize) -> Result<String, Unprintable> {
    /// JSON is two to three times as long as the text.
    const LONGER: usize = 3;
    #[derive(Serialize)]
    struct Document<'r> {
        nftables: As<'r, Ruleset>,
    }
    pretty(&Document { nftables: As(ruleset) }, length.saturating_mul(LONGER)).map_err(|why| Unprintable {
        what: "statement",
        text: why.to_string(),
        why: "libnftables JSON has no word for it",
    })
}

/// A part of a ruleset, written as libnftables JSON has it.
struct As<'r, T: ?Sized>(&'r T);

impl<T> Serialize for As<'_, [T]>
where
    for<'r> As<'r, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(As))
    }
}

/// An object of one field.
fn one<S: Serializer>(to: S, key: &str, value: &(impl Serialize + ?Sized)) -> Result<S::Ok, S::Error> {
    let mut object = to.serialize_map(Some(1))?;
    object.serialize_entry(key, value)?;
    object.end()
}

/// The same, as a part of something.
struct One<'r, T>(&'r str, T);

impl<T: Serialize> Serialize for One<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        one(to, self.0, &self.1)
    }
}

// ---- tables, chains, rules ----------------------------------------------------------------------------

impl Serialize for As<'_, Ruleset> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut all = to.serialize_seq(None)?;
        for of in &self.0.tables {
            table(of, &mut all)?;
        }
        all.end()
    }
}

/// The commands for one table. Chains before sets: a map may jump to them. Rules last: they use both.
fn table<S: SerializeSeq>(table: &Table, to: &mut S) -> Result<(), S::Error> {
    #[derive(Serialize)]
    struct Full<'r> {
        family: NfFamily,
        name: &'r str,
        #[serde(skip_serializing_if = "Option::is_none")]
        comment: Option<&'r str>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        flags: &'r [String],
    }
    if let Some(object) = table.objects.first() {
        return Err(S::Error::custom(&object.head));
    }
    let own = NfListObject::Table(JsonTable {
        family: family(table.family),
        name: Cow::Borrowed(&table.name),
        handle: None,
    });
    let full = Full {
        family: family(table.family),
        name: &table.name,
        comment: table.comment.as_deref(),
        flags: &table.flags,
    };
    to.serialize_element(&One("add", &own))?;
    to.serialize_element(&One("delete", &own))?;
    to.serialize_element(&One("add", One("table", full)))?;
    for of in &table.chains {
        to.serialize_element(&One("add", One("chain", chain(table, of)?)))?;
    }
    for of in &table.sets {
        let kind = if of.data.is_some() { "map" } else { "set" };
        to.serialize_element(&One("add", One(kind, set(table, of)?)))?;
    }
    for chain in &table.chains {
        for of in &chain.rules {
            to.serialize_element(&One("add", One("rule", rule(table, chain, of))))?;
        }
    }
    Ok(())
}

fn family(family: TableFamily) -> NfFamily {
    match family {
        TableFamily::Ip => NfFamily::IP,
        TableFamily::Ip6 => NfFamily::IP6,
        TableFamily::Inet => NfFamily::INet,
        TableFamily::Arp => NfFamily::ARP,
        TableFamily::Bridge => NfFamily::Bridge,
        TableFamily::Netdev => NfFamily::NetDev,
    }
}

/// The crate's chain has no comment.
#[derive(Serialize)]
struct ChainHead<'r> {
    family: NfFamily,
    table: &'r str,
    name: &'r str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<NfChainType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<NfHook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prio: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dev: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<NfChainPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'r str>,
}

fn chain<'r, E: serde::ser::Error>(table: &'r Table, chain: &'r Chain) -> Result<ChainHead<'r>, E> {
    let base = chain.base.as_ref();
    let dev = match base.map(|base| base.devices.as_slice()) {
        None | Some([]) => None,
        Some([device]) => Some(device.as_str()),
        Some(_) => return Err(E::custom("several devices")),
    };
    Ok(ChainHead {
        family: family(table.family),
        table: &table.name,
        name: &chain.name,
        kind: base.map(|base| match base.kind {
            ChainKind::Filter => NfChainType::Filter,
            ChainKind::Nat => NfChainType::NAT,
            ChainKind::Route => NfChainType::Route,
        }),
        hook: base.map(|base| match base.hook {
            Hook::Ingress => NfHook::Ingress,
            Hook::Prerouting => NfHook::Prerouting,
            Hook::Input => NfHook::Input,
            Hook::Forward => NfHook::Forward,
            Hook::Output => NfHook::Output,
            Hook::Postrouting => NfHook::Postrouting,
            Hook::Egress => NfHook::Egress,
        }),
        prio: base.map(|base| base.priority),
        dev,
        policy: base.map(|base| match base.policy {
            Policy::Accept => NfChainPolicy::Accept,
            Policy::Drop => NfChainPolicy::Drop,
        }),
        comment: chain.comment.as_deref(),
    })
}

/// The crate's rule holds statements of the crate.
#[derive(Serialize)]
struct RuleBody<'r> {
    family: NfFamily,
    table: &'r str,
    chain: &'r str,
    expr: As<'r, [Statement]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'r str>,
}

fn rule<'r>(table: &'r Table, chain: &'r Chain, rule: &'r Rule) -> RuleBody<'r> {
    RuleBody {
        family: family(table.family),
        table: &table.name,
        chain: &chain.name,
        expr: As(&rule.statements),
        comment: rule.comment.as_deref(),
    }
}

// ---- sets ---------------------------------------------------------------------------------------------

/// The crate's sets have neither verdicts nor most types, and their flags come in any order.
#[derive(Serialize)]
struct SetBody<'r> {
    family: NfFamily,
    table: &'r str,
    name: &'r str,
    #[serde(rename = "type")]
    key: Types<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<Types<'r>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(rename = "gc-interval", skip_serializing_if = "Option::is_none")]
    gc_interval: Option<u64>,
    #[serde(rename = "auto-merge", skip_serializing_if = "std::ops::Not::not")]
    auto_merge: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stmt: Option<As<'r, [Statement]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elem: Option<As<'r, [Element]>>,
}

fn set<'r, E: serde::ser::Error>(table: &'r Table, set: &'r Set) -> Result<SetBody<'r>, E> {
    let SetKey::Types(types) = &set.key else { return Err(E::custom("typeof")) };
    Ok(SetBody {
        family: family(table.family),
        table: &table.name,
        name: &set.name,
        key: Types(types),
        map: set.data.as_deref().map(Types),
        flags: set.flags.iter().map(|flag: &SetFlag| flag.keyword()).collect(),
        size: set.size,
        policy: set.policy.as_deref(),
        timeout: set.timeout.map(seconds),
        gc_interval: set.gc_interval.map(seconds),
        auto_merge: set.auto_merge,
        stmt: (!set.statements.is_empty()).then_some(As(&set.statements)),
        comment: set.comment.as_deref(),
        elem: (!set.elements.is_empty()).then_some(As(&set.elements)),
    })
}

/// The name of one type, or the list of several.
struct Types<'r>(&'r [DataType]);

impl Serialize for Types<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [one] => to.serialize_str(one.keyword()),
            many => to.collect_seq(many.iter().map(DataType::keyword)),
        }
    }
}

/// Whole seconds of a time.
fn seconds(time: Duration) -> u64 {
    time.0.checked_div(1_000).unwrap_or(0)
}

/// A key, or a pair of a key and what a map has for it.
impl Serialize for As<'_, Element> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let state = self.0.state();
        if state.expires.is_some() || !state.statements.is_empty() {
            return Err(S::Error::custom("element with state"));
        }
        let key = Key(self.0);
        match &self.0.data {
            None => key.serialize(to),
            Some(Data::Verdict(of)) => (key, As(of)).serialize(to),
            Some(Data::Value(of)) => (key, As(of.as_ref())).serialize(to),
        }
    }
}

/// The key of an element, or `{"elem": {"val": KEY, "comment": …, "timeout": …}}`.
struct Key<'r>(&'r Element);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Commented<'r> {
            val: As<'r, Expression>,
            #[serde(skip_serializing_if = "Option::is_none")]
            comment: Option<&'r str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            timeout: Option<u64>,
        }
        let (Element { key, comment, .. }, timeout) = (self.0, self.0.state().timeout);
        if comment.is_none() && timeout.is_none() {
            return As(key).serialize(to);
        }
        let (comment, timeout) = (comment.as_deref(), timeout.map(seconds));
        one(to, "elem", &Commented { val: As(key), comment, timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_understood_is_refused_in_its_own_words() {
        let words = "ct helper set \"ftp\"";
        let rule = Rule::new(vec![Statement::counter(), Statement::Unsupported(words.to_owned())]);
        let mut table = Table::new(TableFamily::Inet, "t");
        table.chains.push(Chain::regular("c", vec![rule]));
        let refused = of_printed(&Ruleset { tables: vec![table] }, 0).unwrap_err();
        assert_eq!((refused.what, refused.text.as_str()), ("statement", words));
    }
}
