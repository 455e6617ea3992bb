//! `fwc lab` as a person runs it: three opinions that agree, each that can be seen to differ, and nothing left behind.
//!
//! What the lab needs is broken by programs called `ip` and `nft` that stand before the real ones in `PATH`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends in a panic")]
#![allow(clippy::disallowed_methods, reason = "runs the program, and kills it")]

mod common;
#[path = "lab/left.rs"]
mod left;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::kernel;

const NOBODY: u32 = 65_534;

/// The program, and the policies, where anybody may read them.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("fwc");
    fs::copy(env!("CARGO_BIN_EXE_fwc"), &program).unwrap();
    // A child that another test is just starting may hold the file open for writing until it is another program.
    let busy = || matches!(Command::new(&program).arg("--version").output(), Err(e) if e.kind() == ErrorKind::ExecutableFileBusy);
    while busy() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for site in ["starter-firewall", "starter-host"] {
        fs::create_dir(place.path().join(site)).unwrap();
        let from = common::root().join("policies").join(site).join("policy.fw");
        fs::copy(from, place.path().join(site).join("policy.fw")).unwrap();
    }
    place
}

fn lab(place: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(place.join("fwc"));
    command.arg("lab").args(args).current_dir(place).stdin(Stdio::null());
    command
}

fn ends(mut command: Command, code: i32) -> (String, String) {
    let output: Output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

/// A program of this name before the real one; `$REAL` is the real one.
fn before(place: &Path, name: &str, script: &str) -> String {
    let path = std::env::var("PATH").unwrap();
    let real = path.split(':').chain(["/usr/sbin", "/sbin"]).map(|dir| PathBuf::from(dir).join(name));
    let real = real.into_iter().find(|path| path.is_file()).unwrap();
    let folder = place.join("before");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\nREAL={}\n{script}\n", real.display())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{path}", folder.display())
}

#[test]
fn three_opinions_agree_on_every_expectation() {
    if !kernel() {
        return;
    }
    let place = place();
    for site in ["starter-firewall", "starter-host"] {
        let (out, err) = ends(lab(place.path(), &[site]), 0);
        assert_eq!(err, "");
        assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
        assert!(out.contains("accept") && out.contains("stopped"), "both ends are tried: {out}");
    }
}

/// What is said `as` somebody is sent by that person's user; without rights there is no user but one, and that is told.
#[test]
fn packets_of_people_are_sent_by_their_users() {
    if !kernel() {
        return;
    }
    let place = place();
    let folder = place.path().join("starter-bastion");
    fs::create_dir_all(folder.join("keys")).unwrap();
    for name in ["policy.fw", "keys/ana.pub", "keys/luis.pub"] {
        fs::copy(common::root().join("policies/starter-bastion").join(name), folder.join(name)).unwrap();
    }
    let (out, _) = ends(lab(place.path(), &["starter-bastion"]), 0);
    assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
    let row = |words: &str| out.lines().find(|line| line.starts_with(words)).unwrap().to_owned();
    let denied = row("expect deny any from gate to internet as ana, luis");
    assert!(denied.contains("stopped") && !denied.contains("accept"), "{out}");
    assert!(row("expect allow postgres from gate to db as luis").contains("accept"), "{out}");
    let mut command = lab(place.path(), &["starter-bastion"]);
    command.uid(NOBODY).gid(NOBODY);
    let (out, _) = ends(command, 0);
    assert!(out.lines().last().unwrap().ends_with("that cannot be sent here"), "{out}");
}

/// A source that is in no zone, and a state that EC2 alone gives, are no fault of a table of probes.
#[test]
fn the_sites_on_aws_go_through() {
    if !kernel() {
        return;
    }
    let place = place();
    for (site, row) in [
        ("crm-aws", "10.1.1.11 -> 10.1.2.10 icmp/0.0 new "),
        ("ecommerce", "10.0.99.9 -> 10.0.1.30 tcp/3000 new "),
    ] {
        let policy = common::root().join("policies").join(site).display().to_string();
        let (out, _) = ends(lab(place.path(), &[&policy]), 0);
        let found = out.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("{row}: {out}"));
        assert!(found.contains("unsent (") || found.contains("group"), "{found}");
    }
}

#[test]
fn programs_are_told_every_packet() {
    if !kernel() {
        return;
    }
    let place = place();
    let (out, _) = ends(lab(place.path(), &["starter-host", "--host", "web", "--format", "json"]), 0);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let packets = told["packets"].as_array().unwrap();
    assert!(told["fine"] == true && packets.len() > 100, "{out}");
    for packet in packets {
        assert!(packet["agree"] == true && packet["kernel"]["verdict"].is_string(), "{packet}");
    }
}

#[test]
fn a_probe_with_another_verdict_is_the_policys_fault() {
    if !kernel() {
        return;
    }
    let place = place();
    let probes = "# the web server\n198.51.100.7 -> 192.0.2.10 tcp/22 new accept\n";
    fs::write(place.path().join("wrong.txt"), probes).unwrap();
    let (out, _) = ends(lab(place.path(), &["starter-host", "--probes", "wrong.txt"]), 1);
    assert!(out.contains("# the web server") && out.contains("<- wanted: accept"), "{out}");
    assert!(out.contains("1 answer not as wanted"), "{out}");
}

