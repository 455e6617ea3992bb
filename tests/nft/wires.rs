//! What the kernel does with a packet between two hooks, on its way through a router with two wires; and that the simulator, which
//! says what a hook does with a packet that reaches it, takes none of it for granted.
//!
//! The router is a namespace, the sender a second one, the far wire ends in nobody. The sender has two addresses: one on the wire,
//! and one to which the router would send by the far wire (the *asymmetric* one); a third one the router has no route to at all.

use fwc::net::{CtState, Packet, Proto, Space, Verdict};
use fwc::target::nft::artifact::Hook;
use fwc::target::nft::read;
use fwc::target::nft::sim::{self, Reading};

use crate::loads::{in_namespace, programs};

/// `$1`: nft. The functions: `load` (a ruleset from standard input), `sends SOURCE [TTL]` (a datagram to 10.8.0.5 port 9000), `strict N`
/// (`rp_filter`). The second namespace ends with this one.
const ROUTER: &str = r#"
ip link set lo up
unshare -n sleep 20 & peer=$!
trap 'kill $peer' EXIT
until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
there() { nsenter -t $peer -n "$@"; }
ip link add near type veth peer name wire && ip link add far type veth peer name end
ip link set wire netns $peer && ip link set end netns $peer
ip addr add 10.9.0.1/24 dev near && ip addr add 10.8.0.1/24 dev far && ip link set near up && ip link set far up
there ip addr add 10.9.0.2/24 dev wire; there ip link set wire up; there ip link set end up
there ip link set lo up; there ip addr add 192.0.2.9/32 dev lo; there ip addr add 198.51.100.9/32 dev lo
there ip route add 10.8.0.0/24 via 10.9.0.1; there ip neigh add 10.9.0.1 dev wire lladdr "$(ip -o link show near | sed 's/.*ether \([^ ]*\).*/\1/')"
ip neigh add 10.8.0.5 dev far lladdr 02:00:00:00:00:05
ip route add 192.0.2.0/24 dev far
echo 1 > /proc/sys/net/ipv4/ip_forward
strict() { for at in all near far; do echo $1 > /proc/sys/net/ipv4/conf/$at/rp_filter; done; }
sends() { there python3 -c "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('$1', 40000)); s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ${2:-64}); s.sendto(b'x', ('10.8.0.5', 9000))"; }
damaged() { there python3 -c "
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
s.sendto(struct.pack('!HHIIBBHHH', 40000, 9000, 1, 0, 0x50, 2, 8192, 0, 0), ('10.8.0.5', 0))"; }
counts() { "$nft" list counters | sed -n 's/.*packets \([0-9]*\) .*/\1/p' | tr '\n' ' '; echo; "$nft" reset counters > /dev/null; }
nft=$1; "$nft" -f - || exit 1
"#;

/// Counts, in the order of the text: at prerouting, there those without a way back by the wire they came by, at forward.
const SEEN: &str = "table ip seen {
	counter a {
	}
	counter b {
	}
	counter c {
	}
	chain pre {
		type filter hook prerouting priority 0; policy accept;
		udp dport 9000 counter name a
		udp dport 9000 fib saddr . iif oif missing counter name b
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		udp dport 9000 counter name c
	}
}
";

/// What `rp_filter` says, whose packet, and how often it is counted at prerouting, without a way back, and at forward.
const SOURCES: [(u8, &str, &str, [usize; 3]); 9] = [
    (0, "the wire's own", "10.9.0.2", [1, 0, 1]),
    (1, "the wire's own", "10.9.0.2", [1, 0, 1]),
    (2, "the wire's own", "10.9.0.2", [1, 0, 1]),
    (0, "one that answers would leave by another wire", "192.0.2.9", [1, 1, 1]),
    (1, "strict: it dies in routing, between the hooks", "192.0.2.9", [1, 1, 0]),
    (2, "loose, what fwc sets: some way back is enough", "192.0.2.9", [1, 1, 1]),
    (0, "one to which there is no way at all", "198.51.100.9", [1, 1, 1]),
    (1, "strict", "198.51.100.9", [1, 1, 0]),
    (2, "loose, too", "198.51.100.9", [1, 1, 0]),
];

