//! `fwc drift`: live edits that change what becomes of packets are told with one that the kernel treats otherwise; those
//! that do not are cosmetic.

use std::net::IpAddr;
use std::process::Command;

use fwc::forwarding::Forwarding;
use fwc::lab::{Bench, Observed};
use fwc::model::{Hook, HostId};
use fwc::net::{Interface, Packet};
use fwc::target::nft::artifact::TableFamily;
use fwc::verify::HostRules;
use fwc::verify::diff::{Bounds, Change, Found, Lines, Names, Side, diff};

use super::common::{compiled, file, kernel, kernel_required, root};
use super::world::{World, said};

/// An edit of the live tables.
enum Edit {
    /// By commands of nft.
    Nft(&'static str),
    /// Our table again, with words of it replaced.
    Reload(&'static [(&'static str, &'static str)]),
    /// The same, and then a while.
    ReloadAndWait(&'static [(&'static str, &'static str)]),
}

use Edit::{Nft, Reload, ReloadAndWait};

/// Those after which some packet has another fate.
const DRIFTS: [(&str, Edit); 30] = [
    (
        "element removed, input",
        Nft("delete element inet fwc input_eth1_ports_v4 { 10.9.1.10 . 10.9.1.1 . tcp . 22 }"),
    ),
    (
        "element added, input",
        Nft("add element inet fwc input_eth1_ports_v4 { 10.9.1.11 . 10.9.1.1 . tcp . 22 : accept }"),
    ),
    (
        "element of ping removed",
        Nft("delete element inet fwc input_eth1_icmp_v4 { 10.9.1.10 . 10.9.1.1 . 8 . 0 }"),
    ),
    (
        "range added",
        Nft(
            "add element inet fwc forward_eth1_eth2_ports_ranges_v4 { 10.9.1.2-10.9.1.255 . 10.9.2.2 . tcp . 5432 : accept }",
        ),
    ),
    (
        "range removed",
        Nft(
            "delete element inet fwc forward_eth1_eth2_ports_ranges_v4 { 10.9.1.2-10.9.1.255 . 10.9.2.2 . udp . 7000 }",
        ),
    ),
    (
        "range of tcp removed",
        Nft(
            "delete element inet fwc forward_eth1_eth2_ports_ranges_v4 { 10.9.1.2-10.9.1.255 . 10.9.2.2 . tcp . 8080 }",
        ),
    ),
    ("pair of interfaces removed", Nft("delete element inet fwc forward_pairs { \"eth1\" . \"eth2\" }")),
    ("pair of interfaces added", Nft("add element inet fwc forward_pairs { \"eth2\" . \"eth1\" : accept }")),
    ("accept inserted, forward", Nft("insert rule inet fwc forward udp dport 9999 accept")),
    ("drop inserted, forward", Nft("insert rule inet fwc forward tcp dport 8080 drop")),
    ("accept inserted, input", Nft("insert rule inet fwc input tcp dport 23 accept")),
    ("drop inserted, input", Nft("insert rule inet fwc input ip saddr 10.9.1.10 drop")),
    ("accept inserted, output", Nft("insert rule inet fwc output udp dport 53 accept")),
    ("drop inserted, output", Nft("insert rule inet fwc output ip daddr 10.9.1.10 drop")),
    ("rule put into a chain", Nft("insert rule inet fwc forward_eth1_eth2 tcp dport 25 accept")),
    (
        "policy changed, forward",
        Reload(&[
            (
                "hook forward priority filter + 7; policy drop",
                "hook forward priority filter + 7; policy accept",
            ),
            ("counter packets 0 bytes 0 drop comment \"everything else\"", "counter packets 0 bytes 0"),
        ]),
    ),
    ("established no more", Reload(&[("established : accept", "established : drop")])),
    ("jump became accept", Reload(&[("\"eth1\" : jump input_eth1", "\"eth1\" : accept")])),
    ("our table gone", Nft("delete table inet fwc")),
    (
        "timeout of an element",
        ReloadAndWait(&[
            ("flags interval", "flags interval,timeout"),
            (
                "10.9.1.2-10.9.1.255 . 10.9.2.2 . udp . 7000",
                "10.9.1.2-10.9.1.255 . 10.9.2.2 . udp . 7000 timeout 1s",
            ),
        ]),
    ),
    (
        "foreign drop, earlier",
        Nft("table inet other { chain c { type filter hook forward priority -10; udp dport 7001 drop; }; }"),
    ),
    (
        "foreign drop, later",
        Nft("table inet other { chain c { type filter hook forward priority 50; udp dport 7001 drop; }; }"),
    ),
    (
        "foreign drop, input, earlier",
        Nft("table inet other { chain c { type filter hook input priority -10; tcp dport 22 drop; }; }"),
    ),
    (
        "foreign drop, input, later",
        Nft("table ip other { chain c { type filter hook input priority 60; ip saddr 10.9.1.10 drop; }; }"),
    ),
    (
        "foreign drop, output",
        Nft(
            "table inet other { chain c { type filter hook output priority 50; ip daddr 10.9.1.10 drop; }; }",
        ),
    ),
    (
        "foreign reject",
        Nft("table ip other { chain c { type filter hook forward priority -5; tcp dport 8080 reject; }; }"),
    ),
    (
        "foreign drop before routing",
        Nft(
            "table inet other { chain c { type filter hook prerouting priority -300; ip saddr 10.9.1.10 udp dport 7000 drop; }; }",
        ),
    ),
    (
        "foreign dnat",
        Nft(
            "table ip other { chain c { type nat hook prerouting priority -100; ip saddr 10.9.1.10 ip daddr 10.9.2.2 udp dport 7000 dnat to 10.9.2.2:7001; }; }",
        ),
    ),
    (
        "foreign notrack",
        Nft(
            "table inet other { chain c { type filter hook prerouting priority -300; ip saddr 10.9.1.10 ip daddr 10.9.2.2 udp dport 7001 notrack; }; }",
        ),
    ),
    // The thirtieth is a parameter of the kernel, below.
    (
        "foreign drop of a source",
        Nft(
            "table inet other { set bad { type ipv4_addr; elements = { 10.9.1.10 }; }; chain c { type filter hook forward priority -1; ip saddr @bad drop; }; }",
        ),
    ),
];

/// Those after which none has.
const COSMETIC: [(&str, Edit); 11] = [
    ("counters", Reload(&[("counter packets 0 bytes 0", "counter packets 5 bytes 500")])),
    ("handles", Reload(&[])),
    ("comment of a rule", Reload(&[("everything else", "all else")])),
    ("comment of an element", Reload(&[("allow tcp 8080 from lan to web", "the web")])),
    (
        "order of elements",
        Nft(
            "delete element inet fwc input_eth1_ports_v4 { 10.9.1.10 . 10.9.1.1 . tcp . 22 }; add element inet fwc input_eth1_ports_v4 { 10.9.1.10 . 10.9.1.1 . tcp . 22 : accept }",
        ),
    ),
    ("a chain that nobody jumps to", Nft("add chain inet fwc idle; add rule inet fwc idle drop")),
    (
        "a set that nobody asks",
        Nft("add set inet fwc idle { type ipv4_addr; }; add element inet fwc idle { 10.9.1.10 }"),
    ),
    ("a policy behind a drop", Nft("chain inet fwc forward { policy accept; }")),
    ("a second drop behind the first", Nft("add rule inet fwc forward drop")),
    ("a log", Nft("insert rule inet fwc forward udp dport 7000 log prefix \"x\"")),
    (
        "a foreign table that only counts",
        Nft("table inet other { chain c { type filter hook forward priority 3; counter; }; }"),
    ),
];

#[test]
fn every_live_edit_that_changes_a_verdict_is_told_with_a_packet_and_no_other() {
    if !kernel() {
        return;
    }
    let site = compiled(&[file("tests/apply/policies/old.fw".as_ref())]);
    let host = site.site.host_named("fw").unwrap();
    let forwarding = Forwarding::new(&site.site);
    let mut kernel =
        Kernel { bench: Bench::new(&forwarding, host, &site.artifacts[&host].text).unwrap(), host };
    let world = World::new();
    world.confirmed("old");
    let whole = list(&world);
    assert!(passes(&world));
    let quiet = world.done(&["drift"]);
    assert_eq!((quiet.status.code(), said(&quiet).as_str()), (Some(0), ""), "nothing differs");
    let (mut wrong, mut shown) = (Vec::new(), 0);
    for (name, edit) in &DRIFTS {
        edit.make(&world, &whole);
        let told = world.done(&["drift"]);
        let edited = list(&world);
        // What a bench cannot show, the firewall itself does: a datagram of the region no longer arrives.
        let packet = kernel.confirms(&whole, &edited).or_else(|tried| {
            let lost = said(&told).contains("udp 7000") && !passes(&world);
            if lost { Ok("udp 10.9.1.10 -> 10.9.2.2:7000 does not arrive".to_owned()) } else { Err(tried) }
        });
        match (told.status.code(), &packet) {
            (Some(1), Ok(_)) if said(&told).contains("example") => shown += 1,
            (code, _) => wrong.push(format!("{name}: exit {code:?}, kernel {packet:?}\n{}", said(&told))),
        }
        reset(&world, &whole);
    }
    // A parameter: forwarding is off, and the packet that was let pass is not.
    world.fw.sysctl(&[("ipv4/ip_forward".to_owned(), "0")]).unwrap();
    let told = world.done(&["drift"]);
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    assert!(said(&told).contains("sysctl net.ipv4.ip_forward is 0, and 1 was confirmed"), "{}", said(&told));
    assert!(said(&told).contains("example"), "{}", said(&told));
    assert!(!passes(&world), "forwarding is off");
    world.fw.sysctl(&[("ipv4/ip_forward".to_owned(), "1")]).unwrap();
    assert!(passes(&world), "forwarding is on");
    for (name, edit) in &COSMETIC {
        edit.make(&world, &whole);
        let told = world.done(&["drift"]);
        if told.status.code() != Some(0) {
            wrong.push(format!("cosmetic, {name}: {}", said(&told)));
        }
        reset(&world, &whole);
    }
    println!("{}", world.fw.run("nft", &["--version"], "").unwrap().trim());
    println!(
        "{shown} edits of {} told and confirmed by the kernel, and a parameter; {} cosmetic",
        DRIFTS.len(),
        COSMETIC.len()
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// The same with the nft of Debian 13: this program again, with that nft first in its path.
#[test]
fn so_it_is_with_nft_1_1() {
    if !kernel() {
        return;
    }
    let folder = root().join("target/nft/trixie");
    if !folder.join("nft").is_file() {
        assert!(!kernel_required(), "no nft 1.1: run `make tools`");
        println!("SKIPPED: no nft 1.1: run tests/tools/fetch-nft.sh trixie");
        return;
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let name = "drift::every_live_edit_that_changes_a_verdict_is_told_with_a_packet_and_no_other";
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("PATH", path)
        .output()
        .unwrap();
    let told = said(&done);
    assert!(done.status.success(), "{told}");
    assert!(told.contains("nftables v1.1.") && told.contains("30 edits of 30 told"), "{told}");
}

/// A datagram that the policy lets through.
pub(super) fn passes(world: &World) -> bool {
    let far = world.web.within(|| Ok(std::net::UdpSocket::bind("10.9.2.2:7000").unwrap())).unwrap();
    far.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let near = world.admin.within(|| Ok(std::net::UdpSocket::bind("10.9.1.10:0").unwrap())).unwrap();
    near.send_to(b"x", "10.9.2.2:7000").unwrap();
    far.recv(&mut [0u8; 8]).is_ok()
}

fn list(world: &World) -> String {
    world.fw.run("nft", &["list", "ruleset"], "").unwrap()
}

fn reset(world: &World, whole: &str) {
    world.fw.nft(&format!("flush ruleset\n{whole}")).unwrap();
}

impl Edit {
    fn make(&self, world: &World, whole: &str) {
        match self {
            Nft(commands) => {
                for command in commands
                    .split("; add ")
                    .enumerate()
                    .map(|(at, c)| if at == 0 { c.to_owned() } else { format!("add {c}") })
                {
                    world.fw.nft(&format!("{command}\n")).unwrap();
                }
            }
            Reload(changes) | ReloadAndWait(changes) => {
                let mut text = whole.to_owned();
                for (from, to) in *changes {
                    assert!(text.contains(from), "no `{from}` in\n{text}");
                    text = text.replace(from, to);
                }
                reset(world, &text);
                if matches!(self, ReloadAndWait(_)) {
                    std::thread::sleep(std::time::Duration::from_millis(2500));
                }
            }
        }
    }
}

/// The same two rulesets in a bench, and the packets that are said to be treated otherwise.
struct Kernel<'s> {
    bench: Bench<'s>,
    host: HostId,
}

impl Kernel<'_> {
    /// A packet with two fates, one under each ruleset.
    fn confirms(&mut self, old: &str, new: &str) -> Result<String, String> {
        let (was, is) = (HostRules::listed(old).unwrap(), HostRules::listed(new).unwrap());
        let lines = Lines::new();
        let favourites: Vec<IpAddr> =
            ["10.9.1.10", "10.9.2.2", "10.9.1.1", "10.9.1.11"].iter().map(|a| a.parse().unwrap()).collect();
        let mut names = Names::default();
        names.favourites = favourites;
        let side = |rules| Side { rules, lines: &lines };
        let found = diff(side(&was), side(&is), &names, Bounds::default());
        let mut tried = Vec::new();
        for hook in &found.hooks {
            let Found::Compared { differences, unclear } = &hook.found else { continue };
            let all = differences
                .iter()
                .map(|d| (d.change, &d.witness))
                .chain(unclear.iter().map(|u| (u.change, &u.witness)));
            for (change, witness) in all {
                for (at, packet) in self.candidates(hook.hook, witness) {
                    let seen = [(old, new), (new, old)]
                        .map(|(this, other)| self.fate(change, at, &packet, this, other));
                    if seen[0] != seen[1] {
                        return Ok(format!("{} {packet:?}: {} then {}", hook.hook, seen[0], seen[1]));
                    }
                    tried.push(format!("{} {packet:?}: {seen:?}", hook.hook));
                }
            }
        }
        Err(tried.join("\n"))
    }

    /// The example; and where that one cannot be brought to this machine, its like between machines that are there.
    fn candidates(&self, hook: &str, witness: &Packet) -> Vec<(Hook, Packet)> {
        let ends: &[(&str, &str, &str, &str)] = match hook {
            "input" => &[("10.9.1.10", "10.9.1.1", "eth1", ""), ("10.9.1.11", "10.9.1.1", "eth1", "")],
            "output" => &[("10.9.1.1", "10.9.1.10", "", "eth1"), ("10.9.2.1", "10.9.2.2", "", "eth2")],
            _ => &[("10.9.1.10", "10.9.2.2", "eth1", "eth2"), ("10.9.2.2", "10.9.1.10", "eth2", "eth1")],
        };
        let like = ends.iter().map(|(src, dst, iif, oif)| {
            let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
            let like = Packet { src, dst, ..witness.clone() }.at(iif, oif);
            self.place(hook, &like)
        });
        let of_family = like.filter(|_| witness.src.is_ipv4());
        std::iter::once(self.place(hook, witness)).chain(of_family).collect()
    }

    /// The hook at which a packet is judged: of one before routing, that to which routing brings it.
    fn place(&self, hook: &str, witness: &Packet) -> (Hook, Packet) {
        let own = |addr: IpAddr| ["10.9.1.1", "10.9.2.1"].contains(&addr.to_string().as_str());
        let side = |addr: IpAddr| {
            Interface::named(if addr.to_string().starts_with("10.9.2.") { "eth2" } else { "eth1" })
        };
        match hook {
            "input" => (Hook::Input, witness.clone()),
            "output" => (Hook::Output, witness.clone()),
            "forward" => (Hook::Forward, witness.clone()),
            _ if own(witness.dst) => {
                (Hook::Input, Packet { iif: side(witness.src), oif: Interface::Unset, ..witness.clone() })
            }
            _ => (
                Hook::Forward,
                Packet { iif: side(witness.src), oif: side(witness.dst), ttl: 63, ..witness.clone() },
            ),
        }
    }

    fn fate(&mut self, change: Change, at: Hook, packet: &Packet, this: &str, other: &str) -> String {
        self.bench.load(&instead(this, other)).unwrap();
        assert!(self.host.index() < 64);
        if matches!(change, Change::Translated { .. }) {
            let sent = Packet { oif: Interface::Unset, ..packet.clone() };
            return format!("{:?}", self.bench.translated(&[sent]).unwrap());
        }
        match self.bench.judge(at, std::slice::from_ref(packet)).unwrap().remove(0) {
            Observed::Lost(why) => format!("lost: {why:?}"),
            seen => format!("{seen:?}"),
        }
    }
}

/// A ruleset in place of another, and of nothing else.
fn instead(this: &str, other: &str) -> String {
    let mut text = String::new();
    let (this_rules, other_rules) = (HostRules::listed(this).unwrap(), HostRules::listed(other).unwrap());
    let all = this_rules.ruleset.tables.iter().chain(&other_rules.ruleset.tables);
    let mut names: Vec<(TableFamily, &str)> = all.map(|table| (table.family, table.name.as_str())).collect();
    names.sort();
    names.dedup();
    for (family, name) in names {
        let name = format!("{} {name}", family.keyword());
        text.push_str(&format!("add table {name}\ndelete table {name}\n"));
    }
    text + this
}

/// What packets count, and what time takes, is no edit: a cron job that says so every ten minutes is soon not read.
#[test]
fn what_counts_and_ages_is_not_told_and_a_counter_that_is_added_is() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world
        .fw
        .nft(
            "table inet other { set seen { type ipv4_addr; size 64; flags dynamic,timeout; timeout 1m; }; \
             counter tally { }; quota most { over 25 mbytes }; \
             chain c { type filter hook prerouting priority -300; counter name tally; quota name most; \
             quota over 1 mbytes; update @seen { ip saddr counter }; }; }\n",
        )
        .unwrap();
    world.confirmed("old");
    let confirmed = list(&world);
    // Passed, and dropped by the rule that counts everything else.
    assert!(passes(&world));
    let near = world.admin.within(|| Ok(std::net::UdpSocket::bind("10.9.1.10:0").unwrap())).unwrap();
    near.send_to(b"x", "10.9.2.2:9").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let counted = list(&world);
    assert!(counted.contains("10.9.1.10") && counted.contains(" expires "), "{counted}");
    assert!(counted.contains("counter packets 1 bytes 29 drop comment \"everything else\""), "{counted}");
    assert_ne!(confirmed, counted);
    let quiet = world.done(&["drift"]);
    assert_eq!((quiet.status.code(), said(&quiet).as_str()), (Some(0), ""), "{counted}");
    assert!(!world.ok(&["status"]).contains("wrong"), "{counted}");
    world.fw.nft("insert rule inet fwc forward counter\n").unwrap();
    let told = world.done(&["drift"]);
    assert_eq!(told.status.code(), Some(0), "{}", said(&told));
    assert!(said(&told).contains("cosmetic"), "{}", said(&told));
}

/// The mark alone says nothing of the rules beside it.
#[test]
fn a_table_that_was_changed_behind_its_mark_is_not_said_to_be_loaded() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let old = world.path("old").display().to_string();
    let wrong = |number: u8| {
        let told = world.done(&["status"]);
        let words = format!("wrong      the table of generation {number} is not what was loaded");
        (told.status.code() == Some(1) && said(&told).contains(&words)).then(|| said(&told))
    };
    assert_eq!(wrong(1), None);
    let edits = [
        "insert rule inet fwc forward udp dport 9999 accept",
        "delete element inet fwc forward_pairs { \"eth1\" . \"eth2\" }",
        "add table bridge fwc",
        "add chain inet fwc more { type filter hook input priority 50; }",
    ];
    for (number, edit) in (1u8..).step_by(2).zip(edits) {
        world.fw.nft(&format!("{edit}\n")).unwrap();
        let told = wrong(number).unwrap_or_else(|| panic!("{edit}"));
        assert!(told.contains("`fwc drift` says which packets see it"), "{told}");
        assert!(told.contains(&format!("confirmed  generation {number} of `fw`, changed")), "{told}");
        // What loads it anew, and on trial too.
        world.ok(&["apply", &old, "--i-have-console"]);
        let next = number.saturating_add(1);
        assert_eq!(wrong(next), None, "{edit}");
        world.fw.nft("insert rule inet fwc forward udp dport 9999 accept\n").unwrap();
        assert!(wrong(next).is_some_and(|told| told.contains("`fwc rollback` takes it away")), "{edit}");
        world.ok(&["rollback"]);
        world.confirmed("old");
        assert_eq!(wrong(next.saturating_add(1)), None, "{edit}");
        world.ok(&["status"]);
    }
}

/// Without `--sysctl` the parameters stay as they are, and whoever confirms knows: that is no drift. What is turned later is one.
#[test]
fn a_parameter_that_was_never_set_is_no_drift() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.fw.sysctl(&[("ipv4/conf/all/rp_filter".to_owned(), "1")]).unwrap();
    world.ok(&["apply", &world.path("old").display().to_string(), "--i-have-console"]);
    world.ok(&["confirm", "--i-have-console"]);
    let told = world.done(&["drift"]);
    assert_eq!((told.status.code(), said(&told).as_str()), (Some(0), ""), "nothing was turned");
    assert_eq!(String::from_utf8_lossy(&told.stderr), "", "fit for cron");
    let told = world.done(&["drift", "--format", "json"]);
    let never: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let keys: Vec<&serde_json::Value> =
        never["never_set"].as_array().unwrap().iter().map(|of| &of["key"]).collect();
    assert!(keys.contains(&&serde_json::json!("net/ipv4/conf/all/rp_filter")), "{never}");
    world.fw.sysctl(&[("ipv4/conf/all/rp_filter".to_owned(), "0")]).unwrap();
    let told = world.done(&["drift"]);
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    assert!(said(&told).contains("sysctl net.ipv4.conf.all.rp_filter is 0"), "{}", said(&told));
}