/// A kernel that does another thing than the ruleset says: here, because it was given another one.
#[test]
fn a_kernel_that_differs_is_seen() {
    if !kernel() {
        return;
    }
    let place = place();
    let script = r#"if [ "$1" = -f ]; then sed '/^table inet fwc {/,/^}/s/counter drop/counter accept/' | $REAL "$@"
else exec $REAL "$@"; fi"#;
    let path = before(place.path(), "nft", script);
    let mut command = lab(place.path(), &["starter-firewall"]);
    command.env("PATH", path);
    let (out, _) = ends(command, 1);
    assert!(out.contains("<- differ") && out.contains("policy, simulator and kernel differ on"), "{out}");
}

/// A connection that begins and gets no answer: here, because the firewall lets nothing of it back.
#[test]
fn a_reply_that_does_not_come_back_is_seen() {
    if !kernel() {
        return;
    }
    let place = place();
    let (out, _) = ends(lab(place.path(), &["starter-firewall"]), 0);
    assert!(out.contains(", 17 replies, "), "{out}");
    let script = r#"if [ "$1" = -f ]; then sed 's/established : accept/established : drop/' | $REAL "$@"
else exec $REAL "$@"; fi"#;
    let path = before(place.path(), "nft", script);
    let mut command = lab(place.path(), &["starter-firewall"]);
    command.env("PATH", path);
    let (out, _) = ends(command, 1);
    assert!(out.contains("accept, its reply stopped at fw output") && out.contains("<- differ"), "{out}");
}

/// A connection that is answered and stays mute: here, because the firewall takes no more of it.
#[test]
fn what_follows_a_reply_is_sent_too() {
    if !kernel() {
        return;
    }
    let place = place();
    let script = r#"if [ "$1" = -f ]; then sed -e '/^table inet fwc {/,/^}/{' \
-e '/hook input/a ct state established ct direction original drop' -e '}' | $REAL "$@"
else exec $REAL "$@"; fi"#;
    let path = before(place.path(), "nft", script);
    let mut command = lab(place.path(), &["starter-firewall"]);
    command.env("PATH", path);
    let (out, _) = ends(command, 1);
    assert!(out.contains("accept, what follows its reply stopped at fw input"), "{out}");
}

/// Right policies of which the lab once said otherwise: a handshake that is not TCP's, a limit that two hooks of a director count, and
/// the target of a `hairpin` as a client of its own (S35), and whom the rules cannot tell from another (S65).
#[test]
fn what_the_lab_asks_is_what_is_meant() {
    if !kernel() {
        return;
    }
    let place = place();
    let sctp = format!(
        "{TWO_ZONES}allow proto 132 from a to b\ntest \"t\" {{ expect allow proto 132 from a to b }}\n"
    );
    let director = "zone internet { rest }\nzone back { 10.1.2.0/24 }\n\
        firewall m { wan 198.51.100.2 in internet; eth1 10.1.2.1 in back }\n\
        host r1 { e 10.1.2.11 in back; nftables }\nhost r2 { e 10.1.2.12 in back; nftables }\ngroup web = r1, r2\n\
        allow tcp 8000 from internet to m.internet ipvs nat to web port 8080 { limit 1/minute burst 3 }\n\
        test \"t\" { expect allow tcp 8000 from internet to m.internet }\n";
    let hairpin = "zone lan { 10.1.1.0/24 }\nzone b { 10.1.2.0/24 }\n\
        firewall fw { e0 10.1.1.1 in lan; e1 10.1.2.1 in b }\nhost y = 10.1.1.6 in lan\n\
        allow tcp 91 from lan to fw.lan dnat to y port 80 hairpin\n\
        test \"t\" { expect allow tcp 91 from lan to fw.lan }\n";
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGw7WcR72Xj9h+iGzHIEvmZSfysN//hUkfKThJaq7ZwJ";
    let accounts = format!(
        "zone admin {{ 10.39.0.0/24 }}\nzone srv {{ 10.40.0.0/24 }}\n\
         firewall gate {{ eth0 10.39.0.1 in admin; eth1 10.40.0.1 in srv }}\n\
         host web {{ eth0 10.40.0.11 in srv; nftables }}\nhost db {{ eth0 10.40.0.21 in srv; nftables }}\n\
         user ana {{ key \"{key} ana\" }}\nuser luis {{ key \"{}B luis\" }}\n\
         allow ssh from admin to gate.admin as ana, luis\nallow ssh from gate to web as ana\n\
         allow ssh from gate to db as luis\ntest \"t\" {{ expect deny ssh from gate to db as ana }}\n",
        key.trim_end_matches('J')
    );
    for (name, policy, said) in [
        ("accounts", accounts.as_str(), "agree"),
        ("sctp", sctp.as_str(), "4 replies"),
        ("director", director, "over a limit"),
        ("hairpin", hairpin, "2 replies"),
    ] {
        site(place.path(), name, policy);
        let (out, _) = ends(lab(place.path(), &[name]), 0);
        assert!(out.contains(said), "{name}: {out}");
    }
}