#[test]
fn the_kernel_filters_reverse_paths_between_the_hooks() {
    let Some((name, nft)) = programs().pop() else { return };
    let mut script = ROUTER.to_owned();
    for (strict, _, source, _) in SOURCES {
        script += &format!("strict {strict}; sends {source}; counts\n");
    }
    let said = in_namespace(&nft, &script, SEEN).unwrap_or_else(|why| panic!("{name}: {why}"));
    let lines: Vec<Vec<usize>> = said.lines().map(numbers).collect();
    assert_eq!(lines.len(), SOURCES.len(), "{said}");
    for ((strict, what, source, meant), seen) in SOURCES.into_iter().zip(lines) {
        assert_eq!(seen, meant, "{name}: rp_filter={strict}, {source}: {what}");
    }
}

/// The simulator says of the forward hook what it does with packets that reach it, whatever their source; who asks a rule for the way
/// back gets two bounds and the words of what they hang on.
#[test]
fn the_simulator_takes_no_reverse_path_for_granted() {
    let table = |hook: &str, rule: &str| {
        format!(
            "table ip t {{\n\tchain c {{\n\t\ttype filter hook {hook} priority 0; policy accept;\n\t\t{rule}\n\t}}\n}}\n"
        )
    };
    for source in ["10.9.0.2", "192.0.2.9", "198.51.100.9"] {
        let packet = Packet::new(source.parse().unwrap(), [10, 8, 0, 5].into(), Proto::UDP, 40_000, 9000)
            .at("near", "far");
        let plain = read::read(&table("forward", "udp dport 9001 drop")).unwrap().ruleset;
        assert_eq!(sim::run(&plain, Hook::Forward, &packet).verdict.verdict(), Some(Verdict::Accept));
        let packet = packet.at("near", "");
        let asks = read::read(&table("prerouting", "udp dport 9000 fib saddr . iif oif missing drop"))
            .unwrap()
            .ruleset;
        assert_eq!(sim::run(&asks, Hook::Prerouting, &packet).verdict.verdict(), None);
        let mut space = Space::default();
        let admits = sim::admits(&asks, Hook::Prerouting, &mut space).unwrap();
        assert!(
            !space.contains(admits.accepted, &packet).unwrap()
                && space.contains(admits.unknown, &packet).unwrap()
        );
        let other = Packet { dport: 9001, ..packet.clone() };
        assert!(space.contains(admits.accepted, &other).unwrap());
        let reading = Reading { conditions: true, ..Reading::default() };
        let effects = sim::outline(&asks, Hook::Prerouting, &reading, &mut space).unwrap();
        let named = space.atoms().into_iter().map(|(_, words)| words).collect::<Vec<_>>();
        assert_eq!(named, ["`fib saddr . iif oif missing`"]);
        assert!(space.is_empty(effects.admits.unknown).unwrap());
    }
}

/// Where a packet is translated to the router itself it goes to input: which address `redirect` gives, the simulator does not know.
#[test]
fn what_is_redirected_goes_to_input() {
    const RULES: &str = "table ip t {
	counter a {
	}
	counter b {
	}
	chain pre {
		type nat hook prerouting priority -100; policy accept;
		udp dport 9000 redirect to :9001
	}
	chain inp {
		type filter hook input priority 0; policy accept;
		ip daddr 10.9.0.1 udp dport 9001 counter name a
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		meta l4proto udp counter name b
	}
}
";
    let rules = read::read(RULES).unwrap().ruleset;
    let packet = |port| {
        Packet::new([10, 9, 0, 2].into(), [10, 8, 0, 5].into(), Proto::UDP, 40_000, port).at("near", "")
    };
    assert_eq!(sim::run(&rules, Hook::Prerouting, &packet(9000)).verdict.verdict(), None);
    assert_eq!(sim::run(&rules, Hook::Prerouting, &packet(9002)).verdict.verdict(), Some(Verdict::Accept));
    let mut space = Space::default();
    let admits = sim::admits(&rules, Hook::Prerouting, &mut space).unwrap();
    assert!(space.contains(admits.unknown, &packet(9000)).unwrap());
    assert!(space.contains(admits.accepted, &packet(9002)).unwrap());
    let Some((name, nft)) = programs().pop() else { return };
    let script = format!("{ROUTER}sends 10.9.0.2; counts");
    let said = in_namespace(&nft, &script, RULES).unwrap_or_else(|why| panic!("{name}: {why}"));
    assert_eq!(numbers(&said), [1, 0], "{name}: {said}");
}

