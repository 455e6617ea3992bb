//! The kernel's parameters beside the rules: what a trial turned and somebody undid, what a rollback leaves, kernels that do
//! not have them.

use std::fs;
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

use super::common::{file, kernel};
use super::drift::passes;
use super::world::{FWC, World, said};

fn set(world: &World, key: &str, value: &str) {
    world.fw.sysctl(&[(key.to_owned(), value)]).unwrap();
}

fn is(world: &World, key: &str) -> String {
    world.fw.run("cat", &[&format!("/proc/sys/net/{key}")], "").unwrap().trim().to_owned()
}

/// Every parameter of the firewall's interfaces, and whether it forwards.
fn all(world: &World) -> Vec<String> {
    let script = "cd /proc/sys/net; grep -H . ipv4/ip_forward ipv[46]/conf/*/* 2>/dev/null; true";
    let all = world.fw.run("sh", &["-c", script], "").unwrap();
    all.lines().filter(|line| !line.contains("stable_secret")).map(str::to_owned).collect()
}

fn differ(before: &[String], after: &[String]) -> Vec<String> {
    after.iter().filter(|line| !before.contains(line)).cloned().collect()
}

fn path(world: &World, build: &str) -> String {
    world.path(build).display().to_string()
}

/// The policy `old`, over IPv6 too.
fn both() -> String {
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    text.replace("zone lan { 10.9.1.0/24 }", "zone lan { 10.9.1.0/24, 2001:db8:9::/64 }")
        .replace("eth1 10.9.1.1 in lan", "eth1 10.9.1.1, 2001:db8:9::1 in lan")
}

/// A confirmation says that all is as it was loaded: what is not has to be set again, or would be taken for wanted.
#[test]
fn what_was_undone_during_the_trial_is_not_confirmed() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.ok(&["apply", &path(&world, "old"), "--sysctl", "--i-have-console"]);
    set(&world, "ipv4/ip_forward", "0");
    let refused = world.done(&["confirm", "--i-have-console"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("`net.ipv4.ip_forward` is 0, and was 1"), "{}", said(&refused));
    assert!(world.ok(&["status"]).contains("on trial   generation 1"), "the trial goes on");
    set(&world, "ipv4/ip_forward", "1");
    world.ok(&["confirm"]);
    // One that was as it should be beforehand, and that nobody had to set.
    world.ok(&["apply", &path(&world, "new"), "--sysctl", "--i-have-console"]);
    set(&world, "ipv4/conf/all/rp_filter", "0");
    let refused = world.done(&["confirm"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("`net.ipv4.conf.all.rp_filter` is 0, and was 2"), "{}", said(&refused));
    world.ok(&["rollback"]);
    set(&world, "ipv4/conf/all/rp_filter", "2");
    // What an older fwc confirmed all the same is a drift, and not what was wanted.
    set(&world, "ipv4/ip_forward", "0");
    let confirmed = world.path("state/confirmed/confirmed-with.conf");
    let text = fs::read_to_string(&confirmed).unwrap();
    assert!(text.contains("net.ipv4.ip_forward = 1"), "{text}");
    fs::write(&confirmed, text.replace("net.ipv4.ip_forward = 1", "net.ipv4.ip_forward = 0")).unwrap();
    let told = world.done(&["drift"]);
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    assert!(said(&told).contains("sysctl net.ipv4.ip_forward is 0"), "{}", said(&told));
    let refused = world.done(&["apply", &path(&world, "old")]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("refused (parameter): `net.ipv4.ip_forward` is 0"), "{}", said(&refused));
}

/// Whoever left a parameter as it was is told nothing new: not by `apply`, as not by `drift`.
#[test]
fn what_was_left_as_it_is_when_confirmed_is_nothing_to_do() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let old = path(&world, "old");
    world.ok(&["apply", &old, "--i-have-console"]);
    world.ok(&["confirm"]);
    assert!(world.ok(&["apply", &old]).contains("nothing to do"));
    assert!(world.ok(&["plan", &old]).contains("sysctl net.ipv4.ip_forward: 0 -> 1"));
}

