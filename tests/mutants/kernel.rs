//! The kernel as witness: what `verify` shows is so, and what it calls equivalent is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use fwc::forwarding::Forwarding;
use fwc::lab::{Bench, Observed, machine, reach};
use fwc::model::{Hook, HostId};
use fwc::net::packet::tcp_flag;
use fwc::net::{CtState, Field, Packet, PacketSet, Proto, Random, RangeSet, Space, Verdict};
use fwc::target::nft::artifact::Place;
use fwc::target::nft::sim;
use fwc::verify::{HOOKS, HostRules, NAT_HOOKS, hook_of};

use crate::special;
use crate::study::{Fate, Judged, Rewritten, Study, all_hooks, studies};

/// Witnesses that the kernel must confirm.
const WITNESSES: usize = 50;
/// Packets that must have a verdict for an equivalent.
const PACKETS: usize = 2_000;
/// The same for a rule that no packet reaches, of the frames on a bridge.
const FRAMES: usize = 500;
/// Some are lost: what the kernel cannot be shown is known only afterwards.
const SPARE: usize = 200;

/// A change without its numbers: `widen`, `leave out match`.
pub(crate) fn kind(change: &str) -> String {
    if change.starts_with("widen to every") {
        return "widen to every".to_owned();
    }
    if change.starts_with("widen") {
        return "widen".to_owned();
    }
    change.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ').to_owned()
}

#[test]
fn the_kernel_confirms_fifty_mutants() {
    if !asked() {
        return;
    }
    for study in studies() {
        let confirmed = confirmed(study);
        let count: usize = confirmed.values().sum();
        println!("{}: {count} witnesses confirmed: {confirmed:#?}", study.site);
        assert!(count >= WITNESSES, "{}: only {count}", study.site);
    }
}

/// Of the witnesses that can be sent, how many of which kind the kernel has confirmed.
fn confirmed(study: &'static Study) -> BTreeMap<String, usize> {
    let forwarding = Forwarding::new(&study.compiled.site);
    let mut confirmed: BTreeMap<String, usize> = BTreeMap::new();
    let mut unloadable = 0;
    for (host, candidates) in chosen(study, &forwarding) {
        let mut bench = Bench::new(&forwarding, host, &study.compiled.artifacts[&host].text).unwrap();
        for mutant in candidates {
            let Fate::Refuted { hook, packet, meant, done, rewrite } = &mutant.fate else { unreachable!() };
            bench.load(&study.compiled.artifacts[&host].text).unwrap();
            let whole = saw(&mut bench, *hook, packet);
            if let Err(why) = bench.load(&mutant.rules.text) {
                unloadable += 1;
                println!("not loadable: {}: {why}", told(study, mutant));
                continue;
            }
            let broken = saw(&mut bench, *hook, packet);
            let expected = match rewrite {
                None => (Saw::Verdict(Some(*meant)), Saw::Verdict(Some(*done))),
                Some((meant, done)) => {
                    let ends = |to| Saw::Ends(Some(special::ends(bench.ports(), *hook, packet, to)));
                    (ends(*meant), ends(*done))
                }
            };
            assert_eq!((whole, broken), expected, "{}\n{packet:#?}", told(study, mutant));
            let kind = format!("{} {} {}", study.name(host), hook.keyword(), kind(&mutant.change));
            *confirmed.entry(kind).or_default() += 1;
        }
    }
    println!("{}: {unloadable} mutants not loadable", study.site);
    confirmed
}

/// What was seen of a packet at a hook.
#[derive(Debug, PartialEq, Eq)]
enum Saw {
    Verdict(Option<Verdict>),
    /// Where its ends are, behind a hook that translates.
    Ends(Option<special::Ends>),
}

fn saw(bench: &mut Bench<'_>, hook: Hook, packet: &Packet) -> Saw {
    if NAT_HOOKS.contains(&hook) {
        return Saw::Ends(special::seen(bench, hook, std::slice::from_ref(packet)).remove(0));
    }
    Saw::Verdict(ask(bench, hook, packet).verdict())
}

