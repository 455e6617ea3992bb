//! Maps that lead to chains of one lookup each: read together or one by one, they do the same.

use std::fmt::Write as _;

use fwc::net::Space;
use fwc::target::nft::artifact::Hook;
use fwc::target::nft::{read, sim};

use crate::generate::Dice;

const RULESETS: u64 = 400;

/// A rule that only counts makes of a chain more than one lookup, and changes nothing of what becomes of a packet.
#[test]
fn chains_of_one_lookup_do_what_longer_chains_do() {
    let (mut some, mut unknown) = (0, 0);
    for seed in 0..RULESETS {
        let [short, long] = ["", "counter\n"].map(|first| text(&mut Dice::new(seed), first));
        let mut space = Space::default();
        let [a, b] = [&short, &long].map(|text| {
            let ruleset = read::read(text).unwrap_or_else(|e| panic!("{e}\n{text}")).ruleset;
            sim::admits(&ruleset, Hook::Forward, &mut space).unwrap()
        });
        assert_eq!(a, b, "seed {seed}\n{short}");
        some += usize::from(!space.is_empty(a.accepted).unwrap());
        unknown += usize::from(!space.is_empty(a.unknown).unwrap());
    }
    assert!(
        some > 200 && (1..300).contains(&unknown),
        "{some} admit something, {unknown} leave something open"
    );
}

/// A map by service, block or interface, chains behind it with a lookup each, some of them by blocks again; now and then what
/// cannot be read together: a chain that two lead to, another verdict, keys that overlap, a port without its protocol.
fn text(d: &mut Dice, first: &str) -> String {
    let odd = d.below(4) == 0;
    let mut chains = String::new();
    let outer = kind(d);
    let mut elements = String::new();
    let mut taken = Vec::new();
    for at in 0..1 + d.below(4) {
        let key = outer.key(d, odd);
        // One key twice is refused by nft too.
        if !odd && taken.contains(&key) {
            continue;
        }
        let name = if odd && d.below(6) == 0 { 0 } else { at };
        let verdict = match d.below(8) {
            0 => "accept".to_owned(),
            1 if odd => "return".to_owned(),
            2 if odd => format!("goto c{name}"),
            _ => format!("jump c{name}"),
        };
        writeln!(elements, "{key} : {verdict},").unwrap();
        taken.push(key);
    }
    for at in 0..4 {
        let inner = kind(d);
        let blocks = d.below(4) == 0;
        let lookup = lookup(d, &inner, odd, if blocks { Some(at) } else { None });
        writeln!(chains, "chain c{at} {{\n{first}{lookup}\n}}").unwrap();
        let inner = kind(d);
        let lookup = self::lookup(d, &inner, odd, None);
        writeln!(chains, "chain b{at} {{\n{first}{lookup}\n}}").unwrap();
    }
    let (fields, behind) = (outer.0, if d.below(2) == 0 { "tcp dport 9 accept" } else { "" });
    format!(
        "table inet t {{\n{chains}chain f {{ type filter hook forward priority 0; policy drop;\n\
         {fields} vmap {{\n{elements}}}\n{behind}\n}}\n}}"
    )
}

fn lookup(d: &mut Dice, kind: &Kind, odd: bool, leads: Option<u64>) -> String {
    let mut elements = String::new();
    let mut taken: Vec<String> = Vec::new();
    for _ in 0..1 + d.below(4) {
        let key = kind.key(d, false);
        if taken.contains(&key) {
            continue;
        }
        let verdict = match (leads, d.below(8)) {
            (Some(to), 0..3) if !elements.contains("jump") => format!("jump b{to}"),
            (_, 3) => "drop".to_owned(),
            (_, 4) if odd => "return".to_owned(),
            (_, 5) if odd => "continue".to_owned(),
            _ => "accept".to_owned(),
        };
        writeln!(elements, "{key} : {verdict},").unwrap();
        taken.push(key);
    }
    format!("{} vmap {{\n{elements}}}", kind.0)
}

/// The fields of a key, and how its parts are drawn.
struct Kind(&'static str, &'static [Part]);

#[derive(Clone, Copy)]
enum Part {
    Net,
    Net6,
    Proto,
    Port,
    Wire,
}

fn kind(d: &mut Dice) -> Kind {
    use Part::{Net, Net6, Port, Proto, Wire};
    match d.below(8) {
        0 => Kind("meta l4proto . th dport", &[Proto, Port]),
        1 => Kind("ip daddr", &[Net]),
        2 => Kind("ip saddr . ip daddr", &[Net, Net]),
        3 => Kind("ip saddr . ip daddr . meta l4proto . th dport", &[Net, Net, Proto, Port]),
        4 => Kind("ip6 saddr . ip6 daddr", &[Net6, Net6]),
        5 => Kind("iifname . oifname", &[Wire, Wire]),
        // One field twice.
        6 => Kind("meta l4proto . th dport . tcp dport", &[Proto, Port, Port]),
        _ => Kind("th dport", &[Port]),
    }
}

impl Kind {
    /// A key; where it is odd, one that may overlap with others.
    fn key(&self, d: &mut Dice, odd: bool) -> String {
        let part = |part: &Part| match part {
            Part::Net if odd && d.below(2) == 0 => "10.0.0.0/14".to_owned(),
            Part::Net => format!("10.{}.0.0/16", d.below(4)),
            Part::Net6 => format!("2001:db8:{}::/48", d.below(3)),
            Part::Proto => ["tcp", "udp"][d.below(2)].to_owned(),
            Part::Port => (80 + d.below(4)).to_string(),
            Part::Wire => format!("\"eth{}\"", d.below(2)),
        };
        self.1.iter().map(part).collect::<Vec<_>>().join(" . ")
    }
}