/// Nobody has written to the client's own address before its answer comes there: the answer was sent to the firewall.
#[test]
fn the_answer_to_a_masked_client_comes_back() {
    if !kernel() {
        return;
    }
    let place = place();
    let masked = "zone lan { 192.168.1.0/24 }\nzone internet { rest }\n\
        firewall gw { lan0 192.168.1.1 in lan; wan 198.51.100.1 in internet }\n\
        allow https from lan to internet masquerade\ntest \"t\" { expect allow https from lan to internet }\n";
    let hairpin = "zone world { rest }\nzone srv { 10.3.0.0/24, 2001:db8:3::/64 }\n\
        firewall edge { wan 198.51.100.1, 2001:db8::1 in world; srv0 10.3.0.1, 2001:db8:3::1 in srv }\n\
        host web { eth0 10.3.0.10, 2001:db8:3::10 in srv; nftables }\n\
        allow https from srv to edge.srv dnat to web hairpin\n\
        test \"t\" { expect allow https from srv except web to edge.srv }\n";
    // One of the leg's addresses for whatever goes out, and one that a server has in both directions.
    let named = "zone world { rest }\nzone lan { 10.0.0.0/24 }\n\
        firewall fw { wan 203.0.113.2, 203.0.113.5 in world; lan0 10.0.0.1 in lan }\n\
        host mail { eth0 10.0.0.25 in lan; nftables }\n\
        allow smtp, https from lan except mail to world snat to 203.0.113.2\n\
        allow smtp, https from mail to world snat to 203.0.113.5\n\
        allow smtp from world to 203.0.113.5 dnat to mail\n\
        test \"t\" { expect allow smtp from lan to world; expect allow smtp from world to 203.0.113.5; \
        expect deny smtp from world to 203.0.113.2 }\n";
    for (name, policy) in [("masked", masked), ("hairpin", hairpin), ("named", named)] {
        site(place.path(), name, policy);
        let (out, _) = ends(lab(place.path(), &[name]), 0);
        assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
        assert!(!out.contains("its reply stopped") && out.contains(" replies, "), "{out}");
    }
}

/// S48: what a clause translates, across the bridge of a machine that has nothing to do with it, there and back.
#[test]
fn translated_flows_cross_the_bridge_of_another() {
    if !kernel() {
        return;
    }
    let place = place();
    for (name, how) in [("netfilter", "br_netfilter"), ("stateless", "stateless \"a test\"")] {
        let policy = format!(
            "zone world {{ rest }}\nzone lan {{ 10.0.0.0/24 }}\n\
             firewall fw {{ eth0 192.0.2.1 in world; eth1 10.0.0.1 in lan }}\n\
             host b {{ nftables; br0 10.0.0.2 in lan bridge {how} }}\nhost web = 10.0.0.10 in lan\n\
             allow http from world to fw.world dnat to web port 8080\nallow dns from lan to world masquerade\n\
             test \"t\" {{ expect allow http from world to fw.world; expect allow dns from web to world }}\n"
        );
        site(place.path(), name, &policy);
        let probes = "198.51.100.7 -> 192.0.2.1 tcp/80 new accept\n10.0.0.10 -> 198.51.100.7 udp/53 new accept\n\
            198.51.100.7 -> 10.0.0.10 tcp/8080 new drop\n10.0.0.10 -> 10.0.0.11 tcp/8080 new drop\n";
        fs::write(place.path().join(name).join("probes.txt"), probes).unwrap();
        let (out, _) = ends(lab(place.path(), &[name]), 0);
        assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
        let replies: usize =
            out.split(" replies, ").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(replies >= 4, "{out}");
        assert!(
            out.contains(if name == "netfilter" { "stopped at b forward" } else { "stopped at b bridge" }),
            "{out}"
        );
    }
}

/// S77: members of a zone each alone with the hub that forwards between them, in both families, a gateway and a stranger among them;
/// beside a bridge of the same machine.
#[test]
fn members_of_a_zone_talk_through_its_hub() {
    if !kernel() {
        return;
    }
    let place = place();
    for (name, lan) in
        [("alone", ""), ("beside", " bridge stateless \"a test\""), ("shown", " bridge br_netfilter")]
    {
        let policy = format!(
            "zone road {{ 10.8.0.0/24, fd08::/64 }}\nzone lan {{ 10.0.0.0/24 }}\nzone branch {{ 10.20.0.0/24 }}\n\
             firewall fw {{ wg0 10.8.0.1, fd08::1 in road hub; eth1 10.0.0.1 in lan{lan} }}\n\
             router there {{ wg0 10.8.0.7 in road; eth0 10.20.0.1 in branch }}\n\
             host a = 10.8.0.5, fd08::5 in road\nhost b {{ wg0 10.8.0.6, fd08::6 in road; nftables }}\nhost c = 10.20.0.9 in branch\n\
             allow rdp, ping from a to b\nallow https from road to c\nallow http from road to lan\nallow udp 5353 from road to 224.0.0.251\n\
             test \"t\" {{ expect allow rdp, ping from a to b; expect deny any from b to a; expect allow https from a to c; \
             expect allow udp 5353 from a to 224.0.0.251 }}\n"
        );
        site(place.path(), name, &policy);
        let probes = "10.8.0.5 -> 10.8.0.6 tcp/3389 new accept\n[fd08::5]:40000 -> fd08::6 tcp/3389 new accept\n\
            10.8.0.5 -> 10.8.0.6 tcp/22 new drop\n[fd08::6]:40000 -> fd08::5 tcp/3389 new drop\n\
            10.8.0.99 -> 10.20.0.9 tcp/443 new accept\n10.8.0.99 -> 10.8.0.98 tcp/443 new drop\n[fd08::99]:40000 -> fd08::98 tcp/22 new drop\n\
            10.20.0.9 -> 10.8.0.5 tcp/443 new drop\n10.8.0.5 -> 10.0.0.9 tcp/80 new accept\n";
        fs::write(place.path().join(name).join("probes.txt"), probes).unwrap();
        let (out, _) = ends(lab(place.path(), &[name]), 0);
        assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
        assert!(out.contains("stopped at fw forward"), "{out}");
    }
}

