//! The probes of the CRM, `policies/crm/probes.txt`: what the policy means, what the emitted rulesets do, and what
//! the kernel does with them.
//!
//! End to end the kernel is asked in a copy of the whole site, in namespaces, with every machine's ruleset loaded; a probe
//! `at HOST HOOK` at a bench of that machine. The table of all answers stands in `policies/crm/README.md`, and this is
//! the test that it is true (`INSTA_UPDATE=always` writes it anew).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a probe that cannot be read fails the test")]
#![allow(clippy::disallowed_methods, reason = "tests read the checkout")]
#![allow(clippy::indexing_slicing, reason = "answers are in the order of the questions")]

mod common;
mod table;
mod three_way;

use std::sync::LazyLock;

use common::{compiled, crm};
use fwc::net::packet::tcp_flag;
use fwc::net::{Packet, Proto, Verdict};
use fwc::verify::trace::trace;
use three_way::Row;

const PROBES: &str = "policies/crm/probes.txt";
const README: &str = "policies/crm/README.md";

/// Asked once, for all tests.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| three_way::rows(&compiled(&crm()), PROBES));

#[test]
fn every_probe_has_its_verdict_in_policy_simulator_and_kernel() {
    three_way::all_agree(&ROWS);
}

/// The section of a trap: each of its probes is refused by all who were asked.
fn refused(section: &str, at_least: usize) {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.section.contains(section)).collect();
    assert!(rows.len() >= at_least, "{section}: {} probes", rows.len());
    for row in rows {
        for answer in [Some(&row.policy), Some(&row.simulator), row.kernel.as_ref()].into_iter().flatten() {
            assert!(matches!(answer.word, "drop" | "stopped"), "{}: {}", row.question, answer.text());
        }
    }
}

#[test]
fn trap_the_side_door_virbr0_is_shut() {
    refused("virbr0", 4);
}

#[test]
fn trap_the_balancer_forwards_nothing() {
    refused("the balancer forwards", 2);
}

#[test]
fn trap_an_echo_reply_is_no_ping() {
    refused("echo-reply", 2);
}

#[test]
fn trap_nothing_is_left_of_the_template() {
    refused("template leftovers", 5);
}

#[test]
fn trap_nobody_is_nagios_by_saying_so() {
    refused("spoofed Nagios", 2);
}

/// nmap asks first whether a host is there (nmap(1), HOST DISCOVERY: echo-request, SYN to 443, ACK to 80, timestamp);
/// one that does not answer is left out. GES answers none of the four, and is open all the same: `nmap -Pn`.
#[test]
fn trap_plain_nmap_does_not_see_ges() {
    let (compiled, c1) = (compiled(&crm()), "10.1.1.11");
    let open = |dst: &str| -> (bool, Vec<u16>) {
        let arrives = |packet: &Packet| {
            trace(&compiled.site, &compiled.artifacts, packet)
                .is_ok_and(|hops| hops.iter().all(|hop| hop.verdict == Verdict::Accept))
        };
        let (src, dst) = (c1.parse().unwrap(), dst.parse().unwrap());
        let tcp = |port| Packet::new(src, dst, Proto::TCP, 40_000, port);
        let ack = Packet { tcp_flags: tcp_flag::ACK, ..tcp(80) };
        let found = [Packet::icmp(src, dst, 8, 0), tcp(443), ack, Packet::icmp(src, dst, 13, 0)];
        let ports = [22, 80, 443, 3000, 5432, 5666, 8001, 24_007, 49_152];
        (found.iter().any(arrives), ports.into_iter().filter(|port| arrives(&tcp(*port))).collect())
    };
    assert_eq!(open("10.1.2.2"), (true, vec![80]), "the balancer");
    assert_eq!(open("10.1.5.52"), (true, vec![80]), "Nagios: the ACK to port 80 finds it");
    assert_eq!(open("10.1.5.51"), (false, vec![22]), "GES");
    for hidden in ["10.1.1.1", "10.1.3.11", "10.1.4.21", "10.1.4.31", "10.1.5.11"] {
        assert_eq!(open(hidden), (false, vec![]), "{hidden}");
    }
}

#[test]
fn the_readme_says_what_was_tried() {
    three_way::in_the_readme(README, &ROWS);
}
