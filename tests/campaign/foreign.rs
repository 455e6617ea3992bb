//! Rulesets as others write them, in the kernel: several tables of every family, base chains of several priorities, regular chains
//! that are jumped and gone to, verdict maps, sets of intervals and of concatenations, marks, `notrack`.
//!
//! Each is drawn from a seed as text, read by the reader of foreign rulesets, and loaded as it is. Packets are drawn from the
//! very values that it compares, and from next to them; they go through prerouting and the hook they are asked at, and
//! what the kernel did is read off dynamic sets (`lab::bench`). `FWC_FOREIGN` says how many packets: `make test` sends 20,000, `make
//! campaign` a million. Not here: what translates (`random_policies`), limits and timeouts, which hang on the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Instant;

use fwc::forwarding::Forwarding;
use fwc::lab::reach::fresh_state;
use fwc::lab::{Bench, Lost, Observed, reach};
use fwc::model::Hook;
use fwc::net::{CtState, Packet, Proto, Verdict};
use fwc::target::nft::artifact::{self, Place};
use fwc::target::nft::{read, sim};

use crate::common::{compiled, kernel};
use crate::random::Dice;

const SITE: &str = "
zone lan { 10.1.1.0/24, 2001:db8:1::/64 }
zone dmz { 10.1.2.0/24, 2001:db8:2::/64 }
firewall fw {
    eth1 10.1.1.1, 2001:db8:1::1 in lan
    eth2 10.1.2.1, 2001:db8:2::1 in dmz
}
allow ping from lan to dmz
allow ping from dmz to lan
";

/// Packets of a ruleset.
const PACKETS: usize = 1_000;

const ADDRS: [&[&str]; 2] = [
    &[
        "10.1.1.11",
        "10.1.1.0/28",
        "10.1.1.16-10.1.1.40",
        "10.1.2.10",
        "10.1.2.128/25",
        "10.1.0.0/16",
        "10.1.1.1",
    ],
    &[
        "2001:db8:1::11",
        "2001:db8:1::/124",
        "2001:db8:1::20-2001:db8:1::48",
        "2001:db8:2::10",
        "2001:db8:2::80/121",
        "2001:db8::/32",
        "2001:db8:1::1",
    ],
];
/// No two have an address in common.
const APART: [&[&str]; 2] = [
    &["10.1.1.0/28", "10.1.1.16-10.1.1.40", "10.1.2.10", "10.1.2.128/25", "10.1.1.200"],
    &[
        "2001:db8:1::/124",
        "2001:db8:1::20-2001:db8:1::48",
        "2001:db8:2::10",
        "2001:db8:2::80/121",
        "2001:db8:1::c8",
    ],
];
const PORTS: [&str; 7] = ["22", "53", "80-90", "443", "1024-65535", "0-1023", "8000"];
const PORTS_APART: [&str; 5] = ["22", "53", "80-90", "443", "8000-9000"];

/// Words of what is read, which must each have had a say.
const CONSTRUCTS: [&str; 38] = [
    "ip saddr",
    "ip6 daddr",
    "!=",
    "-",
    "/",
    "{",
    "@s",
    "@c",
    "vmap",
    " . ",
    "jump",
    "goto",
    "meta mark",
    "ct state",
    "meta l4proto",
    "iifname",
    "oifname",
    "tcp flags",
    "icmp type",
    "icmpv6 type",
    "reject",
    "drop",
    "accept",
    "th dport",
    "meta nfproto",
    "ct state != established,new",
    "ct state != {",
    "ct state !",
    "ct status",
    "tcp flags !",
    "tcp flags {",
    "meta protocol {",
    "meta protocol vmap",
    "meta nfproto {",
    "meta mark set meta mark |",
    "meta mark & 0x4",
    "ip ttl",
    "ip6 hoplimit",
];