/// Twelve more than are needed, of every machine, hook and kind in turn; fewer where there are no more.
fn chosen<'m>(study: &'m Study, forwarding: &Forwarding<'_>) -> BTreeMap<HostId, Vec<&'m Judged>> {
    let mut by_kind: BTreeMap<(String, &str, HostId), Vec<&Judged>> = BTreeMap::new();
    for mutant in &study.mutants {
        let Fate::Refuted { hook, packet, meant, done, rewrite } = &mutant.fate else { continue };
        if is_shown(study, forwarding, mutant.host, *hook, packet, (*meant, *done), *rewrite) {
            by_kind.entry((kind(&mutant.change), hook.keyword(), mutant.host)).or_default().push(mutant);
        }
    }
    let most: usize = by_kind.values().map(Vec::len).sum();
    let mut random = Random::new(50);
    let mut chosen: BTreeMap<HostId, Vec<&Judged>> = BTreeMap::new();
    let mut groups: BTreeMap<(String, &str), Vec<Vec<&Judged>>> = BTreeMap::new();
    for ((kind, hook, _), list) in by_kind {
        groups.entry((kind, hook)).or_default().push(list);
    }
    let mut count = 0;
    while count < (WITNESSES + 12).min(most) {
        for machines in groups.values_mut() {
            let at = random.below(machines.len());
            let list = &mut machines[at];
            let mutant = list[random.below(list.len())];
            let of_host = chosen.entry(mutant.host).or_default();
            if !of_host.iter().any(|m| std::ptr::eq(*m, mutant)) {
                of_host.push(mutant);
                count += 1;
            }
        }
    }
    chosen
}

/// Whether the bench can show the packet to the hook, and tell what the two rulesets do with it.
fn is_shown(
    study: &Study,
    forwarding: &Forwarding<'_>,
    host: HostId,
    hook: Hook,
    packet: &Packet,
    (meant, done): (Verdict, Verdict),
    rewrite: Option<Rewritten>,
) -> bool {
    let ports = machine::ports(&study.compiled.site, host);
    if NAT_HOOKS.contains(&hook) {
        return rewrite.is_some() && special::comes(&study.compiled, forwarding, host, hook, packet);
    }
    let told = ![meant, done].contains(&Verdict::Reject) || reach::is_answerable(&ports, packet);
    rewrite.is_none() && told && reach::reaches(forwarding, host, &ports, hook, packet).is_ok()
}

/// A mutant whose elements overlap has no meaning of its own: the kernel has to refuse it.
#[test]
fn the_kernel_refuses_ambiguous_mutants() {
    let all = studies().flat_map(|study| study.mutants.iter().map(move |mutant| (study, mutant)));
    let ambiguous: Vec<(&Study, &Judged)> =
        all.filter(|(_, m)| matches!(m.fate, Fate::Undecided(_))).collect();
    println!("{} mutants are ambiguous", ambiguous.len());
    if ambiguous.is_empty() || !asked() {
        return;
    }
    let empty = fwc::lab::netns::Netns::new().unwrap();
    for (study, mutant) in ambiguous {
        assert!(empty.nft(&mutant.rules.text).is_err(), "the kernel takes it: {}", told(study, mutant));
    }
}

/// A mutant that the kernel does not take changes nothing on a host: `nft -f` is a transaction (nft(8)). No packet can
/// be sent through it, so that this is what can be asked. Every other equivalent does load.
#[test]
fn what_the_kernel_refuses_leaves_the_old_ruleset() {
    if !asked() {
        return;
    }
    let netns = fwc::lab::netns::Netns::new().unwrap();
    let listed = || netns.run("nft", &["-s", "list", "ruleset"], "").unwrap();
    let (mut refused, mut loaded, mut of) = (0, 0, None);
    let all = studies().flat_map(|study| study.mutants.iter().map(move |mutant| (study, mutant)));
    for (study, mutant) in all {
        let refuses = match &mutant.fate {
            Fate::Refused(_) => true,
            Fate::Equivalent(_) => false,
            Fate::Refuted { .. } | Fate::Frames | Fate::Undecided(_) => continue,
        };
        if !refuses {
            netns.nft(&mutant.rules.text).unwrap_or_else(|why| panic!("{}: {why}", told(study, mutant)));
            (loaded, of) = (loaded + 1, None);
            continue;
        }
        if of != Some((study.site, mutant.host)) {
            netns.nft(&study.compiled.artifacts[&mutant.host].text).unwrap();
            of = Some((study.site, mutant.host));
        }
        let before = listed();
        assert!(before.contains("table inet fwc"), "{before}");
        let why = netns.nft(&mutant.rules.text).expect_err(&told(study, mutant)).to_string();
        assert!(why.contains("overlap") || why.contains("exists"), "{}: {why}", told(study, mutant));
        assert_eq!(listed(), before, "{}", told(study, mutant));
        refused += 1;
    }
    println!("{refused} mutants refused, the old ruleset in force after each; {loaded} equivalents load");
    assert!(refused > 0 && loaded > 0, "{refused} {loaded}");
}