/// S9: what would come back to the router that sent it goes no such way; and to itself a machine talks over no wire.
#[test]
fn no_packet_passes_a_machine_twice() {
    if !kernel() {
        return;
    }
    let place = place();
    let policy = "zone a { 10.1.1.0/24 }\nzone b { 10.1.2.0/24 }\nzone c { 10.1.3.0/24 }\n\
        router g1 { e0 10.1.1.1 in a; e1 10.1.3.1 in c; route b via g2.a }\n\
        router g2 { e0 10.1.1.2 in a; e1 10.1.2.2 in b }\n\
        host h { e0 10.1.2.9 in b; nftables }\nhost p = 10.1.2.7 in b\nallow udp 9 from a to h\n";
    site(place.path(), "twice", policy);
    let probes = "10.1.1.2 -> 10.1.2.7 udp/9 new accept\n10.1.1.9 -> 10.1.2.9 udp/9 new accept\n\
        10.1.1.2 -> 10.1.2.9 udp/10 new drop\n10.1.1.2 -> 10.1.2.2 udp/9 new lost\n";
    fs::write(place.path().join("twice/probes.txt"), probes).unwrap();
    let (out, _) = ends(lab(place.path(), &["twice"]), 0);
    assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
}

/// Who says something to all of its link hears it itself, which is no arrival; from such an address nobody sends.
#[test]
fn a_broadcast_arrives_at_others_and_comes_from_nobody() {
    if !kernel() {
        return;
    }
    let place = place();
    let policy = "zone lan { 10.1.1.0/24 }\nzone dmz { 10.1.2.0/24, 10.1.3.0/24 }\n\
        firewall fw { br0 10.1.1.1 in lan bridge br_netfilter; eth1 10.1.2.1 in dmz }\n\
        host a = 10.1.1.8 in lan\nhost b { eth0 10.1.1.9 in lan; nftables }\nhost c = 10.1.2.9 in dmz\n\
        allow udp 137 from lan to lan, dmz\nallow udp 9 from 10.1.1.128/25 to b, c\n\
        test \"t\" { expect allow udp 137 from lan to lan; expect allow udp 9 from 10.1.1.128/25 to b, c }\n";
    site(place.path(), "link", policy);
    let probes = "10.1.1.8 -> 10.1.1.255 udp/137 new accept\n10.1.1.77 -> 10.1.1.255 udp/137 new accept\n\
        10.1.1.8 -> 10.1.1.255 udp/138 new drop\n10.1.1.9 -> 10.1.1.255 udp/138 new drop\n\
        10.1.1.8 -> 10.1.2.255 udp/137 new drop\n10.1.1.8 -> 10.1.3.255 udp/137 new lost\n";
    fs::write(place.path().join("link/probes.txt"), probes).unwrap();
    let (out, _) = ends(lab(place.path(), &["link"]), 0);
    assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
    let row = |words: &str| out.lines().find(|line| line.starts_with(words)).unwrap().to_owned();
    assert!(row("10.1.1.8 -> 10.1.1.255 udp/138").contains("stopped at fw forward"), "{out}");
}

/// The router and the bridge behind it see a packet with the same time to live: it was stopped where it was seen last.
#[test]
fn what_a_bridge_behind_a_router_stops_is_stopped_there() {
    if !kernel() {
        return;
    }
    let place = place();
    for (name, how, hook) in
        [("netfilter", "br_netfilter", "forward"), ("stateless", "stateless \"a test\"", "bridge")]
    {
        let policy = format!(
            "zone seg {{ 10.7.0.0/24 }}\nzone up {{ 10.8.0.0/24 }}\n\
             firewall br {{ br0 10.7.0.254 in seg bridge {how} }}\n\
             router gwr {{ e0 10.7.0.1 in seg; e1 10.8.0.1 in up }}\n\
             host b = 10.7.0.11 in seg\nhost c = 10.8.0.11 in up\nallow https from c to b\n\
             test \"t\" {{ expect only https from c to b }}\n"
        );
        site(place.path(), name, &policy);
        let probes = "10.8.0.11 -> 10.7.0.11 tcp/22 new drop\n10.7.0.11 -> 10.8.0.11 tcp/443 new drop\n\
            10.8.0.12 -> 10.7.0.11 tcp/443 new drop\n";
        fs::write(place.path().join(name).join("probes.txt"), probes).unwrap();
        let (out, _) = ends(lab(place.path(), &[name]), 0);
        assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
        assert!(out.contains(&format!("stopped at br {hook}")) && !out.contains("stopped at gwr"), "{out}");
    }
}