#[test]
fn foreign_rulesets_and_the_kernel_agrees() {
    if !kernel() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let wanted: usize = number("FWC_FOREIGN").unwrap_or(20_000);
    let first = number("FWC_FIRST").unwrap_or(1) as u64;
    let done = compiled(&[("site.fw".to_owned(), SITE.to_owned())]);
    let forwarding = Forwarding::new(&done.site);
    let fw = done.site.host_named("fw").unwrap();
    let began = Instant::now();
    let mut seen = Seen::default();
    let mut bench = Bench::new(&forwarding, fw, "").unwrap();
    let mut seed = first;
    while seen.packets < wanted {
        one(seed, &mut bench, &mut seen);
        seed += 1;
    }
    println!(
        "{} foreign rulesets in the kernel, {} packets, {} disagreements, {:?}",
        seed - first,
        seen.packets,
        seen.wrong.len(),
        began.elapsed()
    );
    println!("at hooks: {:?}", seen.hooks);
    println!("decided by {} of {} rules, elements and policies", seen.decided, seen.places);
    println!("by words of the rules that decided or led on: {:?}", seen.constructs);
    println!("not asked: {:?}", seen.skipped);
    let some: Vec<String> = seen.wrong.iter().take(5).cloned().collect();
    assert!(seen.wrong.is_empty(), "{} disagreements:\n{}", seen.wrong.len(), some.join("\n"));
    let silent: Vec<&str> =
        CONSTRUCTS.into_iter().filter(|word| !seen.constructs.contains_key(*word)).collect();
    assert!(silent.is_empty(), "{silent:?} decided nothing");
    for what in [
        "forward new Accept",
        "forward new Drop",
        "forward established",
        "untracked",
        "prerouting Drop",
        "input",
        "output",
    ] {
        assert!(seen.hooks.keys().any(|hook| hook.contains(what)), "{what}: {:?}", seen.hooks);
    }
    let lost: usize = seen.skipped.values().sum();
    assert!(lost * 10 <= seen.packets, "{:?}", seen.skipped);
}

#[derive(Default)]
struct Seen {
    packets: usize,
    hooks: BTreeMap<String, usize>,
    constructs: BTreeMap<&'static str, usize>,
    skipped: BTreeMap<String, usize>,
    decided: usize,
    places: usize,
    wrong: Vec<String>,
}

fn one(seed: u64, bench: &mut Bench<'_>, seen: &mut Seen) {
    let mut dice = Dice::new(seed);
    let text = Writer { dice: &mut dice }.ruleset();
    let read = read::read(&text).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{text}"));
    bench.load(&format!("{}{text}", gone())).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{text}"));
    let mut places: BTreeSet<Place> = BTreeSet::new();
    for hook in [Hook::Forward, Hook::Input, Hook::Output] {
        let count = if hook == Hook::Forward { PACKETS / 2 } else { PACKETS / 4 };
        let mut asked = Vec::new();
        while asked.len() < count {
            let packet = drawn(&mut dice, hook);
            let meant = meant(&read.ruleset, hook, &packet).unwrap_or_else(|why| {
                panic!("seed {seed}: {why} of {packet:?}\n{text}");
            });
            asked.push((packet, meant));
        }
        let packets: Vec<Packet> =
            asked.iter().map(|(packet, meant)| Packet { ct: meant.ct, ..packet.clone() }).collect();
        let answers = bench.judge(hook, &packets).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{text}"));
        let talks = text.contains("hook output");
        for ((packet, meant), answer) in asked.iter().zip(answers) {
            // Who is told of a rejection is told through output, whose chains may not let it.
            let silent = talks || !reach::is_answerable(bench.ports(), packet);
            let same = match (&answer, meant.verdict) {
                (Observed::Lost(Lost::NoHook), None) => true,
                (Observed::Lost(why), Some(_)) => {
                    let why = format!("{why:?}");
                    let why: String = why.chars().take(40).collect();
                    *seen.skipped.entry(format!("{} {why}", hook.keyword())).or_default() += 1;
                    continue;
                }
                (Observed::Lost(why), None) => {
                    *seen.skipped.entry(format!("before {}: {why:?}", hook.keyword())).or_default() += 1;
                    continue;
                }
                (_, None) => false,
                (Observed::Drop, Some(Verdict::Reject)) => silent,
                (other, Some(verdict)) => other.verdict() == Some(verdict),
            };
            seen.packets += 1;
            let at = match meant.verdict {
                None => "prerouting Drop".to_owned(),
                Some(verdict) => format!("{} {} {verdict:?}", hook.keyword(), meant.ct.keyword()),
            };
            *seen.hooks.entry(at).or_default() += 1;
            places.extend(&meant.places);
            if !same {
                seen.wrong.push(told(seed, &text, &read, hook, packet, meant, &answer));
            }
        }
    }
    seen.decided += places.len();
    seen.places += count_of(&read.ruleset);
    for place in places {
        let line =
            read.lines.line(place).and_then(|line| text.lines().nth(line as usize - 1)).unwrap_or_default();
        for word in CONSTRUCTS.into_iter().filter(|word| line.contains(word)) {
            *seen.constructs.entry(word).or_default() += 1;
        }
    }
}