#[test]
fn the_kernel_sees_nothing_in_equivalent_mutants() {
    if !asked() {
        return;
    }
    for study in studies() {
        sees_nothing(study);
    }
}

fn sees_nothing(study: &'static Study) {
    let forwarding = Forwarding::new(&study.compiled.site);
    let all = std::env::var_os("FWC_MUTANTS").is_some_and(|v| v == "all");
    let mut by_host: BTreeMap<HostId, Vec<&Judged>> = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for mutant in &study.mutants {
        let Fate::Equivalent(why) = &mutant.fate else { continue };
        let words: Vec<&str> = why.split(' ').take(2).collect();
        // Of the other sites one machine of each kind is enough: the CRM has them all.
        let host = (study.site == "crm").then_some(mutant.host);
        if kinds.insert((host, kind(&mutant.change), words)) || all {
            by_host.entry(mutant.host).or_default().push(mutant);
        }
    }
    let (mut packets, mut mutants, start) = (0, 0, Instant::now());
    for (host, list) in by_host {
        let whole = &study.compiled.artifacts[&host];
        let mut bench = Bench::new(&forwarding, host, &whole.text).unwrap();
        let mut frames = special::Frames::new(&forwarding, &study.compiled, host);
        let mut pool = Pool::new(study, &forwarding, host, whole);
        for mutant in list {
            bench.load(&mutant.rules.text).unwrap_or_else(|why| panic!("{}: {why}", told(study, mutant)));
            let (seen, wanted) = match pool.special(mutant) {
                None => (pool.compare(&mut bench, mutant), PACKETS),
                // Of a rule about what is not IP there are only the frames of everybody else.
                Some((Hook::Bridge, packets)) => {
                    (frames.compare(mutant, &packets, &told(study, mutant)), FRAMES)
                }
                Some((hook, packets)) => (pool.translated(&mut bench, mutant, hook, &packets), PACKETS),
            };
            assert!(seen >= wanted, "{}: only {seen} packets had a verdict", told(study, mutant));
            packets += seen;
            mutants += 1;
        }
    }
    println!("{}: {mutants} equivalents, {packets} packets in the kernel, {:?}", study.site, start.elapsed());
}

/// Where packets for a machine come from.
struct Pool<'s> {
    study: &'s Study,
    forwarding: &'s Forwarding<'s>,
    host: HostId,
    ports: Vec<machine::Port>,
    whole: &'s HostRules,
    space: Space,
    random: Random,
    /// By hook: what each place decides, of what can be shown to the kernel.
    decided: BTreeMap<Hook, Vec<(Place, PacketSet)>>,
}

impl<'s> Pool<'s> {
    fn new(study: &'s Study, forwarding: &'s Forwarding<'s>, host: HostId, whole: &'s HostRules) -> Self {
        let ports = machine::ports(&study.compiled.site, host);
        let (space, random) = (Space::default(), Random::new(9));
        let decided = BTreeMap::new();
        let mut pool = Self { study, forwarding, host, ports, whole, space, random, decided };
        for hook in HOOKS {
            let decided = pool.deciders(hook, whole);
            pool.decided.insert(hook, decided);
        }
        pool
    }