/// Linux turns more than what it is told: with forwarding that of each interface, and whether redirects are taken.
#[test]
fn a_rollback_leaves_no_parameter_otherwise() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.fw.ip(&["addr add 2001:db8:9::1/64 dev eth1 nodad".to_owned()]).unwrap();
    world.build("both", &both());
    let host = "zone lan { 10.9.1.0/24 }\nhost fw { eth1 10.9.1.1 in lan; nftables }\nhost admin = 10.9.1.10 in lan\n\
                allow ssh from admin to fw\n";
    world.build("host", host);
    for key in ["ipv4/conf/all/accept_redirects", "ipv6/conf/default/forwarding"] {
        set(&world, key, "0");
    }
    for key in ["ipv4/conf/eth1/forwarding", "ipv4/conf/default/forwarding", "ipv6/conf/eth2/forwarding"] {
        set(&world, key, "1");
    }
    let before = all(&world);
    for how in ["rollback", "watchdog"] {
        let within = if how == "watchdog" { "5s" } else { "90s" };
        let both = path(&world, "both");
        world.ok(&["apply", &both, "--sysctl", "--i-have-console", "--confirm-within", within]);
        for (key, on) in [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")] {
            assert_eq!(is(&world, key), on, "{key}");
        }
        if how == "rollback" {
            world.ok(&["rollback"]);
        } else {
            super::world::until("rolled back", 15, || world.mark().is_none());
            world.ok(&["status"]);
        }
        assert_eq!(differ(&before, &all(&world)), [""; 0], "{how}");
    }
    // The other way: to forward no more is no reason to take redirects.
    set(&world, "ipv4/ip_forward", "1");
    for key in ["ipv4/conf/all/accept_redirects", "ipv4/conf/eth2/forwarding"] {
        set(&world, key, "0");
    }
    let before = all(&world);
    world.ok(&["apply", &path(&world, "host"), "--sysctl", "--i-have-console"]);
    for key in ["ipv4/ip_forward", "ipv4/conf/eth1/forwarding", "ipv4/conf/all/accept_redirects"] {
        assert_eq!(is(&world, key), "0", "{key}");
    }
    world.ok(&["rollback"]);
    assert_eq!(differ(&before, &all(&world)), [""; 0]);
}

/// What was there before a trial was there in another boot: the machine has started with what is confirmed. A crash may have
/// taken the mark of the trial with it: the record tells.
#[test]
fn after_a_reboot_a_rollback_turns_nothing() {
    if !kernel() {
        return;
    }
    for damaged in [false, true] {
        let world = World::new();
        world.confirmed("old");
        set(&world, "ipv4/ip_forward", "0");
        world.ok(&["apply", &path(&world, "new"), "--sysctl", "--i-have-console"]);
        for file in ["state/trial.json", "state/generations/2/record.json"] {
            let file = world.path(file);
            let mut json: serde_json::Value =
                serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            json["boot"] = serde_json::json!("another");
            fs::write(&file, json.to_string()).unwrap();
        }
        // What the boot unit does.
        let confirmed = world.path("state/confirmed").display().to_string();
        world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
        world.fw.run("nft", &["-f", &format!("{confirmed}/boot.nft")], "").unwrap();
        let load = format!("--load={confirmed}/sysctl.conf");
        world.fw.run("sysctl", &["--quiet", "--ignore", &load], "").unwrap();
        if damaged {
            fs::write(world.path("state/trial.json"), "{").unwrap();
        } else {
            assert!(said(&world.done(&["status"])).contains("a reboot ended the trial"));
        }
        world.ok(&["rollback"]);
        assert_eq!(is(&world, "ipv4/ip_forward"), "1");
        assert!(world.mark().unwrap().starts_with("fwc_generation_1_"));
        let told = world.done(&["drift"]);
        assert_eq!((told.status.code(), said(&told).as_str()), (Some(0), ""));
    }
}