/// A packet whose sum is wrong is invalid, and new where nobody looks at sums: by the state that it is told, the simulator decides.
#[test]
fn a_wrong_sum_is_invalid_unless_nobody_looks() {
    const RULES: &str = "table ip t {
	counter a {
	}
	counter b {
	}
	chain pre {
		type filter hook prerouting priority 0; policy accept;
		tcp dport 9000 ct state new counter name a
		tcp dport 9000 ct state invalid counter name b
	}
}
";
    let Some((name, nft)) = programs().pop() else { return };
    let checks =
        |on: u8| format!("echo {on} > /proc/sys/net/netfilter/nf_conntrack_checksum; damaged; counts\n");
    let script = format!("{ROUTER}{}{}", checks(1), checks(0));
    let said = in_namespace(&nft, &script, RULES).unwrap_or_else(|why| panic!("{name}: {why}"));
    assert_eq!(said.lines().map(numbers).collect::<Vec<_>>(), [[0, 1], [1, 0]], "{name}: {said}");
    let rules = read::read(&RULES.replace("counter name b", "drop")).unwrap().ruleset;
    for (ct, verdict) in [(CtState::New, Verdict::Accept), (CtState::Invalid, Verdict::Drop)] {
        let packet = Packet::new([10, 9, 0, 2].into(), [10, 8, 0, 5].into(), Proto::TCP, 40_000, 9000);
        let packet = Packet { ct, ..packet }.at("near", "");
        assert_eq!(sim::run(&rules, Hook::Prerouting, &packet).verdict.verdict(), Some(verdict));
    }
}

/// The hook at which a packet is forwarded sees a hop less than it came with, and one with a single hop left is not forwarded.
#[test]
fn forward_sees_a_hop_less() {
    const RULES: &str = "table ip t {
	counter a {
	}
	counter b {
	}
	chain pre {
		type filter hook prerouting priority 0; policy accept;
		ip ttl 9 counter name a
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		ip ttl 8 counter name b
	}
}
";
    let rules = read::read(&RULES.replace("counter name b", "drop")).unwrap().ruleset;
    let packet = Packet::new([10, 9, 0, 2].into(), [10, 8, 0, 5].into(), Proto::UDP, 40_000, 9000);
    let at_forward = |ttl| {
        let packet = Packet { ttl, ..packet.clone() }.at("near", "far");
        sim::run(&rules, Hook::Forward, &packet).verdict.verdict()
    };
    assert_eq!((at_forward(8), at_forward(9)), (Some(Verdict::Drop), Some(Verdict::Accept)));
    let Some((name, nft)) = programs().pop() else { return };
    let script = format!(
        "{ROUTER}sends 10.9.0.2 9; counts; sends 10.9.0.2 1; \"$1\" flush ruleset; \"$1\" -f - <<'E'\n{SEEN}\nE\nsends 10.9.0.2 1; counts"
    );
    let said = in_namespace(&nft, &script, RULES).unwrap_or_else(|why| panic!("{name}: {why}"));
    assert_eq!(said.lines().map(numbers).collect::<Vec<_>>(), [vec![1, 1], vec![1, 0, 0]], "{name}: {said}");
}

fn numbers(line: &str) -> Vec<usize> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}