    fn deciders(&mut self, hook: Hook, rules: &HostRules) -> Vec<(Place, PacketSet)> {
        let showable = self.showable(hook);
        let all = sim::deciders(&rules.ruleset, hook_of(hook), &mut self.space).unwrap();
        let both = all.into_iter().map(|(place, set)| (place, self.space.and(set, showable)));
        let both: Vec<_> = both.collect();
        both.into_iter().filter(|(_, set)| !self.space.is_empty(*set).unwrap()).collect()
    }

    /// A wide guess at what routing brings to the hook: by the legs, and in input to an own address.
    fn showable(&mut self, hook: Hook) -> PacketSet {
        let names: Vec<String> = self.ports.iter().map(|p| p.name.clone()).collect();
        let legs = RangeSet::from_ranges(names.iter().map(|name| {
            let number = self.space.interface(name);
            (number, number)
        }));
        let (iif, oif) = match hook {
            Hook::Input => (legs, RangeSet::one(0)),
            Hook::Output => (RangeSet::one(0), legs),
            _ => (legs.clone(), legs),
        };
        let mut all = vec![self.space.within(Field::Iif, &iif), self.space.within(Field::Oif, &oif)];
        all.extend([Field::Mark, Field::Dnat, Field::Snat].map(|field| self.space.is(field, 0)));
        if hook == Hook::Input {
            let own = self.ports.iter().flat_map(|p| &p.addresses);
            let own = own.fold(fwc::net::AddrSet::empty(), |s, net| {
                s.union(&fwc::net::AddrSet::net(ipnet::IpNet::from(net.addr())))
            });
            // Neighbours are found by other addresses.
            let (own, not_new) = (self.space.to(&own), self.space.ct(&[CtState::New]));
            let not_new = self.space.not(not_new);
            all.push(self.space.or(own, not_new));
        }
        self.space.all(all)
    }

    /// Judges packets at every hook at which the mutant is; how many had a verdict, each the unmutated one.
    fn compare(&mut self, bench: &mut Bench<'_>, mutant: &Judged) -> usize {
        let by_hook: Vec<(Hook, Vec<PacketSet>)> = HOOKS
            .into_iter()
            .map(|hook| (hook, self.near(hook, mutant)))
            .filter(|(_, sets)| !sets.is_empty())
            .collect();
        // A place at which no packet ends that can be shown: everything that ends at its hooks.
        let by_hook = if by_hook.is_empty() {
            HOOKS.map(|hook| (hook, self.decided[&hook].iter().map(|d| d.1).collect())).into()
        } else {
            by_hook
        };
        let mut seen = 0;
        // Many are lost (untracked ones in forward), so that there may have to be more; in the end of the whole hook.
        let wide: Vec<(Hook, Vec<PacketSet>)> = by_hook
            .iter()
            .map(|(hook, _)| (*hook, self.decided[hook].iter().map(|d| d.1).collect()))
            .collect();
        let rounds = std::iter::repeat_n(&by_hook, 4).chain(std::iter::repeat_n(&wide, 8));
        for (hook, sets) in rounds.flatten() {
            if seen >= PACKETS {
                break;
            }
            let share = PACKETS.div_ceil(by_hook.len()).min(PACKETS - seen);
            let packets = self.draw(*hook, sets, share + SPARE);
            for (packet, observed) in packets.iter().zip(bench.judge(*hook, &packets).unwrap()) {
                let Some(verdict) = observed.verdict() else { continue };
                let before = sim::run(&self.whole.ruleset, hook_of(*hook), packet).verdict.verdict();
                // How full a bucket is nobody knows in the kernel.
                let emptied = Packet { exceeded: self.limits(), ..packet.clone() };
                if before != sim::run(&self.whole.ruleset, hook_of(*hook), &emptied).verdict.verdict() {
                    continue;
                }
                assert_eq!(
                    Some(verdict),
                    before,
                    "{}: {} {packet:#?}",
                    told(self.study, mutant),
                    hook.keyword()
                );
                seen += 1;
            }
        }
        seen
    }

    fn limits(&self) -> Vec<fwc::net::Limit> {
        let mut all: Vec<_> =
            self.study.compiled.site.accesses.iter().flat_map(|a| [a.limit, a.meter]).flatten().collect();
        all.sort_by_key(|limit| (limit.burst, limit.per));
        all.dedup();
        all
    }