/// What the simulator says of a packet on its way to a hook and through it.
struct Meant {
    /// At the hook; none where it does not come so far.
    verdict: Option<Verdict>,
    /// The state in which it is seen there.
    ct: CtState,
    /// What had a say.
    places: Vec<Place>,
    steps: Vec<Place>,
}

fn meant(rules: &artifact::Ruleset, hook: Hook, packet: &Packet) -> Result<Meant, String> {
    let mut places = Vec::new();
    let mut steps = Vec::new();
    let mut pass = |at: artifact::Hook, packet: &Packet| -> Result<(Verdict, Packet), String> {
        let run = sim::run(rules, at, packet);
        places.extend(run.because.iter().copied().chain(run.decided_by));
        steps.extend(run.because);
        let unknown = format!("unknown at {at:?}, {:?} by {:?}", run.verdict, run.decided_by);
        let verdict = run.verdict.verdict().ok_or(unknown)?;
        Ok((verdict, run.packet))
    };
    if hook == Hook::Output {
        let (verdict, after) = pass(artifact::Hook::Output, packet)?;
        let ct = if after.ct == CtState::Untracked { after.ct } else { packet.ct };
        return Ok(Meant { verdict: Some(verdict), ct, places, steps });
    }
    let (iif, oif) = (packet.iif.name().to_owned(), packet.oif.name().to_owned());
    let sent = packet.clone().at(&iif, "");
    let (verdict, after) = pass(artifact::Hook::Prerouting, &sent)?;
    if verdict != Verdict::Accept {
        return Ok(Meant { verdict: None, ct: after.ct, places, steps });
    }
    let ct = after.ct;
    let at = if hook == Hook::Forward { artifact::Hook::Forward } else { artifact::Hook::Input };
    let (verdict, _) = pass(at, &after.at(&iif, &oif))?;
    Ok(Meant { verdict: Some(verdict), ct, places, steps })
}

/// Everything about a disagreement, rule by rule.
fn told(
    seed: u64,
    text: &str,
    read: &read::Read,
    hook: Hook,
    packet: &Packet,
    meant: &Meant,
    answer: &Observed,
) -> String {
    let steps: Vec<String> = meant
        .steps
        .iter()
        .map(|place| {
            let line = read.lines.line(*place).unwrap_or(0);
            let words = text.lines().nth((line as usize).saturating_sub(1)).unwrap_or_default();
            format!("    line {line}: `{}`", words.trim())
        })
        .collect();
    format!(
        "seed {seed}, {}: the simulator {:?}, the kernel {answer:?}: {packet:?}\n{}\n{text}",
        hook.keyword(),
        meant.verdict,
        steps.join("\n")
    )
}

fn count_of(rules: &artifact::Ruleset) -> usize {
    let elements = |table: &artifact::Table| table.sets.iter().map(|set| set.elements.len()).sum::<usize>();
    let chains = |table: &artifact::Table| {
        let own = |chain: &artifact::Chain| chain.rules.len() + usize::from(chain.base.is_some());
        table.chains.iter().map(own).sum::<usize>()
    };
    rules.tables.iter().map(|table| elements(table) + chains(table)).sum()
}

// ---- packets ------------------------------------------------------------------------------------------

