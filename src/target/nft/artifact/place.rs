//! Where in a ruleset something stands.

use super::{Element, Rule, Ruleset};

/// Where in a ruleset something stands: indexes into its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The policy of a base chain.
    Policy {
        /// Which table.
        table: usize,
        /// Which chain of it.
        chain: usize,
    },
    /// A rule.
    Rule {
        /// Which table.
        table: usize,
        /// Which chain of it.
        chain: usize,
        /// Which rule of it.
        rule: usize,
    },
    /// An element of a named set or map.
    Element {
        /// Which table.
        table: usize,
        /// Which set of it.
        set: usize,
        /// Which element of it.
        element: usize,
    },
    /// An element of an anonymous set or map in a rule.
    Inline {
        /// Which table.
        table: usize,
        /// Which chain of it.
        chain: usize,
        /// Which rule of it.
        rule: usize,
        /// Which statement of it.
        statement: usize,
        /// Which element of the braces.
        element: usize,
    },
}

impl Ruleset {
    /// Every rule, with its place.
    pub fn rules(&self) -> impl Iterator<Item = (Place, &Rule)> {
        self.tables.iter().enumerate().flat_map(|(table, of)| {
            of.chains.iter().enumerate().flat_map(move |(chain, of)| {
                let rules = of.rules.iter().enumerate();
                rules.map(move |(rule, of)| (Place::Rule { table, chain, rule }, of))
            })
        })
    }

    /// The rule at a place.
    #[must_use]
    pub fn rule(&self, place: Place) -> Option<&Rule> {
        match place {
            Place::Rule { table, chain, rule } | Place::Inline { table, chain, rule, .. } => {
                self.tables.get(table)?.chains.get(chain)?.rules.get(rule)
            }
            Place::Policy { .. } | Place::Element { .. } => None,
        }
    }

    /// The element at a place.
    #[must_use]
    pub fn element(&self, place: Place) -> Option<&Element> {
        match place {
            Place::Element { table, set, element } => {
                self.tables.get(table)?.sets.get(set)?.elements.get(element)
            }
            Place::Inline { statement, element, .. } => {
                self.rule(place)?.statements.get(statement)?.inline()?.get(element)
            }
            Place::Policy { .. } | Place::Rule { .. } => None,
        }
    }

    /// The comment that the rule or element at a place carries: whence it comes.
    #[must_use]
    pub fn comment(&self, place: Place) -> Option<&str> {
        let of_element = self.element(place).and_then(|e| e.comment.as_deref());
        of_element.or_else(|| self.rule(place).and_then(|r| r.comment.as_deref()))
    }

    /// The table and the chain of a place as nft names them, `ip filter FORWARD`; of an element of a named map, the
    /// map's name.
    #[must_use]
    pub fn name_of(&self, place: Place) -> String {
        let (table, chain, set) = match place {
            Place::Policy { table, chain }
            | Place::Rule { table, chain, .. }
            | Place::Inline { table, chain, .. } => (table, Some(chain), None),
            Place::Element { table, set, .. } => (table, None, Some(set)),
        };
        let Some(table) = self.tables.get(table) else { return String::new() };
        let chain = chain.and_then(|at| table.chains.get(at)).map(|c| c.name.as_str());
        let set = set.and_then(|at| table.sets.get(at)).map(|s| s.name.as_str());
        format!("{} {} {}", table.family.keyword(), table.name, chain.or(set).unwrap_or_default())
    }
}