    /// Packets for a mutant that is at no hook of a bench's verdicts: in a chain that translates, or on a bridge.
    fn special(&mut self, mutant: &Judged) -> Option<(Hook, Vec<Packet>)> {
        if HOOKS.into_iter().any(|hook| !self.near(hook, mutant).is_empty()) {
            return None;
        }
        let hooks =
            all_hooks(&self.study.compiled, self.host).into_iter().filter(|hook| !HOOKS.contains(hook));
        for hook in hooks.collect::<Vec<_>>() {
            let place = |d: &(Place, PacketSet)| neighbours(d.0, mutant.place);
            let mut all = sim::deciders(&self.whole.ruleset, hook_of(hook), &mut self.space).unwrap();
            all.extend(sim::deciders(&mutant.rules.ruleset, hook_of(hook), &mut self.space).unwrap());
            if !all.iter().any(place) {
                continue;
            }
            let sets: Vec<PacketSet> = all.iter().map(|d| d.1).collect();
            return Some((hook, self.at(hook, &sets)));
        }
        None
    }

    /// Packets of some sets that can come to a hook of these.
    fn at(&mut self, hook: Hook, sets: &[PacketSet]) -> Vec<Packet> {
        let mut packets = Vec::new();
        for round in 0..200_000 {
            if packets.len() >= PACKETS + SPARE {
                break;
            }
            let Some(drawn) = self.space.sample(sets[round % sets.len()], &mut self.random).unwrap() else {
                continue;
            };
            let near = next_door(producible(drawn.clone()), &mut self.random);
            let shaped = [Some(producible(drawn)), near].into_iter().flatten();
            let shaped = shaped.map(|packet| special::shaped(self.random.bits(), &self.ports, hook, packet));
            let (compiled, forwarding, host) = (&self.study.compiled, self.forwarding, self.host);
            packets.extend(shaped.filter(|p| special::comes(compiled, forwarding, host, hook, p)));
        }
        packets
    }

    /// How many packets a chain that translates was seen to leave as the unmutated one does.
    fn translated(
        &mut self,
        bench: &mut Bench<'_>,
        mutant: &Judged,
        hook: Hook,
        packets: &[Packet],
    ) -> usize {
        let seen = special::seen(bench, hook, packets);
        let mut count = 0;
        for (packet, seen) in packets.iter().zip(seen) {
            let Some(seen) = seen else { continue };
            let to = sim::run(&self.whole.ruleset, hook_of(hook), packet).translation;
            let meant = special::ends(&self.ports, hook, packet, to);
            assert_eq!(seen, meant, "{}: {} {packet:#?}", told(self.study, mutant), hook.keyword());
            count += 1;
        }
        count
    }