/// A packet whose values are those that rulesets compare, or next to them.
fn drawn(dice: &mut Dice, hook: Hook) -> Packet {
    let six = dice.below(2) == 1;
    let (lan, dmz) = (dice.below(2) == 0, dice.below(2) == 0);
    let inner = |dice: &mut Dice, lan: bool| {
        let hosts: &[u32] = if lan {
            &[2, 11, 12, 14, 15, 16, 17, 31, 32, 40, 41, 72, 73, 199, 200, 201]
        } else {
            &[9, 10, 11, 16, 17, 127, 128, 129, 253, 254]
        };
        let host = dice.pick(hosts);
        match (six, lan) {
            (false, true) => format!("10.1.1.{host}"),
            (false, false) => format!("10.1.2.{host}"),
            (true, true) => format!("2001:db8:1::{host:x}"),
            (true, false) => format!("2001:db8:2::{host:x}"),
        }
    };
    let own = |lan: bool| match (six, lan) {
        (false, true) => "10.1.1.1".to_owned(),
        (false, false) => "10.1.2.1".to_owned(),
        (true, true) => "2001:db8:1::1".to_owned(),
        (true, false) => "2001:db8:2::1".to_owned(),
    };
    let wire = |lan: bool| if lan { "eth1" } else { "eth2" };
    let (src, dst, iif, oif) = match hook {
        Hook::Input => (inner(dice, lan), own(dmz), wire(lan), ""),
        Hook::Output => (own(dmz), inner(dice, lan), "", wire(lan)),
        _ => (inner(dice, lan), inner(dice, !lan), wire(lan), wire(!lan)),
    };
    let port = |dice: &mut Dice| {
        dice.pick(&[
            0u16, 1, 21, 22, 23, 52, 53, 54, 79, 80, 85, 90, 91, 442, 443, 444, 1023, 1024, 7999, 8000, 9000,
            9001, 65_535,
        ])
    };
    let (sport, dport) = (port(dice).max(1), port(dice).max(1));
    let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut packet = match dice.below(10) {
        0..4 => Packet::new(src, dst, Proto::TCP, sport, dport),
        4..7 => Packet::new(src, dst, Proto::UDP, sport, dport),
        7..9 if six => Packet::icmp(src, dst, dice.pick(&[128, 128, 129, 1, 3]), 0),
        7..9 => Packet::icmp(src, dst, dice.pick(&[8, 8, 0, 3, 11, 13]), 0),
        _ => Packet::new(src, dst, Proto(dice.pick(&[47, 50, 132])), 0, 0),
    };
    if packet.proto == Proto::TCP && dice.below(4) == 0 {
        packet.tcp_flags = dice.pick(&[0x12, 0x10, 0x18, 0x04, 0x11, 0x29]);
    }
    packet.ttl = dice.pick(&[2, 5, 6, 63, 64, 128]);
    packet.ct = fresh_state(&packet);
    let opens = packet.ct == CtState::New && [Proto::TCP, Proto::UDP].contains(&packet.proto);
    if opens && dice.below(4) == 0 {
        packet.ct = CtState::Established;
    }
    packet.at(iif, oif)
}

// ---- rulesets -----------------------------------------------------------------------------------------

const TABLES: [(&str, &str); 4] = [("inet", "a"), ("ip", "b"), ("ip6", "c"), ("inet", "d")];

/// What takes away the tables of the ruleset before.
fn gone() -> String {
    TABLES
        .iter()
        .map(|(family, name)| format!("table {family} {name}\ndelete table {family} {name}\n"))
        .collect()
}

struct Writer<'d> {
    dice: &'d mut Dice,
}

/// Where the chains of a table hang.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Prerouting and output before connection tracking.
    Raw,
    /// Prerouting after it.
    Mangle,
    /// Input, forward, output.
    Filter,
    /// Forward alone.
    Forward,
}