/// A kernel that was started with `ipv6.disable=1` has no `net.ipv6`, and nothing of it is on.
#[test]
fn a_kernel_without_ipv6_has_nothing_of_it_turned_on() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.build("both", &both());
    let without = |words: &str| -> Output {
        let state = world.path("state").display().to_string();
        let script = format!("mount -t tmpfs none /proc/sys/net/ipv6 && exec {FWC} {words} --state {state}");
        Command::new("nsenter")
            .arg(format!("--net={}", world.fw.path()))
            .args(["unshare", "-m", "--propagation", "private", "sh", "-c", &script])
            .output()
            .unwrap()
    };
    let applied = without(&format!("apply {} --sysctl --i-have-console", path(&world, "old")));
    assert!(applied.status.success(), "{}", said(&applied));
    assert!(!said(&applied).contains("refused (parameter)"), "{}", said(&applied));
    let confirmed = without("confirm");
    assert!(confirmed.status.success(), "{}", said(&confirmed));
    let told = without("drift");
    assert_eq!((told.status.code(), said(&told).as_str()), (Some(0), ""));
    // What is to forward IPv6 cannot.
    let refused = without(&format!("apply {} --sysctl", path(&world, "both")));
    let told = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let missing: Vec<&str> = told.lines().filter(|line| line.starts_with("refused (parameter)")).collect();
    let only = "refused (parameter): the kernel has no `net.ipv6.conf.all.forwarding`";
    assert!(missing.len() == 1 && missing[0].starts_with(only), "{told}");
}

/// IPv4 is forwarded where the interface forwards by which it comes, whatever `ip_forward` says.
#[test]
fn an_interface_that_does_not_forward_is_told() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    assert!(passes(&world));
    set(&world, "ipv4/conf/eth1/forwarding", "0");
    assert!(!passes(&world), "nothing that comes by it is forwarded");
    let told = world.done(&["drift"]);
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    let words = "sysctl net.ipv4.conf.eth1.forwarding is 0, and 1 was confirmed\n    example ";
    assert!(said(&told).contains(words), "{}", said(&told));
    let old = path(&world, "old");
    let plan = world.ok(&["plan", &old]);
    assert!(plan.contains("sysctl net.ipv4.conf.eth1.forwarding: 0 -> 1"), "{plan}");
    let refused = world.done(&["apply", &old]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let why = "refused (parameter): `net.ipv4.conf.eth1.forwarding` is 0, and the proof assumes 1";
    assert!(said(&refused).contains(why), "{}", said(&refused));
    world.ok(&["apply", &old, "--sysctl", "--i-have-console"]);
    assert!(passes(&world));
    world.ok(&["rollback"]);
    assert_eq!(is(&world, "ipv4/conf/eth1/forwarding"), "0");
    world.confirmed("old");
    let quiet = world.done(&["drift"]);
    assert_eq!((quiet.status.code(), said(&quiet).as_str()), (Some(0), ""));
    // One that is off with all of them is no matter of its own.
    set(&world, "ipv4/ip_forward", "0");
    let told = said(&world.done(&["drift"]));
    assert!(told.contains("net.ipv4.ip_forward is 0") && !told.contains("conf.eth1"), "{told}");
}

