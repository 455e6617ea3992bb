//! Whether an administrator's connection, and a new one like it, stay open on a ruleset: the whole of it, other
//! people's tables included, since a drop in any of them is final.
//!
//! Asked of the simulator, for every source port at once where nothing translates, and for single packets hook by hook.
//! What is not modelled in a foreign rule's *comparison* (`fib daddr type local`) is tried both ways, and must not
//! matter; any other unknown is no pass. The time is the machine's, since a permission may be past; and no limit is exceeded:
//! one that bounds logins is no lock.

use crate::net::packet::tcp_flag;
use crate::net::{CtState, Direction, Field, Packet, Proto, Space, Verdict};
use crate::target::nft::artifact::{Expression, Hook, Place, Rule, Ruleset, Statement};
use crate::target::nft::sim::{self, Outcome};

use super::admin::Connection;
use super::live::is_own;

/// How many comparisons that nobody knows are tried both ways.
const UNCLEAR_MOST: usize = 8;
/// Where ephemeral ports begin and end, and some between.
const PORTS: [u16; 4] = [1024, 32768, 51000, 65535];

/// Our new tables beside the foreign ones of a listing, in the order in which the kernel will have them: what is loaded
/// last runs first of its priority.
#[must_use]
pub fn beside(listing: &Ruleset, new: &Ruleset) -> Ruleset {
    let foreign = listing.tables.iter().filter(|table| !is_own(table));
    Ruleset { tables: foreign.chain(&new.tables).cloned().collect() }
}

/// Why a connection that comes by an interface would not stay open at a time (UTC nanoseconds since 1970); nothing where it
/// would.
#[must_use]
pub fn closed(ruleset: &Ruleset, connection: &Connection, interface: &str, now: u64) -> Vec<String> {
    let Some(variants) = variants(ruleset) else {
        return vec!["other tables ask too much that the simulator does not know".to_owned()];
    };
    let mut reasons = Vec::new();
    for variant in &variants {
        for (what, packet, hooks) in packets(connection, interface) {
            if let Err(why) = passes(variant, Packet { time: now, ..packet }, hooks) {
                reasons.push(format!("{what}: {why}"));
            }
        }
        if reasons.is_empty()
            && let Err(why) = every_port(variant, connection, interface, now)
        {
            reasons.push(format!("a new connection from some port: {why}"));
        }
    }
    reasons.sort();
    reasons.dedup();
    reasons
}

const IN: &[Hook] = &[Hook::Prerouting, Hook::Input];
const OUT: &[Hook] = &[Hook::Output, Hook::Postrouting];

/// The connection as it is, a new one from other ports, and the replies of both.
fn packets(connection: &Connection, interface: &str) -> Vec<(&'static str, Packet, &'static [Hook])> {
    let (client, server) = (connection.client, connection.server);
    let started =
        |port: u16| Packet::new(client.ip(), server.ip(), Proto::TCP, port, server.port()).at(interface, "");
    let reply = |port: u16| Packet {
        ct: CtState::Established,
        ct_direction: Direction::Reply,
        tcp_flags: tcp_flag::ACK,
        skuid: Some(0),
        ..Packet::new(server.ip(), client.ip(), Proto::TCP, server.port(), port).at("", interface)
    };
    let open = Packet { ct: CtState::Established, tcp_flags: tcp_flag::ACK, ..started(client.port()) };
    // A connection that is older than connection tracking: its next packet starts it (nf_conntrack_tcp_loose).
    let older = Packet { ct: CtState::New, ..open.clone() };
    let mut all = vec![
        ("this connection", open, IN),
        ("this connection, were it not tracked yet", older, IN),
        ("what this connection is answered", reply(client.port()), OUT),
    ];
    for port in PORTS {
        all.push(("a new connection like this one", started(port), IN));
        all.push(("what a new connection is answered", reply(port), OUT));
    }
    all
}