/// S14: each machine that filters hears a group by itself; S45: what IPVS would send on is not called the kernel's word.
#[test]
fn groups_are_heard_and_ipvs_is_emulated() {
    if !kernel() {
        return;
    }
    let place = place();
    let site = common::root().join("policies/lvs");
    let [policy, option, probes] = ["policy.fw", "options/vrrp.fw", "options/vrrp-probes.txt"]
        .map(|name| site.join(name).display().to_string());
    let (out, _) = ends(lab(place.path(), &[&policy, &option, "--probes", &probes]), 0);
    let row = |question: &str| {
        out.lines().find(|line| line.starts_with(question)).unwrap_or_else(|| panic!("{question}: {out}"))
    };
    for hearer in ["master", "node1", "node2"] {
        let words =
            row(&format!("192.168.100.4 -> 224.0.0.18 112 new heard by {hearer} ")).split_whitespace();
        assert_eq!(words.filter(|word| *word == "accept").count(), 3, "{out}");
    }
    assert!(row("192.168.100.50 -> 224.0.0.18 112 new heard by backup").contains("stopped at backup input"));
    let last = out.lines().last().unwrap();
    assert!(!last.contains("kernel agree;") && last.contains("that IPVS would send on"), "{last}");
    let (out, _) = ends(lab(place.path(), &[&policy]), 0);
    let row = out
        .lines()
        .find(|line| line.starts_with("198.51.100.10:40000 -> 192.168.100.1 tcp/8000 new"))
        .unwrap();
    assert!(row.contains("emulated (IPVS is no part of the lab"), "{row}");
}

/// Under `dr` nobody can make at a director what it hands on, nor show it to a real server of the bench: that says nothing against the rules.
#[test]
fn what_cannot_be_asked_behind_a_director_is_no_difference() {
    if !kernel() {
        return;
    }
    let place = place();
    for (name, net, gate) in [("four", "10.", "/24"), ("six", "fd0", "/64")] {
        let addr = |zone: u8, host: &str| match name {
            "four" => format!("{net}{zone}.0.{host}"),
            _ => format!("{net}{zone}::{host}"),
        };
        let zone = |zone: u8| addr(zone, if name == "four" { "0" } else { "" }) + gate;
        let policy = format!(
            "zone a {{ {} }}\nzone d {{ {} }}\nfirewall r0 {{ e0 {} in a; e1 {} in d }}\nfirewall m {{ e0 {} in d }}\n\
             host c = {} in a\nhost s {{ e0 {} in d; nftables }}\nallow tcp 80 from c to m ipvs dr to s\n\
             test \"x\" {{ expect allow tcp 80 from c to m }}\n",
            zone(1),
            zone(4),
            addr(1, "1"),
            addr(4, "1"),
            addr(4, "3"),
            addr(1, "9"),
            addr(4, "20")
        );
        site(place.path(), name, &policy);
        let (out, _) = ends(lab(place.path(), &[name]), 0);
        assert!(out.contains("1 emulated") && out.contains("that IPVS would send on"), "{out}");
    }
}

/// S77: what the hub's leg does not carry comes to no member, and none is asked for.
#[test]
fn a_hub_of_one_family_carries_no_other() {
    if !kernel() {
        return;
    }
    let place = place();
    let policy = "zone road { 10.8.0.0/24, 2001:db8:8::/64 }\nzone lan { 10.1.0.0/24 }\n\
        firewall f { wg0 10.8.0.1 in road hub; e0 10.1.0.1 in lan }\n\
        host p { wg0 10.8.0.2, 2001:db8:8::2 in road; nftables }\nhost s = 10.1.0.5 in lan\nallow http from p to s\n\
        test \"t\" { expect allow http from p to s }\n";
    site(place.path(), "one", policy);
    let (out, _) = ends(lab(place.path(), &["one"]), 0);
    assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
}

/// S80: a member that filters and has no way back drops the packet before its hooks: all three say so.
#[test]
fn what_has_no_way_back_is_dropped_before_the_hooks() {
    if !kernel() {
        return;
    }
    let place = place();
    let policy = "zone a { 10.1.0.0/24 }\nzone b { 10.2.0.0/24 }\nzone d { 10.4.0.0/24 }\n\
        firewall f0 { e0 10.1.0.1 in a; e1 10.2.0.1 in b; e2 10.4.0.1 in d }\n\
        host h4 { eth0 10.1.0.14 in a; eth1 10.4.0.124 in d; nftables }\nallow ssh from b to d\n";
    site(place.path(), "deaf", policy);
    let probes = "10.2.0.9 -> 10.4.0.124 tcp/22 new drop\n10.2.0.9 -> 10.4.0.9 tcp/22 new accept\n";
    fs::write(place.path().join("deaf/probes.txt"), probes).unwrap();
    let (out, _) = ends(lab(place.path(), &["deaf"]), 0);
    assert!(out.contains("drop at h4 the wire") && out.contains("stopped at h4 the wire"), "{out}");
}

