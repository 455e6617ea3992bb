//! What of a ruleset stands where nothing is simulated: chains that see frames at a device, ARP or what a bridge passes on,
//! and flowtables. A packet may be stopped there, or handed on past every hook that is looked at: what is said of those
//! holds beside it alone, so it is named.

use crate::target::nft::artifact::{
    Base, Chain, ChainKind, Field, Hook, Place, Policy, Ruleset, Statement, Table, TableFamily,
};
use crate::target::nft::sim;

/// One thing that is not looked at.
pub(super) struct Unseen {
    /// Where frames come to it.
    pub(super) hook: Hook,
    /// The chain; none of a flowtable.
    pub(super) place: Option<Place>,
    /// As nft names it: `netdev nd ing`.
    pub(super) name: String,
    /// Whether it is looked at, and only the route that packets take behind it is not.
    pub(super) routes: bool,
}

impl Unseen {
    /// ``chain `netdev nd ing` at ingress``, ``flowtable `inet t f` ``.
    pub(super) fn words(&self) -> String {
        match self.place {
            Some(_) if self.routes => {
                format!("the route that packets take by chain `{}` at {}", self.name, self.hook.keyword())
            }
            Some(_) => format!("chain `{}` at {}", self.name, self.hook.keyword()),
            None => format!("flowtable `{}`", self.name),
        }
    }
}

/// Which base chains are looked at.
pub(super) type Looks<'a> = &'a dyn Fn(TableFamily, Hook) -> bool;

/// All of a ruleset.
pub(super) fn all(ruleset: &Ruleset, looks: Looks<'_>) -> Vec<Unseen> {
    let tables = ruleset.tables.iter().enumerate();
    tables.flat_map(|(at, table)| of(table, at, looks).into_iter().chain(routing(table, at))).collect()
}

/// The chains of type `route` of a table that may change what a route hangs on (a mark, the TOS): the kernel then asks for it again, and
/// the packet leaves by another interface than the hook saw (`nf_route_table_hook4`).
fn routing(table: &Table, at: usize) -> Vec<Unseen> {
    let changes = |statement: &Statement| match statement {
        Statement::Mangle { field, .. } => *field == Field::Mark,
        Statement::Alter(words) => words.starts_with("ip"),
        statement => matches!(statement, Statement::Unsupported(_)),
    };
    let mut statements = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
    if sim::is_dormant(table) || !statements.any(changes) {
        return Vec::new();
    }
    let chains = table.chains.iter().enumerate().filter_map(|(chain, of)| {
        let base = of.base.as_ref().filter(|base| base.kind == ChainKind::Route && !of.rules.is_empty())?;
        let place = Some(Place::Policy { table: at, chain });
        let name = format!("{} {} {}", table.family.keyword(), table.name, of.name);
        Some(Unseen { hook: base.hook, place, name, routes: true })
    });
    chains.collect()
}

/// All of one table, which is the ruleset's `at` that place.
pub(super) fn of(table: &Table, at: usize, looks: Looks<'_>) -> Vec<Unseen> {
    if sim::is_dormant(table) {
        return Vec::new();
    }
    let name = |of: &str| format!("{} {} {of}", table.family.keyword(), table.name);
    let chains = table.chains.iter().enumerate().filter_map(|(chain, of)| {
        let base = of.base.as_ref().filter(|base| !looks(table.family, base.hook) && !is_idle(of, base))?;
        let place = Some(Place::Policy { table: at, chain });
        Some(Unseen { hook: base.hook, place, name: name(&of.name), routes: false })
    });
    // What is offloaded is handed from device to device at ingress, past every chain.
    let flowtables = table.objects.iter().filter_map(|object| object.head.strip_prefix("flowtable "));
    let flowtables =
        flowtables.map(|of| Unseen { hook: Hook::Ingress, place: None, name: name(of), routes: false });
    chains.chain(flowtables).collect()
}

/// The tables of a ruleset, by their places, in whose chains what becomes of a packet depends on which of them runs first, and no
/// listing tells; with the words for it.
pub(super) fn untold(ruleset: &Ruleset) -> Vec<([usize; 2], String)> {
    let said = |[(one, writes), (other, reads)]: [(usize, String); 2]| {
        let words = format!(
            "which of the chains `{writes}` and `{reads}` runs first: their priority is the same, and what the first writes the second looks at"
        );
        ([one, other], words)
    };
    sim::ties(ruleset).into_iter().map(said).collect()
}

/// Whether a chain lets everything pass as it came: what `arptables` and `ebtables` leave behind.
fn is_idle(chain: &Chain, base: &Base) -> bool {
    chain.rules.is_empty() && base.policy == Policy::Accept
}