/// One packet through hooks, as each leaves it to the next.
fn passes(ruleset: &Ruleset, mut packet: Packet, hooks: &[Hook]) -> Result<(), String> {
    for hook in hooks {
        if *hook == Hook::Postrouting {
            // A chain there that translates sees no packet of a connection that is answered.
            packet.ct = CtState::Established;
        }
        let run = sim::run(ruleset, *hook, &packet);
        match run.verdict {
            Outcome::Decided(Verdict::Accept) => {}
            Outcome::Decided(Verdict::Drop | Verdict::Reject) => {
                let by = run
                    .decided_by
                    .map_or_else(String::new, |place| format!(" by {}", name_of(ruleset, place)));
                return Err(format!("stopped in {}{by}", hook.keyword()));
            }
            Outcome::Unknown(why) => return Err(format!("not known in {}: {why}", hook.keyword())),
        }
        if (run.packet.dst, run.packet.dport) != (packet.dst, packet.dport) {
            return Err(format!("sent to {} instead", run.packet.dst));
        }
        packet = run.packet;
    }
    Ok(())
}

/// The first packets of new connections from every port, at the hooks by themselves.
fn every_port(ruleset: &Ruleset, connection: &Connection, interface: &str, now: u64) -> Result<(), String> {
    let spent = |_| "the simulator's budget is spent".to_owned();
    let mut space = Space::default();
    for hook in IN {
        let sample = Packet::new(
            connection.client.ip(),
            connection.server.ip(),
            Proto::TCP,
            PORTS[0],
            connection.server.port(),
        )
        .at(interface, "");
        let one = space.packet(&Packet { time: now, ..sample });
        let every = space.forget(Field::Sport, one);
        let mut admitted = sim::admits(ruleset, *hook, &mut space).map_err(spent)?.accepted;
        for limit in space.limit_fields() {
            admitted = space.given(limit, 0, admitted);
        }
        let stopped = space.minus(every, admitted);
        if let Some(packet) = space.witness(stopped, &[]).map_err(spent)? {
            return Err(format!("stopped in {} from port {}", hook.keyword(), packet.sport));
        }
    }
    Ok(())
}

/// `inet f2b-table f2b-chain`; of an element of a named map, the map's name.
#[must_use]
pub fn name_of(ruleset: &Ruleset, place: Place) -> String {
    let (table, part) = match place {
        Place::Policy { table, chain } => (table, (Some(chain), None)),
        Place::Rule { table, chain, .. } | Place::Inline { table, chain, .. } => (table, (Some(chain), None)),
        Place::Element { table, set, .. } => (table, (None, Some(set))),
    };
    let Some(table) = ruleset.tables.get(table) else { return String::new() };
    let chain = part.0.and_then(|at| table.chains.get(at)).map(|c| c.name.as_str());
    let set = part.1.and_then(|at| table.sets.get(at)).map(|s| s.name.as_str());
    let policy = if matches!(place, Place::Policy { .. }) { ", its policy" } else { "" };
    format!("`{} {} {}`{policy}", table.family.keyword(), table.name, chain.or(set).unwrap_or_default())
}

/// The ruleset with each comparison that nobody knows taken for true, and for false; none where there are too many.
fn variants(ruleset: &Ruleset) -> Option<Vec<Ruleset>> {
    let mut all = vec![ruleset.clone()];
    let mut unclear = Vec::new();
    for (table, of) in ruleset.tables.iter().enumerate() {
        for (chain, of) in of.chains.iter().enumerate() {
            for (rule, of) in of.rules.iter().enumerate() {
                if of.statements.iter().any(is_unclear) {
                    unclear.push((table, chain, rule));
                }
            }
        }
    }
    if unclear.len() > UNCLEAR_MOST {
        return None;
    }
    for (table, chain, rule) in unclear {
        let mut other = all.clone();
        for (variants, holds) in [(&mut all, true), (&mut other, false)] {
            for variant in variants {
                let chain = variant.tables.get_mut(table).and_then(|t| t.chains.get_mut(chain));
                if let Some(rule) = chain.and_then(|chain| chain.rules.get_mut(rule)) {
                    decide(rule, holds);
                }
            }
        }
        all.extend(other);
    }
    Some(all)
}

fn is_unclear(statement: &Statement) -> bool {
    let unknown = |e: &Expression| matches!(e, Expression::Unknown(_));
    matches!(statement, Statement::Match { left, right, .. } if unknown(left) || unknown(right))
}

/// Takes the comparisons for true, or the rule for one that never matches. Rules keep their places.
fn decide(rule: &mut Rule, holds: bool) {
    if holds {
        rule.statements.retain(|statement| !is_unclear(statement));
    } else {
        rule.statements.clear();
    }
}
