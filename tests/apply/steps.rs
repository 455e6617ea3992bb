//! What is said before anything is changed, and what ends a change that went wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fwc::apply::state::{Lock, State};

use super::common::{kernel, root};
use super::world::{FWC, World, said, until};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_plan_says_what_would_change_and_changes_nothing() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let before = (world.mark(), world.listing());
    let (old, new) = (world.path("old").display().to_string(), world.path("new").display().to_string());
    // The new policy takes 8080 away and lets 9090 through: each with the statement that says so.
    let plan = world.done(&["plan", &new, "--lines"]);
    assert_eq!(plan.status.code(), Some(0), "{}", said(&plan));
    let words = out(&plan);
    for part in [
        "newly denied",
        "tcp 8080",
        "allow tcp 8080 from lan to web",
        "newly allowed",
        "--- live",
        "+++ build",
    ] {
        assert!(words.contains(part), "no `{part}` in\n{words}");
    }
    let quiet = world.done(&["plan", &old]);
    assert_eq!((quiet.status.code(), said(&quiet).as_str()), (Some(0), "nothing to do\n"));
    assert_eq!((world.mark(), world.listing()), before);
    // On a terminal each step is told; into a pipe, above, none was.
    let step = "loaded the new ruleset, and the way back";
    assert!(!said(&plan).contains(step), "{}", said(&plan));
    let line = format!("{FWC} plan {new} --state {}", world.path("state").display());
    let seen = Command::new("nsenter")
        .arg(format!("--net={}", world.fw.path()))
        .args(["script", "-qec", &line, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(seen.status.success() && out(&seen).contains(step), "{}", said(&seen));
}

/// A mistyped `--state` stays one, and is told.
#[test]
fn a_question_makes_no_state_directory() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let new = world.path("new").display().to_string();
    let never = format!("nothing was ever applied here: there is no `{}`", world.path("state").display());
    for (question, code, told) in [
        (&["status"][..], 0, never.as_str()),
        (&["drift"], 1, &never),
        (&["plan", &new], 0, "newly denied"),
        (&["cut", "--list"], 0, ""),
        (&["confirm"], 1, "nothing is on trial"),
        (&["rollback"], 1, "nothing is on trial"),
        (&["rollback", "--generation", "1"], 0, ""),
    ] {
        let done = world.done(question);
        assert_eq!(done.status.code(), Some(code), "{question:?}: {}", said(&done));
        assert!(said(&done).contains(told), "{question:?}: {}", said(&done));
        assert!(!world.path("state").exists(), "{question:?}");
    }
    // A folder that is there gets nothing either; and a table of ours that nobody confirmed is told all the same.
    fs::create_dir(world.path("state")).unwrap();
    world.fw.run("nft", &["add", "table", "inet", "fwc"], "").unwrap();
    let status = world.done(&["status"]);
    assert_eq!(status.status.code(), Some(1), "{}", said(&status));
    assert!(said(&status).contains("a table is loaded that nobody confirmed"), "{}", said(&status));
    assert_eq!(fs::read_dir(world.path("state")).unwrap().count(), 0);
}

/// Interfaces, addresses and routes are those that the proof was about, or it proves nothing here.
#[test]
fn a_machine_that_is_not_the_one_of_the_proof_is_refused() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let old = world.path("old").display().to_string();
    let changes: [(&[&str], &[&str], &str); 5] = [
        (
            &["addr add 10.9.1.77/24 dev eth1"],
            &["addr del 10.9.1.77/24 dev eth1"],
            "refused (address): `eth1` has 10.9.1.77, which the policy does not know",
        ),
        (
            &["addr del 10.9.2.1/24 dev eth2"],
            &["addr add 10.9.2.1/24 dev eth2"],
            "refused (address): `eth2` does not have 10.9.2.1",
        ),
        (
            &["route add 10.9.2.128/25 via 10.9.1.10"],
            &["route del 10.9.2.128/25 via 10.9.1.10"],
            "refused (route): 10.9.2.254 is reached via 10.9.1.10 by eth1, and routes.json says a neighbour by eth2",
        ),
        (&["link set eth2 down"], &["link set eth2 up"], "refused (interface): `eth2` is down"),
        (
            &["link set eth2 down", "link set eth2 name eth9", "link set eth9 up"],
            &["link set eth9 down", "link set eth9 name eth2", "link set eth2 up"],
            "refused (interface): there is no interface `eth2`",
        ),
    ];
    let lines = |all: &[&str]| all.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    for (change, back, words) in changes {
        world.fw.ip(&lines(change)).unwrap();
        let refused = world.done(&["apply", &old, "--sysctl"]);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains(words), "{change:?}: {}", said(&refused));
        assert_eq!(world.mark(), None, "{change:?}");
        world.fw.ip(&lines(back)).unwrap();
    }
    let refused = said(&world.done(&["apply", &old, "--sysctl"]));
    let reasons: Vec<&str> = refused.lines().filter(|line| line.starts_with("refused (")).collect();
    assert!(reasons.len() == 1 && reasons[0].starts_with("refused (administrator)"), "{refused}");
}