impl Writer<'_> {
    fn ruleset(mut self) -> String {
        let mut text = String::new();
        let talks = self.dice.below(3) == 0;
        let mut tables: Vec<(&str, &str)> = TABLES.to_vec();
        tables.retain(|_| self.dice.below(5) > 0);
        if tables.is_empty() {
            tables.push(TABLES[0]);
        }
        for (at, (family, name)) in tables.into_iter().enumerate() {
            let kind = match (at, self.dice.below(6)) {
                (0, _) => Kind::Forward,
                (_, 0 | 1) => Kind::Raw,
                (_, 2) => Kind::Mangle,
                (_, 3 | 4) => Kind::Filter,
                _ => Kind::Forward,
            };
            self.table(family, name, kind, talks, &mut text);
        }
        text
    }

    fn table(&mut self, family: &str, name: &str, kind: Kind, talks: bool, text: &mut String) {
        writeln!(text, "table {family} {name} {{").unwrap();
        let six = match family {
            "ip" => 0,
            "ip6" => 1,
            _ => self.dice.below(2),
        };
        let word = if six == 1 { "ipv6_addr" } else { "ipv4_addr" };
        let some = |writer: &mut Self, all: &[&'static str]| {
            let mut some: Vec<&str> = all.iter().copied().filter(|_| writer.dice.below(3) > 0).collect();
            if some.is_empty() {
                some.push(all[0]);
            }
            some
        };
        let addrs = some(self, APART[six]);
        writeln!(
            text,
            "\tset s {{\n\t\ttype {word}\n\t\tflags interval\n\t\telements = {{ {} }}\n\t}}",
            addrs.join(", ")
        )
        .unwrap();
        let pairs: Vec<String> = some(self, APART[six])
            .iter()
            .map(|addr| format!("{addr} . {}", self.dice.pick(&PORTS_APART)))
            .collect();
        writeln!(
            text,
            "\tset c {{\n\t\ttype {word} . inet_service\n\t\tflags interval\n\t\telements = {{ {} }}\n\t}}",
            pairs.join(", ")
        )
        .unwrap();
        let chains = 1 + self.dice.below(3);
        for at in (0..chains).rev() {
            writeln!(text, "\tchain r{at} {{").unwrap();
            for _ in 0..(1 + self.dice.below(6)) {
                // Only to those that are written already: no loops.
                let rule = self.rule(family, six, kind, (at + 1, chains), false);
                writeln!(text, "\t\t{rule}").unwrap();
            }
            text.push_str("\t}\n");
        }
        let hooks: &[&str] = match (kind, talks) {
            (Kind::Raw, true) => &["prerouting", "output"],
            (Kind::Raw | Kind::Mangle, _) => &["prerouting"],
            (Kind::Filter, true) => &["input", "forward", "output"],
            (Kind::Filter, false) => &["input", "forward"],
            (Kind::Forward, _) => &["forward", "forward"],
        };
        for (at, hook) in hooks.iter().enumerate() {
            let priority = match kind {
                Kind::Raw => -300,
                Kind::Mangle => -150,
                Kind::Filter | Kind::Forward => self.dice.pick(&[-10, 0, 0, 0, 10, 50]),
            };
            // Output before tracking is before the lab looks: nothing ends there.
            let early = kind == Kind::Raw && *hook == "output";
            let policy = if early || self.dice.below(3) > 0 { "accept" } else { "drop" };
            let policy = if kind == Kind::Raw || kind == Kind::Mangle { "accept" } else { policy };
            writeln!(
                text,
                "\tchain b{at} {{\n\t\ttype filter hook {hook} priority {priority}; policy {policy};"
            )
            .unwrap();
            for _ in 0..(3 + self.dice.below(10)) {
                let rule = self.rule(family, six, kind, (0, chains), early);
                writeln!(text, "\t\t{rule}").unwrap();
            }
            text.push_str("\t}\n");
        }
        text.push_str("}\n");
    }

    /// A rule that may go to the chains from one on; `early`: one that ends nothing.
    fn rule(&mut self, family: &str, six: usize, kind: Kind, chains: (usize, usize), early: bool) -> String {
        let mut rule = String::new();
        for _ in 0..(1 + self.dice.below(2)) {
            let one = self.compared(family, six, kind);
            // One header at a time: nft refuses what contradicts itself.
            let header = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
            if rule.is_empty() || (header(&one) != header(&rule) && !clash(&rule, &one)) {
                rule = format!("{rule}{one} ");
            }
        }
        if self.dice.below(3) == 0 {
            rule.push_str("counter ");
        }
        if early {
            return format!("{rule}{}", self.dice.pick(&["notrack", "meta mark set 7", "meta mark set 9"]));
        }
        let (from, to) = chains;
        let chain = |writer: &mut Self| {
            (from < to).then(|| {
                format!(
                    "{} r{}",
                    writer.dice.pick(&["jump", "jump", "goto"]),
                    from + writer.dice.below(to - from)
                )
            })
        };
        match self.dice.below(12) {
            0 if kind == Kind::Raw => format!("{rule}notrack"),
            1 if kind == Kind::Raw => format!("{rule}notrack"),
            0 => format!("{rule}meta mark set {}", self.dice.pick(&["7", "9", "0"])),
            1 => match self.written(family, six) {
                // A header that the rule may rule out: nft refuses that.
                header if header.contains("dscp") || header.contains("option") => header.to_owned(),
                other => format!("{rule}{other}"),
            },
            2 | 3 => match chain(self) {
                Some(go) => format!("{rule}{go}"),
                None => format!("{rule}return"),
            },
            4 => format!("{rule}return"),
            5 if matches!(kind, Kind::Filter | Kind::Forward) => {
                let plain = family != "inet" || self.dice.below(2) == 0;
                format!("{rule}{}", if plain { "reject" } else { "reject with icmpx admin-prohibited" })
            }
            6 | 7 => {
                let go = chain(self).unwrap_or_else(|| "return".to_owned());
                self.mapped(six, kind, &rule, &go)
            }
            8 | 9 if kind != Kind::Raw && kind != Kind::Mangle => format!("{rule}drop"),
            8 => format!("{rule}drop"),
            _ => format!("{rule}accept"),
        }
    }

    /// What writes something, and ends nothing. Not the priority: by that the lab knows its packets at output.
    fn written(&mut self, family: &str, six: usize) -> &'static str {
        let dscp = if family == "inet" && six == 1 || family == "ip6" {
            "ip6 dscp set cs1"
        } else {
            "ip dscp set cs1"
        };
        self.dice.pick(&[
            "meta mark set meta mark | 0x4",
            "meta mark set meta mark | 0x4",
            "meta mark set meta mark & 0xfffffffb | 0x8",
            "meta mark set meta mark ^ 0x5",
            "ct mark set meta mark",
            "ct mark set 3",
            "tcp option maxseg size set 1400",
            dscp,
        ])
    }

    /// A verdict map instead of a verdict.
    fn mapped(&mut self, six: usize, kind: Kind, rule: &str, go: &str) -> String {
        let ip = ["ip", "ip6"][six];
        let addrs = APART[six];
        match self.dice.below(5) {
            4 => format!("meta protocol vmap {{ ip : {go}, ip6 : accept }}"),
            0 => format!("tcp dport vmap {{ 22 : accept, 80-90 : {go}, 443 : drop }}"),
            1 => format!("{ip} saddr vmap {{ {} : drop, {} : {go} }}", addrs[0], addrs[2]),
            2 if kind != Kind::Raw => "ct state vmap { established : accept, invalid : drop }".to_owned(),
            2 => format!("{rule}accept"),
            _ => format!(
                "{ip} daddr . tcp dport vmap {{ {} . 22 : accept, {} . 80-90 : {go}, {} . 443 : drop }}",
                addrs[0], addrs[1], addrs[2]
            ),
        }
    }

    fn compared(&mut self, family: &str, six: usize, kind: Kind) -> String {
        let ip = ["ip", "ip6"][six];
        let not = if self.dice.below(4) == 0 { "!= " } else { "" };
        let end = self.dice.pick(&["saddr", "daddr"]);
        let names = |writer: &mut Self, way: &str| {
            let wires = writer.dice.pick(&["\"eth1\"", "\"eth2\"", "{ \"eth1\", \"lo\" }", "\"eth\""]);
            format!("{way} {not}{wires}")
        };
        match self.dice.below(19) {
            16 if kind != Kind::Raw => (self.dice.pick(&[
                "ct state ! established,related",
                "ct state ! new",
                "ct state != { new, invalid }",
                "ct state != { established, untracked }",
                "ct state { new, untracked }",
                "ct state & (new | established) == new",
                "ct status ! dnat",
                "ct status dnat,snat",
            ]))
            .to_owned(),
            17 => (self.dice.pick(&[
                "tcp flags ! syn",
                "tcp flags ! fin,rst",
                "tcp flags { syn, syn | ack }",
                "tcp flags != { syn, ack }",
                "meta mark & 0x4 == 0x4",
                "meta mark & 0x4 == 0x0",
                "meta mark & 0x6 != 0x4",
            ]))
            .to_owned(),
            18 if matches!(kind, Kind::Filter | Kind::Forward) => {
                let field = if six == 1 { "ip6 hoplimit" } else { "ip ttl" };
                format!("{field} {}", self.dice.pick(&["< 6", "!= 64", "63-64", "{ 2, 128 }"]))
            }
            16 | 18 if family == "inet" => {
                let families = ["protocol", "protocol", "nfproto"];
                match self.dice.pick(&families) {
                    "protocol" => format!(
                        "meta protocol {not}{}",
                        self.dice.pick(&["{ ip, ip6 }", "{ ip }", "{ ip6, arp }"])
                    ),
                    _ => format!("meta nfproto {not}{}", self.dice.pick(&["{ ipv4, ipv6 }", "{ ipv6 }"])),
                }
            }
            0 | 1 => format!("{ip} {end} {not}{}", self.dice.pick(ADDRS[six])),
            2 => format!("{ip} {end} {not}@s"),
            3 => format!("{ip} {end} {not}{{ {}, {} }}", APART[six][1], APART[six][2]),
            4 => format!("{ip} {end} . tcp dport {not}@c"),
            5 | 6 => format!(
                "{} {} {not}{}",
                self.dice.pick(&["tcp", "udp"]),
                self.dice.pick(&["dport", "sport"]),
                self.dice.pick(&PORTS)
            ),
            7 => format!("{} dport {not}{{ 22, 80-90, 443 }}", self.dice.pick(&["tcp", "udp"])),
            8 => format!(
                "meta l4proto {not}{}",
                self.dice.pick(&["{ tcp, udp }", "tcp", "icmp", "ipv6-icmp", "47"])
            ),
            9 => format!("meta mark {not}{}", self.dice.pick(&["7", "9", "0"])),
            10 if kind != Kind::Raw => {
                // `!=` before several compares the number of all of them.
                let states =
                    ["established", "new", "invalid", "untracked", "established,new", "established,related"];
                format!("ct state {not}{}", self.dice.pick(&states))
            }
            11 => (self.dice.pick(&[
                "tcp flags syn",
                "tcp flags & (fin | syn | rst | ack) == syn",
                "tcp flags & (syn | ack) != syn",
            ]))
            .to_owned(),
            12 if family != "ip6" && six == 0 => format!(
                "icmp type {not}{}",
                self.dice.pick(&["echo-request", "{ echo-reply, time-exceeded }"])
            ),
            12 => format!(
                "icmpv6 type {not}{}",
                self.dice.pick(&["echo-request", "{ echo-reply, destination-unreachable }"])
            ),
            13 if kind == Kind::Forward => names(self, "oifname"),
            13 | 14 if kind != Kind::Raw => names(self, "iifname"),
            15 if family == "inet" => format!("meta nfproto {not}{}", self.dice.pick(&["ipv4", "ipv6"])),
            _ => format!("meta l4proto {{ tcp, udp }} th dport {not}{}", self.dice.pick(&PORTS)),
        }
    }
}

/// Whether two comparisons may contradict each other: both settle the protocol, or both the family.
fn clash(one: &str, other: &str) -> bool {
    let classes: [&[&str]; 2] =
        [&["tcp", "udp", "icmp", "l4proto", "th "], &["ip ", "ip6 ", "icmp", "nfproto", "meta protocol"]];
    let of = |text: &str, class: &[&str]| class.iter().any(|word| text.contains(word));
    classes.iter().any(|class| of(one, class) && of(other, class))
}
