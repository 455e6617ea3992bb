//! A random site with a door: inner zones behind one firewall, two, or a firewall and a router, so that clauses of every
//! kind have a way. As text; what is refused is taken out by `compiles`.

use std::fmt::Write as _;

use super::Dice;

/// Whether it speaks both families.
#[derive(Clone, Copy)]
struct Families(bool);

impl Families {
    fn both(self, v4: &str, v6: &str) -> String {
        if self.0 { format!("{v4}, {v6}") } else { v4.to_owned() }
    }
}

/// A policy of an office.
pub fn policy(seed: u64) -> String {
    let dice = &mut Dice::new(seed ^ 0x0ff1ce);
    let families = Families(dice.one_in(2));
    let mut text = format!(
        "zone lan {{ {} }}\nzone dmz {{ {} }}\nzone world {{ rest }}\n",
        families.both("10.0.0.0/24", "fd00:1::/64"),
        families.both("10.0.1.0/24", "fd00:2::/64"),
    );
    text += &gateways(dice, families);
    text += &hosts(dice, families);
    for at in 0..5 + dice.below(7) {
        text += &statement(dice, at);
    }
    text
}

fn gateways(dice: &mut Dice, families: Families) -> String {
    let door = match dice.below(6) {
        0 | 1 => "dynamic".to_owned(),
        2 => format!("{}, 192.0.2.2", families.both("192.0.2.1", "2001:db8:f::1")),
        _ => families.both("192.0.2.1", "2001:db8:f::1"),
    };
    let (lan, dmz) = (families.both("10.0.0.1", "fd00:1::1"), families.both("10.0.1.1", "fd00:2::1"));
    let (bridge, strict) = (bridge(dice), if dice.one_in(4) { "; strict-source" } else { "" });
    let docker = if dice.one_in(8) { "; docker" } else { "" };
    let reject = if dice.one_in(3) { "; reject from lan" } else { "" };
    let more = format!("{strict}{docker}{reject}");
    match dice.below(5) {
        0 => {
            let inner = families.both("10.0.1.2", "fd00:2::2");
            format!(
                "firewall fw {{ wan {door} in world; dmz {dmz} in dmz{bridge}{more} }}\n\
                 firewall inner {{ dmz {inner} in dmz; lan {lan} in lan }}\n"
            )
        }
        1 => {
            let (core, next) =
                (families.both("10.0.9.1", "fd00:9::1"), families.both("10.0.9.2", "fd00:9::2"));
            let zone = families.both("10.0.9.0/24", "fd00:9::/64");
            format!(
                "zone core {{ {zone} }}\nfirewall fw {{ wan {door} in world; core {core} in core{more} }}\n\
                 router r {{ core {next} in core; lan {lan} in lan; dmz {dmz} in dmz }}\n"
            )
        }
        _ => format!(
            "firewall fw {{ wan {door} in world; lan {lan} in lan; dmz {dmz} in dmz{bridge}{more} }}\n"
        ),
    }
}

fn bridge(dice: &mut Dice) -> &'static str {
    match dice.below(8) {
        0 => " bridge br_netfilter",
        1 => " bridge stateful",
        2 => " bridge stateless \"no tracking here\"",
        _ => "",
    }
}

/// Two that are named in statements, and up to six more in the same zones.
fn hosts(dice: &mut Dice, families: Families) -> String {
    let mut text = String::new();
    for (name, zone, number) in [("web", "dmz", 9), ("pc", "lan", 9)] {
        let net = if zone == "dmz" { 1 } else { 0 };
        let addrs = families.both(&format!("10.0.{net}.{number}"), &format!("fd00:{}::{number}", net + 1));
        let _ = match dice.below(5) {
            0 => writeln!(text, "host {name} {{ eth0 {addrs} in {zone}; nftables; reject from lan }}"),
            1 => writeln!(text, "host {name} {{ eth0 {addrs} in {zone}; nftables; docker }}"),
            2 => writeln!(text, "host {name} {{ eth0 {addrs} in {zone}; nftables; strict-source }}"),
            _ => writeln!(text, "host {name} = {addrs} in {zone}"),
        };
    }
    for at in 0..2 + dice.below(5) {
        let number = 20 + at;
        let net = usize::from(at < 2 || dice.one_in(2));
        let zone = ["lan", "dmz"][net];
        let addrs = families.both(&format!("10.0.{net}.{number}"), &format!("fd00:{}::{number}", net + 1));
        let filters = if dice.one_in(4) { "; nftables" } else { "" };
        let _ = writeln!(text, "host s{at} {{ eth0 {addrs} in {zone}{filters} }}");
    }
    text
}

/// Of a service of its own, most of the time: what two sentences say of one packet goes again.
fn statement(dice: &mut Dice, at: usize) -> String {
    let own =
        ["tcp 80", "udp 53", "tcp 22", "tcp 443", "tcp 25, udp 25", "udp 123", "tcp 8000-8010", "tcp 993"];
    let port = if dice.one_in(5) { "tcp 80-81, udp 80" } else { own[at % own.len()] };
    let inside = dice.pick(&["lan", "dmz", "web", "pc", "lan, dmz", "lan except pc", "s0, s1"]);
    let number = if dice.one_in(2) { " port 8080" } else { "" };
    let tail = match dice.below(6) {
        0 => " { limit 10/second burst 3 per source }",
        1 => " { until 2027-01-01T00:00Z }",
        _ => "",
    };
    match dice.below(16) {
        0 | 1 => format!("allow {port} from {inside} to world masquerade{tail}\n"),
        2 => {
            let by = dice.pick(&["fw.world", "192.0.2.1", "192.0.2.2", "2001:db8:f::1"]);
            format!("allow {port} from {inside} to world snat to {by}{tail}\n")
        }
        3 => {
            let (from, to) = dice.pick(&[("lan", "dmz"), ("pc", "web"), ("dmz", "lan"), ("world", "dmz")]);
            format!("allow {port} from {from} to {to} masquerade{tail}\n")
        }
        4 => format!("allow {port} from lan to dmz snat to fw.dmz{tail}\n"),
        5..=8 => {
            let target = dice.pick(&["web", "web", "pc", "s0", "s1", "fw.dmz"]);
            let side = if target == "pc" { "lan" } else { "dmz" };
            let from = dice.pick(&["world", "world", "198.51.100.0/24, 2001:db8:ffff::/64"]);
            let hairpin = match dice.below(3) {
                0 if target != "fw.dmz" => format!("{from}, {side}"),
                _ => String::new(),
            };
            match hairpin.is_empty() {
                true => format!("allow {port} from {from} to fw.world dnat to {target}{number}{tail}\n"),
                false => {
                    format!(
                        "allow {port} from {hairpin} to fw.world dnat to {target}{number} hairpin{tail}\n"
                    )
                }
            }
        }
        9 | 10 => {
            let reals = dice.pick(&["s0, s1", "web", "s0", "web, fw.dmz"]);
            format!("allow {port} from world to fw.world ipvs nat to {reals}{number}{tail}\n")
        }
        // Where the director is the way of the replies there is no such thing: between neighbours, and behind another gateway.
        11 => {
            let from = if at.is_multiple_of(2) { "lan" } else { "dmz" };
            format!("allow {port} from {from} to fw.dmz ipvs dr to s0, s1{tail}\n")
        }
        12..=14 => {
            let target = dice.pick(&["web", "pc", "dmz", "fw.lan", "world"]);
            format!("allow {port} from {inside} to {target}{tail}\n")
        }
        _ => format!("deny {port} from {inside}, world to fw, web {{ reject }}\n"),
    }
}