/// What boot loads and `drift` reads is the confirmed file, though no rule is another.
#[test]
fn another_sysctl_conf_is_something_to_do() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let old = path(&world, "old");
    let file = world.path("old/hosts/fw/sysctl.conf");
    let rewrite = |more: &str| {
        let text = fs::read_to_string(&file).unwrap() + more;
        fs::write(&file, &text).unwrap();
        let hex: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        let manifest = world.path("old/manifest.json");
        let mut json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
        json["files"]["hosts/fw/sysctl.conf"] = serde_json::json!(format!("sha256:{hex}"));
        fs::write(&manifest, json.to_string()).unwrap();
    };
    rewrite("# A comment sets nothing.\n");
    assert!(world.ok(&["apply", &old, "--sysctl"]).contains("nothing to do"));
    // It is so already: no rule and no parameter would be another.
    set(&world, "ipv4/conf/all/secure_redirects", "0");
    rewrite("net.ipv4.conf.all.secure_redirects = 0\n");
    world.confirmed("old");
    let confirmed = fs::read_to_string(world.path("state/confirmed/sysctl.conf")).unwrap();
    assert!(confirmed.contains("net.ipv4.conf.all.secure_redirects = 0"), "{confirmed}");
    assert!(world.ok(&["apply", &old, "--sysctl"]).contains("nothing to do"));
}

/// A bridge of the firewall, with its address.
/// Turns the switch of the bridge `lxc0` itself.
fn turn(world: &World, to: &str) {
    world.fw.ip(&[format!("link set lxc0 type bridge nf_call_iptables {to}")]).unwrap();
}

/// The old policy with a leg `lxc0` for guests, that says this.
fn with(clause: &str) -> String {
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    text.replace("zone dmz {", "zone guests { 10.9.3.0/24 }\nzone dmz {")
        .replace("    eth2 ", &format!("    lxc0 10.9.3.1 in guests{clause}\n    eth2 "))
}

fn add_bridge(world: &World, name: &str, address: &str) {
    let lines = [
        format!("link add {name} type bridge"),
        format!("addr add {address} dev {name}"),
        format!("link set {name} up"),
    ];
    world.fw.ip(&lines).unwrap();
}

/// The forward hook of a machine that knows nothing of its bridge drops what its ports say to each other, once it is shown that.
#[test]
fn a_bridge_that_the_policy_knows_nothing_of_is_not_cut_off() {
    if !kernel() {
        return;
    }
    let world = World::new();
    add_bridge(&world, "lxc0", "10.9.3.1/24");
    world.build("plain", &with(""));
    world.build("bridged", &with(" bridge br_netfilter"));
    world.build("apart", &with(" bridge stateless \"few states\""));
    let told = |build: &str| {
        let done = world.done(&["apply", &path(&world, build), "--sysctl"]);
        assert_eq!(done.status.code(), Some(1), "{}", said(&done));
        said(&done)
    };
    let refused = |build: &str| told(build).contains("refused (bridge): `lxc0` is a bridge");
    let keys = ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"];
    keys.iter().for_each(|key| set(&world, key, "0"));
    assert!(!refused("plain"));
    for key in keys {
        set(&world, key, "1");
        assert!(refused("plain"), "{key}");
        assert!(!refused("bridged"), "{key}");
        // That it is to be 0 is what `sysctl.conf` says.
        assert!(!refused("apart"), "{key}");
        set(&world, key, "0");
    }
    let switch = |to: &str| turn(&world, to);
    switch("1");
    assert!(refused("plain"));
    assert!(!refused("bridged"));
    // What `table bridge` lets pass the forward hook would drop, whatever the keys are.
    assert!(
        told("apart")
            .contains("its `nf_call_iptables` is 1: what its ports say to each other would be dropped")
    );
    switch("0");
    assert!(!refused("plain"));
    assert!(!refused("apart"));
}