/// What an expectation names is sent: protocols by number, and the broadcast of the link.
#[test]
fn what_an_expectation_names_is_sent() {
    if !kernel() {
        return;
    }
    let place = place();
    let named = "zone lan { 10.0.0.0/24 }\nhost a { e 10.0.0.2 in lan; nftables }\nhost b { e 10.0.0.3 in lan; nftables }\n\
        allow vrrp from a to 224.0.0.18\nallow udp 67 from a to 255.255.255.255\nallow proto 99 from a to b\n\
        test \"t\" { expect allow vrrp from a to 224.0.0.18; expect allow udp 67 from a to 255.255.255.255\n\
        expect allow proto 99 from a to b; expect deny proto 99 from b to a }\n";
    let link = "zone lan { 10.0.1.0/24 }\nhost pc { eth0 10.0.1.50 in lan; nftables }\nhost other = 10.0.1.60 in lan\n\
        allow udp 137 from lan to 10.0.1.255\ntest \"t\" { expect allow udp 137 from pc to 10.0.1.255 }\n";
    site(place.path(), "link", link);
    let (out, _) = ends(lab(place.path(), &["link"]), 0);
    assert!(
        out.contains("expect allow udp 137 from pc to 10.0.1.255  1 accept") && !out.contains("repl"),
        "{out}"
    );
    site(place.path(), "named", named);
    let (out, _) = ends(lab(place.path(), &["named"]), 0);
    let rows: Vec<&str> = out.lines().filter(|line| line.starts_with("expect allow")).collect();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.matches("1 accept").count() == 3), "{out}");
}

/// Where `except` takes away the address that would stand for a zone, another does; and where nobody can, that is said.
#[test]
fn what_except_leaves_is_sent_and_what_is_not_sent_is_said() {
    if !kernel() {
        return;
    }
    let place = place();
    let left = "zone lan { 10.0.1.0/24 }\nzone wan { rest }\nzone link { 10.0.9.0/31 }\n\
        firewall fw { eth0 203.0.113.2 in wan; eth1 10.0.1.1 in lan; eth2 10.0.9.0 in link }\n\
        router up { a 10.0.9.1 in link }\nhost web = 10.0.1.80 in lan\n\
        allow http from wan except 198.51.100.0/24, 203.0.113.0/24 to web\nallow http from link to web\n\
        allow http from 10.0.1.0/24 except 10.0.1.0/28, 10.0.1.240/28 to wan\n\
        test \"t\" { expect allow http from wan except 198.51.100.0/24, 203.0.113.0/24 to web\n\
        expect allow http from 10.0.1.0/24 except 10.0.1.0/28, 10.0.1.240/28 to wan\n\
        expect allow http from link to web }\n";
    site(place.path(), "left", left);
    let (out, _) = ends(lab(place.path(), &["left"]), 0);
    let rows: Vec<&str> = out.lines().filter(|line| line.starts_with("expect allow")).collect();
    assert!(rows.len() == 3 && rows[..2].iter().all(|row| row.matches(" accept").count() == 3), "{out}");
    assert!(rows[2].ends_with("<- no packet of it is sent in the lab"), "{out}");
    assert!(out.ends_with("agree; 1 expectation of which no packet was sent\n"), "{out}");
    let (json, _) = ends(lab(place.path(), &["left", "--format", "json"]), 0);
    assert!(
        json.contains("\"untried\"") && json.contains("\"expect allow http from link to web\""),
        "{json}"
    );
}

/// A firewall sends from whatever address of its own it likes: by its routes, as `trace` has it.
#[test]
fn a_source_of_another_leg_is_sent_by_the_routes() {
    if !kernel() {
        return;
    }
    let place = place();
    let policy = format!(
        "{TWO_ZONES}host logs = 10.0.2.2 in b\nallow http from a to logs\nallow syslog from fw to logs\n\
         allow icmp type 8 from a to logs\n"
    );
    site(place.path(), "other", &policy);
    let probes = "10.0.1.1 -> 10.0.2.2 udp/514 new drop\n10.0.2.1 -> 10.0.2.2 udp/514 new accept\n\
        10.0.1.9 -> 10.0.2.2 icmp/8.7 new accept\n";
    fs::write(place.path().join("other/probes.txt"), probes).unwrap();
    let (out, _) = ends(lab(place.path(), &["other"]), 0);
    assert!(out.contains("drop at fw output") && out.contains("stopped at fw output"), "{out}");
}