    /// What the mutated place and its neighbours decide, before and after.
    fn near(&mut self, hook: Hook, mutant: &Judged) -> Vec<PacketSet> {
        let mut sets: Vec<PacketSet> =
            self.decided[&hook].iter().filter(|d| neighbours(d.0, mutant.place)).map(|d| d.1).collect();
        let after = self.deciders(hook, &mutant.rules);
        sets.extend(after.iter().filter(|d| neighbours(d.0, mutant.place)).map(|d| d.1));
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// Packets of each set in turn, and from next door.
    fn draw(&mut self, hook: Hook, sets: &[PacketSet], count: usize) -> Vec<Packet> {
        let mut open: Vec<(PacketSet, usize)> = sets.iter().map(|set| (*set, 0)).collect();
        let rest: Vec<PacketSet> = self.decided[&hook].iter().map(|d| d.1).collect();
        let mut packets = Vec::new();
        for round in 0..count * 4 {
            if packets.len() >= count {
                break;
            }
            // A set of packets that never get there is given up; with all of them, the hook's others are asked.
            if open.iter().all(|(_, misses)| *misses > 40) {
                open = rest.iter().map(|set| (*set, 0)).collect();
            }
            for (set, misses) in &mut open {
                if *misses > 40 || packets.len() >= count {
                    continue;
                }
                let Some(drawn) = self.space.sample(*set, &mut self.random).unwrap() else { break };
                let near = next_door(producible(drawn.clone()), &mut self.random);
                let before = packets.len();
                for packet in [Some(producible(drawn)), near].into_iter().flatten() {
                    let way = reach::reaches(self.forwarding, self.host, &self.ports, hook, &packet);
                    if way.is_ok() && reach::is_answerable(&self.ports, &packet) {
                        packets.push(packet);
                    }
                }
                *misses = if packets.len() > before { 0 } else { *misses + 1 };
            }
            assert!(round < count * 4, "nothing to draw from");
        }
        packets
    }
}

/// Whether two places stand in one set or chain, next to each other but one.
fn neighbours(a: Place, b: Place) -> bool {
    let close = |a: usize, b: usize| a.abs_diff(b) <= 2;
    match (a, b) {
        (Place::Element { set: a, element: x, .. }, Place::Element { set: b, element: y, .. }) => {
            a == b && close(x, y)
        }
        (Place::Element { .. }, _) | (_, Place::Element { .. }) => false,
        _ => {
            let (of_a, of_b) = (in_chain(a), in_chain(b));
            let last = |place| matches!(place, Place::Policy { .. });
            of_a.0 == of_b.0 && (last(a) || last(b) || close(of_a.1, of_b.1))
        }
    }
}

fn in_chain(place: Place) -> (usize, usize) {
    match place {
        Place::Policy { chain, .. } => (chain, usize::MAX),
        Place::Rule { chain, rule, .. } | Place::Inline { chain, rule, .. } => (chain, rule),
        Place::Element { .. } => (usize::MAX, usize::MAX),
    }
}

/// The packet as a bench can make it: whatever no rule of ours looks at is as usual.
fn producible(mut p: Packet) -> Packet {
    p.exceeded = Vec::new();
    p.ct_original = None;
    p.skuid = None;
    p.ttl = if p.ttl == 0 { 1 } else { p.ttl };
    if p.proto == Proto::TCP && p.ct == CtState::New {
        p.tcp_flags = tcp_flag::SYN;
    }
    p
}

/// The same with one field a step further; none where that field has no next value.
fn next_door(mut p: Packet, random: &mut Random) -> Option<Packet> {
    let up = random.below(2) == 0;
    let step = |n: u16| if up { n.checked_add(1) } else { n.checked_sub(1) };
    match random.below(4) {
        0 if p.proto.has_ports() => p.dport = step(p.dport)?,
        1 => p.src = moved(p.src, up)?,
        2 => p.dst = moved(p.dst, up)?,
        _ if p.proto == Proto::TCP => (p.proto, p.tcp_flags) = (Proto::UDP, 0),
        _ => p.sport = if p.proto.has_ports() { step(p.sport)? } else { 0 },
    }
    Some(p)
}

fn moved(addr: std::net::IpAddr, up: bool) -> Option<std::net::IpAddr> {
    let n = fwc::net::addr::number(addr);
    let n = if up { n.checked_add(1)? } else { n.checked_sub(1)? };
    let most = if addr.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
    (n <= most).then(|| fwc::net::addr::addr(fwc::net::Family::of(addr), n))
}

fn ask(bench: &mut Bench<'_>, hook: Hook, packet: &Packet) -> Observed {
    bench.judge(hook, std::slice::from_ref(packet)).unwrap().remove(0)
}

fn told(study: &Study, mutant: &Judged) -> String {
    let (number, words) = study.line(mutant);
    format!("{} {}:{number} {}: {words}", study.site, study.name(mutant.host), mutant.change)
}

/// Whether the kernel can be asked; with `FWC_REQUIRE_KERNEL=1` it must be.
fn asked() -> bool {
    let why = fwc::lab::netns::available().err();
    if let Some(why) = &why {
        let required = std::env::var_os("FWC_REQUIRE_KERNEL").is_some_and(|v| v == "1");
        assert!(!required, "no kernel to ask: {why}");
        println!("SKIPPED, nothing was tested: no kernel to ask: {why}");
    }
    why.is_none()
}