/// What is refused of a bridge before is a drift after; and what somebody went over then is none.
#[test]
fn a_switch_of_a_bridge_that_is_turned_later_is_a_drift() {
    if !kernel() {
        return;
    }
    let world = World::new();
    add_bridge(&world, "lxc0", "10.9.3.1/24");
    let drift = |world: &World| {
        let told = world.done(&["drift"]);
        (told.status.code(), said(&told))
    };
    let switch = |to: &str| turn(&world, to);
    let key = "bridge/bridge-nf-call-iptables";
    for (name, clause) in [("plain", ""), ("apart", " bridge stateless \"few states\"")] {
        set(&world, key, "0");
        switch("0");
        world.build(name, &with(clause));
        world.confirmed(name);
        assert_eq!(drift(&world), (Some(0), String::new()), "{name}");
        switch("1");
        let (code, told) = drift(&world);
        assert_eq!(code, Some(1), "{name}: {told}");
        assert!(
            told.starts_with("bridge `lxc0` is a bridge, and its `nf_call_iptables` is 1: "),
            "{name}: {told}"
        );
        let json = world.done(&["drift", "--format", "json"]);
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(
            (&json["drifted"], json["bridges"].as_array().map(Vec::len)),
            (&true.into(), Some(1)),
            "{json}"
        );
        // It went over its refusal by whoever confirmed it so.
        world.build("again", &with(clause).replace("8080", "8081"));
        world.confirmed("again");
        assert_eq!(drift(&world), (Some(0), String::new()), "{name}");
    }
    // Where the key shows the forward hook what no word of the policy is about, as Docker has it.
    switch("0");
    world.confirmed("plain");
    assert_eq!(drift(&world), (Some(0), String::new()));
    set(&world, key, "1");
    let (code, told) = drift(&world);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.starts_with("bridge `lxc0` is a bridge, and `net.bridge.bridge-nf-call-iptables` is 1: "),
        "{told}"
    );
    set(&world, key, "0");
}