/// A kernel that routes otherwise than the proof assumes.
#[test]
fn a_kernel_that_routes_otherwise_is_seen() {
    if !kernel() {
        return;
    }
    let place = place();
    // What the firewall has on a link it takes for unreachable, at one address.
    let script = r#"case "$*" in
"-batch -") sed 's/^route replace 192.0.2.0\/24 dev eth1$/&\nroute replace unreachable 192.0.2.254\/32/' | $REAL "$@";;
*) exec $REAL "$@";; esac"#;
    let path = before(place.path(), "ip", script);
    let policy = "zone lan { 192.0.2.0/24 }\nzone dmz { 198.51.100.0/24 }\n\
        firewall fw { eth1 192.0.2.1 in lan; eth2 198.51.100.1 in dmz }\nhost far = 192.0.2.254 in lan\n\
        allow ssh from dmz to lan\ntest \"t\" { expect allow ssh from dmz to lan }\n";
    site(place.path(), "routed", policy);
    let mut command = lab(place.path(), &["routed"]);
    command.env("PATH", path);
    let (out, _) = ends(command, 1);
    assert!(out.contains("fw to 192.0.2.254: the kernel nowhere"), "{out}");
    assert!(out.contains("that the kernel does not have"), "{out}");
}

/// No verdict of a dead harness: a site whose wires carry nothing is no site that stops everything.
#[test]
fn a_lab_that_does_not_work_gives_no_verdict() {
    if !kernel() {
        return;
    }
    let place = place();
    let path = before(
        place.path(),
        "ip",
        r#"sed 's/^link set dev \(+c[01]l[^ ]*\) master .*$/link set dev \1 down/' | $REAL "$@""#,
    );
    let mut command = lab(place.path(), &["starter-host"]);
    command.env("PATH", path);
    let (out, err) = ends(command, 2);
    assert!(out.is_empty() && err.contains("canary"), "{err}");

    let path = before(place.path(), "nft", "exit 1");
    let mut command = lab(place.path(), &["starter-host"]);
    command.env("PATH", path);
    let (_, err) = ends(command, 2);
    assert!(err.contains("the lab could not do its work: `nft"), "{err}");
}

/// A site of one's own.
fn site(place: &Path, name: &str, policy: &str) {
    fs::create_dir(place.join(name)).unwrap();
    fs::write(place.join(name).join("policy.fw"), policy).unwrap();
}

const TWO_ZONES: &str = "zone a { 10.0.1.0/24 }\nzone b { 10.0.2.0/24 }\n\
    firewall fw { eth0 10.0.1.1 in a; eth1 10.0.2.1 in b }\n";

/// A busy machine loses packets, and is late: what is lost once is sent once more, and no difference. Here a wire loses as many
/// as are sent before the lab gives one up: before the first machine, which is to see it in any case, and before the second.
#[test]
fn what_is_lost_once_is_no_difference() {
    if !kernel() {
        return;
    }
    let policy = "zone a { 10.0.1.0/24 }\nzone m { 10.0.2.0/24 }\nzone b { 10.0.3.0/24 }\n\
        firewall one { early 10.0.1.1 in a; e1 10.0.2.1 in m }\n\
        firewall two { late 10.0.2.2 in m; e3 10.0.3.1 in b }\nallow dns from a to b\n";
    let probe = "10.0.1.5 -> 10.0.3.5 udp/53 new accept\n";
    for device in ["early", "late"] {
        let place = place();
        site(place.path(), "lossy", policy);
        fs::write(place.path().join("probe.txt"), probe).unwrap();
        let script = format!(
            "if [ \"$1\" != -f ]; then exec $REAL \"$@\"; fi\nt=$(cat; echo x)\n\
             printf %s \"${{t%x}}\" | $REAL \"$@\" || exit\ncase \"$t\" in *'table inet fwc'*{device}*)\n\
             echo 'table netdev x {{ chain c {{ type filter hook ingress device {device} priority 0; \
             meta l4proto udp numgen inc mod 1000 < 4 counter drop; }}; }}' | $REAL -f -;; esac"
        );
        let path = before(place.path(), "nft", &script);
        let mut command = lab(place.path(), &["lossy", "--probes", "probe.txt"]);
        command.env("PATH", path);
        let (out, _) = ends(command, 0);
        assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{device}: {out}");
    }
}

/// GRE has no ports either: behind one address of the firewall, conntrack knows one client of a server at a time.
#[test]
fn clients_of_one_address_do_not_meet_in_conntrack() {
    if !kernel() {
        return;
    }
    let place = place();
    let policy = "zone srv { 10.3.0.0/24 }\nzone world { rest }\n\
        firewall edge { srv0 10.3.0.1 in srv; wan 198.51.100.1 in world }\n\
        host t = 10.3.0.10 in srv\nhost c1 = 10.3.0.11 in srv\nhost c2 = 10.3.0.12 in srv\n\
        allow proto gre from c1, c2 to edge.srv dnat to t hairpin\n\
        allow proto esp from srv to world masquerade\n\
        test \"t\" { expect allow proto gre from c1, c2 to edge.srv\n expect allow proto esp from c1, c2 to 192.0.2.7 }\n";
    site(place.path(), "gre", policy);
    let (out, _) = ends(lab(place.path(), &["gre"]), 0);
    assert!(out.trim_end().ends_with("policy, simulator and kernel agree"), "{out}");
}