/// All the world is behind somebody's gateway, whom a policy need not name; it is behind that leg all the same.
#[test]
fn the_rest_is_reached_by_a_gateway_of_its_leg() {
    if !kernel() {
        return;
    }
    let world = World::new();
    for (name, uplink) in [("static", "eth1 10.9.1.1 in internet"), ("dynamic", "eth1 dynamic in internet")] {
        let policy = format!(
            "zone internet {{ rest }}\nzone dmz {{ 10.9.2.0/24 }}\nfirewall fw {{ {uplink}; eth2 10.9.2.1 in dmz }}\n\
             host web = 10.9.2.2 in dmz\nallow http from internet to web\n"
        );
        let build = world.build(name, &policy).display().to_string();
        let refused = |way: &str| {
            let lines = |what: &str| [format!("route {what} default {way}")];
            world.fw.ip(&lines("add")).unwrap();
            let refused = said(&world.done(&["apply", &build, "--sysctl"]));
            world.fw.ip(&lines("del")).unwrap();
            refused
                .lines()
                .filter(|l| l.starts_with("refused (route)"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(refused("via 10.9.1.10"), [""; 0], "{name}");
        let by_the_other = refused("via 10.9.2.2");
        assert!(
            by_the_other.iter().any(|l| l.contains("is reached via 10.9.2.2 by eth2")),
            "{name}: {by_the_other:?}"
        );
    }
}

/// What is proved of a gateway is proved of its machine at that leg, by whichever address of it there a route names it: another
/// of the policy's, or one of the link (a router advertisement names no other), where one neighbour has both.
#[test]
fn a_gateway_is_its_machine_by_whichever_of_its_addresses_there() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let ip = |net: &fwc::lab::netns::Netns, lines: &[&str]| {
        net.ip(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()).unwrap();
    };
    ip(
        &world.fw,
        &["addr add 2001:db8:1::1/64 dev eth1 nodad", "link set eth2 down", "tuntap add dev tun0 mode tun"],
    );
    ip(
        &world.admin,
        &[
            "addr add 10.9.1.11/24 dev eth0",
            "addr add 2001:db8:1::10/64 dev eth0 nodad",
            "addr add 2001:db8:1::11/64 dev eth0 nodad",
            "addr add fe80::10/64 dev eth0 nodad",
        ],
    );
    // Another neighbour, and one that the administrator wrote down.
    ip(
        &world.fw,
        &[
            "neigh replace fe80::66 lladdr 02:00:00:00:00:66 dev eth1 nud permanent",
            "neigh replace 10.9.1.12 lladdr 02:00:00:00:00:66 dev eth1 nud permanent",
        ],
    );
    let policy = "zone lan { 10.9.1.0/24, 2001:db8:1::/64 }\nzone far { 10.8.0.0/24, 2001:db8:8::/64 }\n\
        firewall gw { eth0 10.9.1.10, 10.9.1.11, 2001:db8:1::10, 2001:db8:1::11 in lan; eth9 10.8.0.1, 2001:db8:8::1 in far }\n\
        host srv { eth1 10.9.1.1, 2001:db8:1::1 in lan; nftables }\nhost other = 10.9.1.12 in lan\n\
        allow http from far to srv\n";
    let build = world.build("srv", policy);
    let routes = fs::read_to_string(build.join("hosts/srv/routes.json")).unwrap();
    assert!(routes.contains("\"also\""), "{routes}");
    let build = build.display().to_string();
    let ways: [(&str, &str, Option<&str>); 15] = [
        ("via 10.9.1.10", "via 2001:db8:1::10", None),
        ("via 10.9.1.11", "via 2001:db8:1::11", None),
        ("via inet6 fe80::10 dev eth1", "via fe80::10 dev eth1 proto ra", None),
        // Another machine, one that nobody knows, one that does not answer.
        ("via 10.9.1.12", "via 2001:db8:1::10", Some("10.8.0.1 is reached via 10.9.1.12 by eth1")),
        ("via 10.9.1.10", "via 2001:db8:1::12", Some("2001:db8:8::1 is reached via 2001:db8:1::12 by eth1")),
        (
            "via 10.9.1.10",
            "via fe80::66 dev eth1 proto ra",
            Some("2001:db8:8::1 is reached via fe80::66 by eth1"),
        ),
        (
            "via 10.9.1.10",
            "via fe80::77 dev eth1 proto ra",
            Some("2001:db8:8::1 is reached via fe80::77 by eth1"),
        ),
        (
            "via inet6 fe80::66 dev eth1",
            "via fe80::10 dev eth1",
            Some("10.8.0.1 is reached via fe80::66 by eth1"),
        ),
        // The neighbour's, and of no gateway of the policy's: a neighbour is no gateway, and no gateway is a neighbour.
        ("dev eth1", "via fe80::10 dev eth1", Some("10.8.0.1 is a neighbour by eth1")),
        ("via 10.9.1.10", "dev eth1", Some("2001:db8:8::1 is a neighbour by eth1")),
        // Of several the kernel takes whichever it likes: each has to be the gateway.
        (
            "nexthop via 10.9.1.10 nexthop via 10.9.1.11",
            "nexthop via 2001:db8:1::11 nexthop via fe80::10 dev eth1",
            None,
        ),
        (
            "nexthop via 10.9.1.10 nexthop via 10.9.1.12",
            "via fe80::10 dev eth1",
            Some("10.8.0.1 is reached via 10.9.1.12 by eth1"),
        ),
        (
            "nexthop via 10.9.1.12 nexthop via 10.9.1.11",
            "via fe80::10 dev eth1",
            Some("10.8.0.254 is reached via 10.9.1.12 by eth1"),
        ),
        (
            "via 10.9.1.10",
            "nexthop via 2001:db8:1::10 nexthop via fe80::66 dev eth1",
            Some("2001:db8:8::1 is reached via fe80::66 by eth1"),
        ),
        // By another interface it is another.
        ("via 10.9.1.10", "via fe80::10 dev tun0", Some("2001:db8:8::1 is reached via fe80::10 by tun0")),
    ];
    ip(&world.fw, &["link set tun0 up"]);
    let tentative = || world.fw.run("ip", &["addr", "show", "dev", "eth1", "tentative"], "").unwrap();
    until("it has an address of the link to ask from", 10, || tentative().trim().is_empty());
    for (v4, v6, told) in ways {
        ip(&world.fw, &[&format!("route add 0.0.0.0/0 {v4}")]);
        world.fw.ip6(&[format!("route add default {v6}")]).unwrap();
        let refused = said(&world.done(&["apply", &build, "--host", "srv", "--sysctl"]));
        ip(&world.fw, &["route del 0.0.0.0/0"]);
        world.fw.ip6(&["route del default".to_owned()]).unwrap();
        let of_routes: Vec<&str> = refused.lines().filter(|l| l.starts_with("refused (route)")).collect();
        assert!(refused.contains("refused (administrator)"), "{refused}");
        // Neighbours were asked, and the kernel keeps who answered: that is not nothing.
        assert!(refused.ends_with("\nno rule was loaded, and no parameter set\n"), "{refused}");
        match told {
            None => assert_eq!(of_routes, [""; 0], "{v4}, {v6}"),
            Some(told) => assert!(of_routes.iter().any(|l| l.contains(told)), "{v4}, {v6}: {refused}"),
        }
        assert_eq!(
            refused.contains("help: a link-local gateway"),
            refused.contains("via fe80::"),
            "{refused}"
        );
    }
    // A link with one end besides ours has no neighbours to tell apart.
    ip(&world.fw, &["addr add 2001:db8:7::1/64 dev tun0 nodad"]);
    let tunnel = "zone wire { 2001:db8:7::/64 }\nzone far { 2001:db8:8::/64 }\n\
        firewall gw { tun9 2001:db8:7::10 in wire; eth9 2001:db8:8::1 in far }\n\
        host srv { tun0 2001:db8:7::1 in wire; nftables }\nallow http from far to srv\n";
    let tunnel = world.build("tunnel", tunnel).display().to_string();
    for (way, refused) in [("fe80::99", false), ("2001:db8:7::99", true)] {
        world.fw.ip6(&[format!("route add default via {way} dev tun0")]).unwrap();
        let told = said(&world.done(&["apply", &tunnel, "--host", "srv", "--sysctl"]));
        world.fw.ip6(&["route del default".to_owned()]).unwrap();
        assert_eq!(told.contains("refused (route)"), refused, "{way}: {told}");
    }
    let neighbours = world.fw.run("ip", &["neigh", "show", "dev", "eth1", "nud", "permanent"], "").unwrap();
    assert!(neighbours.contains("fe80::66") && neighbours.contains("10.9.1.12"), "{neighbours}");
    // To a neighbour by a gateway: of whichever family that is.
    ip(&world.fw, &["route add 10.9.1.128/25 via inet6 fe80::10 dev eth1"]);
    let refused = said(&world.done(&["apply", &build, "--host", "srv", "--sysctl"]));
    assert!(
        refused.contains("10.9.1.254 is reached via fe80::10 by eth1, and routes.json says a neighbour"),
        "{refused}"
    );
}

/// Two at once: one is on trial, and the other is told so.
#[test]
fn one_change_at_a_time() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let new = world.path("new").display().to_string();
    let start = || {
        let mut command = world.fwc(&["apply", &new, "--i-have-console"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    let (done, not): (Vec<_>, Vec<_>) = both.iter().partition(|output| output.status.success());
    assert_eq!((done.len(), not.len()), (1, 1), "{both:?}");
    let words = said(not[0]);
    assert!(words.contains("is on trial") || words.contains("another run of fwc"), "{words}");
    assert!(world.ok(&["status"]).contains("on trial   generation 2 of `fw`, loaded"));
    world.ok(&["confirm", "--i-have-console"]);
}

/// Whatever nft says, the table is read back; one that is not what was loaded goes at once.
#[test]
fn what_is_not_what_was_loaded_is_rolled_back_at_once() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let before = (world.mark(), world.listing());
    // An nft that loads the file, and one rule more.
    let bin = world.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let script = format!(
        "#!/bin/sh\nPATH={path}:/usr/sbin\nnft \"$@\" || exit\n\
         case \"$2\" in */apply.nft) nft insert rule inet fwc forward udp dport 9999 accept;; esac\n"
    );
    fs::write(bin.join("nft"), script).unwrap();
    fs::set_permissions(bin.join("nft"), fs::Permissions::from_mode(0o755)).unwrap();
    let new = world.path("new").display().to_string();
    let done = world
        .fwc(&["apply", &new, "--i-have-console"])
        .env("PATH", format!("{}:{path}", bin.display()))
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(
        said(&done).contains("rolled back at once: the table is not the one that was loaded"),
        "{}",
        said(&done)
    );
    assert_eq!((world.mark(), world.listing()), before);
    let status = world.ok(&["status"]);
    assert!(status.contains("confirmed  generation 1 of `fw`, loaded"), "{status}");
}

/// The folder of one machine is that machine's, whatever is asked for.
#[test]
fn the_folder_of_another_machine_is_said_to_be_that_machines() {
    let dir = tempfile::Builder::new().prefix("fwc-other-").tempdir().unwrap();
    let build = dir.path().join("build");
    let policy = root().join("tests/apply/policies/old.fw");
    let done = Command::new(FWC).arg("compile").arg(policy).arg("-o").arg(&build).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let folder = build.join("hosts/fw");
    let done =
        Command::new(FWC).args(["apply", "--host", "other", "--dry-run"]).arg(&folder).output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
    assert!(said(&done).contains("is the folder of `fw`, not of `other`"), "{}", said(&done));
}

/// What is in the state directory root loads and runs: nobody else may write it, or move it away.
#[test]
fn a_state_directory_that_others_may_write_is_refused() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let (new, state) = (world.path("new").display().to_string(), world.path("state"));
    std::fs::create_dir_all(&state).unwrap();
    let run = |program: &str, args: &[&str]| {
        assert!(std::process::Command::new(program).args(args).status().unwrap().success());
    };
    let (there, above) = (state.display().to_string(), world.dir.path().display().to_string());
    for (program, bad, good, of) in [
        ("chmod", "0775", "0700", &there),
        ("chmod", "1777", "0700", &there),
        ("chmod", "0757", "0700", &above),
        ("chown", "65534", "0", &there),
        ("chown", "65534", "0", &above),
    ] {
        run(program, &[bad, of]);
        let told = world.done(&["apply", &new, "--i-have-console"]);
        assert_eq!(told.status.code(), Some(1), "{bad} {of}: {}", said(&told));
        assert!(said(&told).contains(&format!("error: `{of}` ")), "{bad} {of}: {}", said(&told));
        assert!(said(&told).contains("root loads and runs"), "{}", said(&told));
        assert_eq!(world.mark(), None);
        run(program, &[good, of]);
    }
    // Where everybody may make folders, and nobody move another's, it is as good.
    run("chmod", &["1777", &above]);
    world.ok(&["apply", &new, "--i-have-console"]);
}

/// What is in the folder root loads and runs: who confirms, rolls back or has it loaded at boot is told that others write there. The
/// watchdog, which nobody helps, ends its trial all the same.
#[test]
fn a_state_folder_of_others_is_refused_by_all_who_load_what_is_in_it() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let (new, state) = (world.path("new").display().to_string(), world.path("state"));
    world.ok(&["apply", &new, "--i-have-console"]);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let image = world.path("image").display().to_string();
    for args in
        [&["confirm", "--i-have-console"][..], &["rollback"], &["boot", "install", "--root", image.as_str()]]
    {
        let told = world.done(args);
        assert_eq!(told.status.code(), Some(1), "{args:?}: {}", said(&told));
        assert!(said(&told).contains("may be written by others"), "{args:?}: {}", said(&told));
    }
    assert!(world.mark().is_some() && !world.path("image").exists());
    let told = world.ok(&["rollback", "--generation", "1"]);
    assert!(told.contains("generation 1 of `fw` is rolled back"), "{told}");
    assert_eq!(world.mark(), None);
    // What the role says is what this says: both end with 0.
    let told = world.ok(&["rollback", "--generation", "1"]);
    assert!(told.contains("nothing was rolled back") && !told.contains("is rolled back"), "{told}");
}

/// What systemd starts, once, ends the trial whatever stands in the place of the state by then.
#[test]
fn the_end_of_a_trial_needs_no_state_folder() {
    if !kernel() {
        return;
    }
    for stands in ["a link that leads nowhere", "a file"] {
        let world = World::new();
        let (new, state) = (world.path("new").display().to_string(), world.path("state"));
        world.ok(&["apply", &new, "--i-have-console"]);
        assert!(world.mark().is_some());
        fs::rename(&state, world.path("moved")).unwrap();
        if stands == "a file" {
            fs::write(&state, "").unwrap();
        } else {
            std::os::unix::fs::symlink("/nonexistent/fwc", &state).unwrap();
        }
        // It looks after what it did for as long as nobody can say who has the lock.
        let mut child = world.fwc(&["rollback", "--generation", "1"]).stderr(Stdio::null()).spawn().unwrap();
        until(stands, 60, || world.mark().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// The watchdog that does without the lock says first that a trial is over, and takes that back where it was confirmed; whoever
/// confirmed too late makes what was confirmed before the confirmed one again.
#[test]
fn of_a_confirmation_and_the_end_of_its_trial_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    for number in [1, 2] {
        fs::create_dir(state.generation(number)).unwrap();
    }
    let (lock, without) = (state.lock(Duration::ZERO).unwrap(), Lock::without());
    lock.confirm(&state, 1).unwrap();
    without.claim(&state, 2, "rolled back by the watchdog");
    assert!(state.was_rolled_back(2));
    lock.confirm(&state, 2).unwrap();
    without.disclaim(&state, 2);
    assert_eq!(state.outcome(2).as_deref(), Some("confirmed as its time was over"));
    lock.unconfirm(&state, Some(1)).unwrap();
    assert_eq!(state.confirmed().unwrap(), Some(1));
    lock.unconfirm(&state, None).unwrap();
    assert_eq!(state.confirmed().unwrap(), None);
    assert!(!state.was_rolled_back(2));
}

/// A confirmation that came too late, and whose process died before it could give up: the next look with the lock does.
#[test]
fn a_confirmation_that_came_too_late_and_died_is_none() {
    if !kernel() {
        return;
    }
    for before in [None, Some(1)] {
        let world = World::new();
        if before.is_some() {
            world.confirmed("old");
        }
        let mark = world.mark();
        let new = world.path("new").display().to_string();
        world.ok(&["apply", &new, "--i-have-console"]);
        let state = State::open(&world.path("state")).unwrap();
        let generation = state.last().unwrap();
        let late = || state.lock(Duration::ZERO).unwrap().confirm(&state, generation).unwrap();
        let look = || world.ok(&["rollback", "--generation", &generation.to_string()]);
        // What is loaded is confirmed.
        late();
        look();
        assert_eq!(state.confirmed().unwrap(), Some(generation));
        state.lock(Duration::ZERO).unwrap().unconfirm(&state, before).unwrap();
        world.ok(&["rollback"]);
        late();
        look();
        assert_eq!((state.confirmed().unwrap(), world.mark()), (before, mark));
        world.ok(&["status"]);
    }
}