/// What is refused of a bridge before is not confirmed either, once somebody turns it within the trial.
#[test]
fn a_switch_of_a_bridge_that_is_turned_within_the_trial_is_not_confirmed() {
    if !kernel() {
        return;
    }
    let world = World::new();
    add_bridge(&world, "lxc0", "10.9.3.1/24");
    let switch = |to: &str| turn(&world, to);
    let key = |to: &str| set(&world, "bridge/bridge-nf-call-iptables", to);
    // The kernel at hand knows no VLANs; `ip` says that it does.
    let (bin, usual) = (world.path("bin"), std::env::var("PATH").unwrap());
    std::fs::create_dir(&bin).unwrap();
    let script =
        format!("#!/bin/sh\nPATH={usual}\nip \"$@\" | sed 's/\"vlan_filtering\":0/\"vlan_filtering\":1/g'\n");
    std::fs::write(bin.join("ip"), script).unwrap();
    std::fs::set_permissions(bin.join("ip"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let rows = [
        ("plain", "", "switch", "its `nf_call_iptables` is 1"),
        ("plain", "", "key", "`net.bridge.bridge-nf-call-iptables` is 1"),
        ("apart", " bridge stateless \"few states\"", "switch", "its `nf_call_iptables` is 1"),
        ("shown", " bridge br_netfilter", "vlan", "`vlan_filtering` 1"),
    ];
    for ((name, clause, what, words), port) in rows.into_iter().zip(8081..) {
        key("0");
        switch("0");
        world.build(name, &with(clause).replace("8080", &port.to_string()));
        world.ok(&["apply", &path(&world, name), "--sysctl", "--i-have-console"]);
        let turn = |to: &str| match what {
            "switch" => switch(to),
            "key" => key(to),
            _ => {}
        };
        let programs = if what == "vlan" { format!("{}:{usual}", bin.display()) } else { usual.clone() };
        turn("1");
        let mut confirm = world.fwc(&["confirm", "--i-have-console"]);
        let told = confirm.env("PATH", programs).output().unwrap();
        assert_eq!(told.status.code(), Some(1), "{name}: {}", said(&told));
        let told = said(&told);
        let head = "error: `apply` would refuse now what it did not then: `lxc0` is a bridge";
        assert!(told.starts_with(head) && told.contains(words), "{name}: {told}");
        assert!(told.ends_with("set it back, or roll the trial back and apply again\n"), "{name}: {told}");
        assert!(world.ok(&["status"]).contains("on trial"), "{name}");
        // As it was, it is confirmed.
        turn("0");
        world.ok(&["confirm", "--i-have-console"]);
    }
    // What somebody goes over is on the record, and no obstacle.
    switch("1");
    world.build("again", &with(" bridge stateless \"few states\""));
    world.confirmed("again");
}

/// A leg without the word beside one that is filtered by the forward hook: the key cannot be 0, and `--sysctl` would set it to 1.
#[test]
fn a_bridge_beside_one_that_is_filtered_is_told_what_can_be_done() {
    if !kernel() {
        return;
    }
    let world = World::new();
    add_bridge(&world, "lxc0", "10.9.3.1/24");
    add_bridge(&world, "lxc1", "10.9.4.1/24");
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    let text = text
        .replace("zone dmz {", "zone guests { 10.9.3.0/24 }\nzone more { 10.9.4.0/24 }\nzone dmz {")
        .replace(
            "    eth2 ",
            "    lxc0 10.9.3.1 in guests bridge br_netfilter\n    lxc1 10.9.4.1 in more\n    eth2 ",
        );
    world.build("beside", &text);
    for now in ["0", "1"] {
        for key in ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"] {
            set(&world, key, now);
        }
        let told = said(&world.done(&["apply", &path(&world, "beside"), "--sysctl"]));
        assert!(!told.contains("`lxc0` is a bridge"), "{now}: {told}");
        for words in [
            "refused (bridge): `lxc1` is a bridge, and another leg needs `net.bridge.bridge-nf-call-iptables` to be 1",
            "say `bridge br_netfilter` of this leg too",
        ] {
            assert!(told.contains(words), "{now}: {told}");
        }
        assert!(!told.contains("set it to 0"), "{now}: {told}");
    }
}

/// A bridge that knows VLANs takes a tag off before any hook of ours sees the frame; the kernel at hand has none, `ip` says it.
#[test]
fn a_bridge_that_takes_tags_off_is_not_filtered_by_the_forward_hook() {
    if !kernel() {
        return;
    }
    let world = World::new();
    add_bridge(&world, "lxc0", "10.9.3.1/24");
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    let with = |clause: &str| {
        text.replace("zone dmz {", "zone guests { 10.9.3.0/24 }\nzone dmz {")
            .replace("    eth2 ", &format!("    lxc0 10.9.3.1 in guests bridge {clause}\n    eth2 "))
    };
    let (bin, usual) = (world.path("bin"), std::env::var("PATH").unwrap());
    std::fs::create_dir(&bin).unwrap();
    let script =
        format!("#!/bin/sh\nPATH={usual}\nip \"$@\" | sed 's/\"vlan_filtering\":0/\"vlan_filtering\":1/g'\n");
    std::fs::write(bin.join("ip"), script).unwrap();
    std::fs::set_permissions(bin.join("ip"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (clause, refused) in [("br_netfilter", true), ("stateless \"few states\"", false)] {
        world.build("tags", &with(clause));
        let mut apply = world.fwc(&["apply", &path(&world, "tags"), "--sysctl"]);
        let filters = said(&apply.env("PATH", format!("{}:{usual}", bin.display())).output().unwrap());
        let words = "refused (bridge): `lxc0` is a bridge with `vlan_filtering` 1";
        assert_eq!(filters.contains(words), refused, "{clause}: {filters}");
        let plain = said(&world.done(&["apply", &path(&world, "tags"), "--sysctl"]));
        assert!(plain.contains("refused") && !plain.contains("vlan_filtering"), "{clause}: {plain}");
        // Turned on later, it is a drift.
        world.confirmed("tags");
        world.ok(&["drift"]);
        let mut drift = world.fwc(&["drift"]);
        let told = said(&drift.env("PATH", format!("{}:{usual}", bin.display())).output().unwrap());
        assert_eq!(
            told.contains("bridge `lxc0` is a bridge with `vlan_filtering` 1"),
            refused,
            "{clause}: {told}"
        );
    }
}

/// What the proof takes for granted of who forwards IPv4 is set and compared: no broadcast is sent on, and no source route taken.
#[test]
fn what_a_packet_is_forwarded_by_besides_the_routes_is_a_drift() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    assert_eq!(world.done(&["drift"]).status.code(), Some(0));
    for key in ["ipv4/conf/all/bc_forwarding", "ipv4/conf/all/accept_source_route"] {
        set(&world, key, "1");
        let told = said(&world.done(&["drift"]));
        let words = format!("sysctl net.{} is 1", key.replace('/', "."));
        assert!(told.contains(&words), "{told}");
        let told = said(&world.done(&["apply", &path(&world, "new")]));
        let words = format!("refused (parameter): `net.{}` is 1", key.replace('/', "."));
        assert!(told.contains(&words), "{told}");
        set(&world, key, "0");
    }
}

/// Sends one router advertisement of `fe80::1` by the interface that is named (RFC 4861, section 4.2).
const ADVERTISE: &str = r"import socket, struct, sys
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); link.bind((sys.argv[1], 0)); mac = link.getsockname()[4]
ends = socket.inet_pton(socket.AF_INET6, 'fe80::1') + socket.inet_pton(socket.AF_INET6, 'ff02::1')
said = lambda sum: struct.pack('!BBHBBHII', 134, 0, sum, 64, 0, 1800, 0, 0) + b'\1\1' + mac
words = ends + struct.pack('!IHBB', len(said(0)), 0, 0, 58) + said(0)
total = sum(struct.unpack('!%dH' % (len(words) // 2), words))
while total >> 16: total = (total & 0xffff) + (total >> 16)
head = struct.pack('!IHBB', 0x60000000, len(said(0)), 58, 255) + ends
link.send(bytes.fromhex('333300000001') + mac + bytes.fromhex('86dd') + head + said(~total & 0xffff))
";

/// A kernel that is told to forward forgets the default route that it learned from advertisements, and no rollback knows it.
#[test]
fn a_default_route_that_forwarding_would_forget_is_refused() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.build("both", &both());
    world.fw.ip(&["addr add 2001:db8:9::1/64 dev eth1 nodad".to_owned()]).unwrap();
    world.web.ip(&["addr add fe80::1/64 dev eth0 nodad".to_owned()]).unwrap();
    for (key, value) in [("ipv6/conf/eth2/accept_ra", "1"), ("ipv6/conf/eth2/accept_ra_defrtr", "1")] {
        set(&world, key, value);
    }
    let learned = || world.fw.run("ip", &["-6", "route", "show", "default"], "").unwrap();
    let advertise = || {
        let taken = (0..50).any(|_| {
            world.web.run("python3", &["-c", ADVERTISE, "eth0"], "").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(100));
            learned().contains("via fe80::1 dev eth2")
        });
        assert!(taken, "the kernel takes no advertisement");
    };
    advertise();
    let both = path(&world, "both");
    let refused = world.done(&["apply", &both, "--sysctl"]);
    let why = "refused (route): the default route via fe80::1 by `eth2` is of router advertisements";
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains(why), "{}", said(&refused));
    set(&world, "ipv6/conf/eth2/accept_ra", "2");
    let refused = world.done(&["apply", &both, "--sysctl"]);
    assert!(!said(&refused).contains(why), "{}", said(&refused));
    // As it is told: it stays, and goes where somebody says that there is a console.
    world.ok(&["apply", &both, "--sysctl", "--i-have-console"]);
    assert!(learned().contains("via fe80::1"), "{}", learned());
    world.ok(&["rollback"]);
    set(&world, "ipv6/conf/eth2/accept_ra", "1");
    // One that was kept once is not looked at again.
    world.fw.run("ip", &["-6", "route", "del", "default"], "").unwrap();
    advertise();
    let told = world.done(&["apply", &both, "--sysctl", "--i-have-console"]);
    assert!(
        told.status.success() && said(&told).contains("the default route via fe80::1"),
        "{}",
        said(&told)
    );
    assert!(!learned().contains("via fe80::1"), "{}", learned());
}