/// ESP has no ports: to conntrack the packet back is the answer to the one there, if it saw that one.
#[test]
fn a_packet_is_not_taken_for_the_answer_to_another() {
    if !kernel() {
        return;
    }
    let place = place();
    let rules = "allow any from a to b\ntest \"t\" { expect only any from anywhere to anywhere }\n";
    site(place.path(), "esp", &format!("{TWO_ZONES}{rules}"));
    let (out, _) = ends(lab(place.path(), &["esp", "--format", "json"]), 0);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let esp = |from: &str, verdict: &str| {
        told["packets"].as_array().unwrap().iter().any(|packet| {
            let text = packet["packet"].as_str().unwrap();
            text.starts_with(from) && text.contains("esp") && packet["kernel"]["verdict"] == verdict
        })
    };
    assert!(esp("a ", "accept") && esp("b ", "stopped"), "{out}");
}

/// Who is over a limit is no difference; who is stopped without one is.
#[test]
fn a_limit_is_the_kernels_to_count() {
    if !kernel() {
        return;
    }
    let place = place();
    let rules = "allow http from a to b { limit 1/minute burst 1 }\nallow https from a to b\n\
        test \"t\" { expect allow http, https from a to b }\n";
    site(place.path(), "limited", &format!("{TWO_ZONES}{rules}"));
    let (out, _) = ends(lab(place.path(), &["limited"]), 0);
    assert!(out.contains("agree; 3 over a limit"), "{out}");
    // The other sentence's packets have no limit to be over: port 443 for each pair, and 444 beside it.
    let script =
        r#"if [ "$1" = -f ]; then sed 's/tcp \. 443/tcp . 444/' | $REAL "$@"; else exec $REAL "$@"; fi"#;
    let path = before(place.path(), "nft", script);
    let mut command = lab(place.path(), &["limited"]);
    command.env("PATH", path);
    let (out, _) = ends(command, 1);
    assert!(out.contains("differ on 8"), "{out}");
}

#[test]
fn somebody_who_is_not_root_may_too() {
    if !kernel() || !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = place();
    let mut command = lab(place.path(), &["starter-host"]);
    command.uid(NOBODY).gid(NOBODY);
    let (out, _) = ends(command, 0);
    assert!(out.contains("policy, simulator and kernel agree"), "{out}");
    let mut command =
        lab(place.path(), &["starter-host", "--shell", "web", "--", "sh", "-c", "id -u; ip -br link"]);
    command.uid(NOBODY).gid(NOBODY);
    let (out, _) = ends(command, 0);
    assert!(out.starts_with("0\n") && out.contains("eth0"), "{out}");
}

#[test]
fn a_kernel_that_refuses_is_told_aloud() {
    if !kernel() {
        return;
    }
    let place = place();
    for (limit, how, said) in [
        ("max_net_namespaces", "exec ./fwc lab starter-host", "cannot make a network namespace"),
        ("max_user_namespaces", "exec setpriv --bounding-set=-all ./fwc lab starter-host", "not root, and"),
    ] {
        let mut command = Command::new("unshare");
        let script = format!("echo 0 > /proc/sys/user/{limit} && {how}");
        command.args(["--user", "--map-root-user", "sh", "-c", &script]).current_dir(place.path());
        let (out, err) = ends(command, 2);
        assert!(out.is_empty() && err.contains(said) && err.contains("help: "), "{err}");
    }
}

#[test]
fn a_shell_is_on_its_machine_and_hears_the_others() {
    if !kernel() {
        return;
    }
    let place = place();
    let shell = |name: &str, script: &str, code: i32| {
        ends(lab(place.path(), &["starter-firewall", "--shell", name, "--", "sh", "-c", script]), code)
    };
    // Nothing but a shell is needed: bash and its /dev/tcp.
    let ask = |name: &str, port: u16| {
        format!(
            "timeout 3 bash -c 'exec 3<>/dev/tcp/{name}/{port}; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; tail -n1 <&3'"
        )
    };
    assert_eq!(shell("lan", &ask("web", 443), 0).0, "web tcp/443\n");
    assert_eq!(shell("admin", &ask("fw.lan", 22), 0).0, "fw tcp/22\n");
    assert_eq!(shell("internet", &ask("web", 443), 0).0, "web tcp/443\n");
    // Dropped in silence: `timeout` ends it.
    shell("internet", &ask("fw.internet", 22), 124);
    assert_eq!(shell("fw", "exit 7", 7).0, "");
    let (_, err) =
        ends(lab(place.path(), &["starter-firewall", "--shell", "lan", "--", "no-such-program"]), 127);
    assert!(err.contains("cannot start `no-such-program`"), "{err}");
    let (_, err) = ends(lab(place.path(), &["starter-firewall", "--shell", "nowhere", "--", "true"]), 2);
    assert!(err.contains("no machine or zone `nowhere`") && err.contains("admin"), "{err}");
    let mut silent = lab(place.path(), &["starter-firewall", "--no-listen", "--shell", "lan", "--"]);
    silent.args(["sh", "-c", &ask("web", 443)]);
    ends(silent, 1);
}
