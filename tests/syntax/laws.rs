//! `parse ∘ fmt == parse`, but for places, and `fmt ∘ fmt == fmt`, on random statements in random layout.

use proptest::prelude::*;

use crate::Text;

/// A blank as authors leave it outside of braces: lines may end, comments may stand.
const GAPS: &[&str] = &[" ", " ", " ", "  ", "\t", "\n    ", "\n\n  ", "  # why\n    ", "\r\n"];
/// What ends an item.
const ENDS: &[&str] = &["; ", ";", "\n", " ;\n\n", "  # so\n", ";  # so\n    # and so\n"];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a",
        "web",
        "nas1",
        "lb_2",
        "node-exporter",
        "log",
        "port",
        "as",
        "x",
        "dnat",
        "fe80",
    ])
    .prop_map(str::to_owned)
}

fn address() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "10.1.1.1",
        "10.0.0.0/8",
        "10.0.0.1-10.0.0.9",
        "2001:db8::/32",
        "::1",
        "fe80::1",
    ])
    .prop_map(str::to_owned)
}

/// Some of `of`; the comma has blanks, or none, around it.
fn some(of: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let comma = prop::sample::select(vec![",", ", ", " , ", ",\n", ", # more\n  "]);
    prop::collection::vec((of, comma), 1..9).prop_map(|parts| {
        let mut out = String::new();
        for (at, (part, comma)) in parts.iter().enumerate() {
            out.push_str(if at > 0 { comma } else { "" });
            out.push_str(part);
        }
        out
    })
}

fn place() -> impl Strategy<Value = String> {
    prop_oneof![
        name(),
        address(),
        (name(), name()).prop_map(|(a, b)| format!("{a}.{b}")),
        Just("anywhere".to_owned())
    ]
}

fn places() -> impl Strategy<Value = String> {
    let except = prop::option::of(some(place()));
    (some(place()), except)
        .prop_map(|(plus, minus)| minus.map_or(plus.clone(), |m| format!("{plus} except {m}")))
}

fn service() -> impl Strategy<Value = String> {
    let fixed = vec![
        "any",
        "tcp 80",
        "udp 1-9",
        "tcp",
        "tcp 5000 from 1024-65535",
        "icmp echo-request",
        "icmpv6 type 128 code 0",
        "proto esp",
        "proto 112",
    ];
    prop_oneof![
        name().prop_filter("no name", |n| n != "log"),
        prop::sample::select(fixed).prop_map(str::to_owned)
    ]
}

/// A block of items, in whatever layout.
fn block(items: Vec<&'static str>, least: usize) -> impl Strategy<Value = String> {
    let item = (prop::sample::select(items), prop::sample::select(ENDS.to_vec()));
    (
        prop::collection::vec(item, least..6),
        prop::sample::select(vec!["{", "{ ", "{\n", "{  # in\n\n", "{\n# in\n"]),
    )
        .prop_map(|(items, open)| {
            let items: String = items.into_iter().map(|(item, end)| format!("{item}{end}")).collect();
            format!("{open}{items}}}")
        })
}

fn access() -> impl Strategy<Value = String> {
    let clause = prop::sample::select(vec![
        "",
        "dnat to x.y port 22 hairpin",
        "masquerade",
        "snat to a.b",
        "ipvs nat to a, b port 8080",
        "as ana, luis",
        "dnat to 10.0.0.1 as ana",
    ]);
    let modifiers = vec![
        "log",
        "limit 10/second burst 20 per source",
        "reason \"a # no comment; { } , here\"",
        "until 2027-06-30",
        "until 2027-06-30T18:00Z",
        "waive lint exposed-panel \"why\"",
        "break-glass \"é\"",
        "owner \"a\"",
    ];
    let gap = || prop::sample::select(GAPS.to_vec());
    (
        some(service()),
        places(),
        places(),
        clause,
        prop::option::of(block(modifiers, 0)),
        [gap(), gap(), gap(), gap()],
    )
        .prop_map(|(services, from, to, clause, block, [a, b, c, d])| {
            let block = block.unwrap_or_default();
            format!("allow {services}{a}from {from}{b}to{c}{to}{d}{clause} {block}")
        })
}

fn statement() -> impl Strategy<Value = String> {
    let host = vec![
        "eth0 10.0.0.1, 2001:db8::1 in a",
        "eth0.1 dynamic in b bridge stateless \"why\"",
        "route a, b except c via d.e",
        "log from a",
        "strict-source",
        "nftables",
        "docker",
        "ssh port 22",
        "host-key \"k\"",
        "l 10.0.0.1,\n10.0.0.2 in a",
    ];
    let zone = vec!["10.0.0.0/8", "rest", "10.0.0.0/8, 10.1.1.1,\n  2001:db8::/32"];
    let expects = vec!["expect deny any from a to b direct", "expect only tcp 1, any from a, b to c as d"];
    prop_oneof![
        4 => access(),
        1 => (name(), places()).prop_map(|(n, p)| format!("group {n}={p}")),
        1 => (name(), places()).prop_map(|(n, p)| format!("security-group {n} = {p}")),
        1 => (name(), places()).prop_map(|(n, p)| format!("group {n}+={p}")),
        1 => (name(), places()).prop_map(|(n, p)| format!("var {n} :place= {p}")),
        1 => (name(), some(service())).prop_map(|(n, s)| format!("var {n}:service\n= {s}")),
        1 => (name(), some(service())).prop_map(|(n, s)| format!("service {n} = {s}")),
        1 => (name(), some(address())).prop_map(|(n, s)| format!("list {n} = {s} prefix-list \"x\"")),
        1 => (name(), block(host.clone(), 0)).prop_map(|(n, b)| format!("firewall {n}{b}")),
        1 => (name(), block(host, 0)).prop_map(|(n, b)| format!("each {n} {b}")),
        1 => (name(), block(zone, 1)).prop_map(|(n, b)| format!("zone {n} {b}\nin v")),
        1 => block(expects, 0).prop_map(|b| format!("test \"t\" {b}")),
        1 => (places(), block(vec!["accept rsa 3072, ed25519", "idle 15m"], 0)).prop_map(|(p, b)| format!("sshd {p} {b}")),
    ]
}

fn policy() -> impl Strategy<Value = String> {
    let end = prop::sample::select(vec![
        "\n",
        "\n\n\n",
        ";",
        "  # trailing\n",
        "\n# own\n",
        "\n\n    # own\n\n",
        "\r\n",
    ]);
    prop::collection::vec((statement(), end), 0..6)
        .prop_map(|parts| parts.into_iter().map(|(statement, end)| statement + end).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn formatting_keeps_the_tree_and_is_done_once(policy in policy()) {
        let text = Text::new(&policy);
        prop_assert_eq!(text.findings(), Vec::<String>::new());
        let once = text.formatted();
        let again = Text::new(&once);
        prop_assert_eq!(again.shape(), text.shape());
        prop_assert_eq!(again.formatted(), once);
    }
}
