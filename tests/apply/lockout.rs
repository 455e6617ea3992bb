//! The administrator's way in: proved open before, and open again after, whatever dies.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::common::{file, kernel};
use super::world::{FWC, Sshd, World, said, until};

fn words(world: &World, build: &str, rest: &str) -> String {
    format!("{FWC} apply {} {rest}", world.path(build).display())
}

/// Over ssh, as it is meant to be used.
#[test]
fn over_ssh_a_ruleset_is_applied_and_confirmed_from_a_new_login() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let Some(sshd) = Sshd::start(&world) else { return };
    // The machine is not yet as the proof assumes: forwarding is off.
    let refused = sshd.run(&words(&world, "old", ""));
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("refused (parameter): `net.ipv4.ip_forward` is 0"), "{}", said(&refused));
    assert_eq!(world.mark(), None);
    let applied = sshd.run(&words(&world, "old", "--sysctl"));
    assert!(applied.status.success(), "{}", said(&applied));
    assert!(said(&applied).contains("generation 1 of `fw` is loaded, on trial"), "{}", said(&applied));
    // Applying and confirming over one connection shows nothing.
    let same = sshd.run(&format!("{FWC} rollback; {} && {FWC} confirm", words(&world, "old", "--sysctl")));
    assert_eq!(same.status.code(), Some(1), "{}", said(&same));
    assert!(said(&same).contains("this is the connection that applied it"), "{}", said(&same));
    let confirmed = sshd.run(&format!("{FWC} confirm"));
    assert!(confirmed.status.success(), "{}", said(&confirmed));
    let status = sshd.run(&format!("{FWC} status"));
    assert!(said(&status).contains("confirmed  generation 2 of `fw`, loaded"), "{}", said(&status));
    assert!(said(&status).contains("by root from 10.9.1.10"), "{}", said(&status));
    // Without a change there is nothing to do, and nothing is done.
    let again = sshd.run(&words(&world, "old", "--sysctl"));
    assert!(again.status.success() && said(&again).contains("nothing to do"), "{}", said(&again));
    assert!(world.mark().unwrap().starts_with("fwc_generation_2_"));
    // What would lock its administrator out is refused by proof.
    let refused = sshd.run(&words(&world, "lockout", ""));
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let why = "would be cut off: a new connection like this one: stopped in input by `inet fwc input`";
    assert!(said(&refused).contains(why), "{}", said(&refused));
    assert!(world.mark().unwrap().starts_with("fwc_generation_2_"));
    // So is what another table would do to them, of which the policy says nothing.
    world.fw.nft("table inet other { chain c { type filter hook input priority 50; tcp dport 22 ct state new drop; }; }\n").unwrap();
    let refused = sshd_established(&sshd, &world);
    assert!(refused.contains("stopped in input by `inet other c`"), "{refused}");
}

/// A session that was open before the foreign drop came.
fn sshd_established(sshd: &Sshd, world: &World) -> String {
    world.fw.run("nft", &["delete", "table", "inet", "other"], "").unwrap();
    let script = format!(
        "nft 'table inet other {{ chain c {{ type filter hook input priority 50; tcp dport 22 ct state new drop; }}; }}'; \
         {}; nft delete table inet other",
        words(world, "new", "")
    );
    said(&sshd.run(&script))
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The client is killed with SIGKILL: the connection is never closed.
    KilledClient,
    /// The session's sshd in the firewall is killed with SIGKILL.
    KilledServer,
    /// The client's end of the terminal is closed.
    ClosedPty,
    /// The foreground group is sent SIGHUP, then SIGKILL.
    Hangup,
    /// Nobody does anything.
    Silence,
}

/// Where iptables-apply does not roll back (its trap deletes what was saved), and where it does.
#[test]
fn a_ruleset_that_locks_out_is_rolled_back_however_the_session_ends() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let Some(sshd) = Sshd::start(&world) else { return };
    assert!(sshd.run(&words(&world, "old", "--sysctl")).status.success());
    assert!(sshd.run(&format!("{FWC} confirm")).status.success());
    let before = (world.mark(), world.listing());
    for end in [End::KilledClient, End::KilledServer, End::ClosedPty, End::Hangup, End::Silence] {
        let apply = words(&world, "lockout", "--i-have-console --confirm-within 5s");
        let mut session = open(&sshd, end, &apply);
        until("the ruleset on trial is loaded", 20, || world.mark() != before.0);
        finish(&mut session, end);
        assert!(!sshd.lets_in(), "{end:?}: the ruleset that locks out lets in");
        until(&format!("{end:?}: rolled back"), 15, || world.mark() == before.0);
        assert_eq!(world.listing(), before.1, "{end:?}");
        until(&format!("{end:?}: the login works again"), 10, || sshd.lets_in());
        let status = sshd.run(&format!("{FWC} status"));
        assert!(status.status.success(), "{end:?}: {}", said(&status));
        assert!(said(&status).contains("rolled back by the watchdog"), "{end:?}: {}", said(&status));
        let _ = session.kill();
        let _ = session.wait();
    }
}

fn open(sshd: &Sshd, end: End, apply: &str) -> Child {
    let script = match end {
        // Hangs up on its own group after the ruleset is loaded.
        End::Hangup => format!("sh -c '{apply}; kill -HUP 0; kill -KILL 0'"),
        // The session's own sshd is the parent of its shell.
        End::KilledServer => format!("{apply}; kill -KILL $PPID; sleep 60"),
        End::KilledClient | End::ClosedPty | End::Silence => format!("{apply}; sleep 60"),
    };
    let mut command = match end {
        End::ClosedPty | End::Hangup => sshd.ssh(&["-tt", &script]),
        End::KilledClient | End::KilledServer | End::Silence => sshd.ssh(&[&script]),
    };
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn finish(session: &mut Child, end: End) {
    match end {
        End::KilledClient => session.kill().unwrap(),
        // ssh ends at the end of its input where it has a terminal: the far end is hung up on.
        End::ClosedPty => {
            drop(session.stdin.take());
            let number = session.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &number]).status();
        }
        End::KilledServer | End::Hangup | End::Silence => {}
    }
    std::thread::sleep(Duration::from_millis(200));
}

/// The connection is found where sudo and others have dropped the environment, and not believed where it is stale.
#[test]
fn who_administers_is_known_by_the_socket_and_not_by_the_environment() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let Some(sshd) = Sshd::start(&world) else { return };
    let apply = words(&world, "old", "--sysctl --confirm-within 60s");
    let bare = sshd.run(&format!("env -i PATH=$PATH setsid -w {apply}"));
    assert!(bare.status.success(), "{}", said(&bare));
    assert!(sshd.run(&format!("{FWC} rollback")).status.success());
    // An old login's environment without that login: the process is nobody's child, the connection is not there.
    let stale = "SSH_CONNECTION='10.9.1.10 4242 10.9.1.1 22'";
    let log = world.path("lib/out");
    let script = format!(
        "{stale} setsid sh -c 'sleep 0.5; {apply} >/var/lib/fwc/out 2>&1; echo ended >>/var/lib/fwc/out' >/dev/null 2>&1 </dev/null &"
    );
    assert!(sshd.run(&script).status.success());
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    until("the orphan ended", 20, || read().contains("ended"));
    assert!(read().contains("refused (administrator): it is not known"), "{}", read());
    assert_eq!(world.mark(), None);
}

/// Over IPv6 too: what is allowed over IPv4 alone would cut this administrator off.
#[test]
fn an_administrator_over_ipv6_is_known_and_not_locked_out() {
    if !kernel() {
        return;
    }
    let world = World::new();
    for (near, own, wire) in [(&world.fw, "2001:db8:9::1", "eth1"), (&world.admin, "2001:db8:9::10", "eth0")]
    {
        near.ip(&[format!("addr add {own}/64 dev {wire} nodad")]).unwrap();
    }
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    let both = text
        .replace("zone lan { 10.9.1.0/24 }", "zone lan { 10.9.1.0/24, 2001:db8:9::/64 }")
        .replace("eth1 10.9.1.1 in lan", "eth1 10.9.1.1, 2001:db8:9::1 in lan")
        .replace("host admin = 10.9.1.10 in lan", "host admin { eth0 10.9.1.10, 2001:db8:9::10 in lan }");
    world.build("both", &both);
    let narrow =
        both.replace("allow ssh, ping from admin to fw.lan", "allow ssh, ping from 10.9.1.10 to fw.lan");
    assert_ne!(narrow, both);
    world.build("narrow", &narrow);
    let Some(mut sshd) = Sshd::start(&world) else { return };
    "2001:db8:9::1".clone_into(&mut sshd.server);
    until("sshd answers over IPv6", 20, || sshd.lets_in());

    let applied = sshd.run(&words(&world, "both", "--sysctl"));
    assert!(applied.status.success(), "{}", said(&applied));
    let confirmed = sshd.run(&format!("{FWC} confirm"));
    assert!(confirmed.status.success(), "{}", said(&confirmed));
    let status = sshd.run(&format!("{FWC} status"));
    assert!(said(&status).contains("by root from 2001:db8:9::10"), "{}", said(&status));

    let before = world.mark();
    let refused = sshd.run(&words(&world, "narrow", "--sysctl"));
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("ssh [2001:db8:9::10]:"), "{}", said(&refused));
    let why = "would be cut off: a new connection like this one: stopped in input by `inet fwc input`";
    assert!(said(&refused).contains(why), "{}", said(&refused));
    assert_eq!(world.mark(), before);
    // Forced, it does lock out, and is taken back.
    let forced = sshd.run(&words(&world, "narrow", "--sysctl --i-have-console --confirm-within 5s"));
    assert!(forced.status.success(), "{}", said(&forced));
    assert!(!sshd.lets_in(), "the proof was right");
    until("rolled back", 15, || world.mark() == before);
    until("the login works again", 10, || sshd.lets_in());
}

/// A permission that is past lets nobody in today, whenever it was proved; and a limit of new logins is no lock.
#[test]
fn what_is_past_counts_for_nobody_and_a_limit_is_no_lock() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let Some(sshd) = Sshd::start(&world) else { return };
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    let with = |block: &str| {
        let line = "allow ssh, ping from admin to fw.lan";
        let all = text.replace(
            line,
            &format!("allow ping from admin to fw.lan\nallow ssh from admin to fw.lan {block}"),
        );
        assert_ne!(all, text);
        all
    };
    world.build("limited", &with("{ limit 1/second burst 10 per source }"));
    world.build("past", &with("{ until 2026-01-01 }"));
    world.build("coming", &with("{ until 2100-01-01 }"));
    for build in ["limited", "coming"] {
        let applied = sshd.run(&words(&world, build, "--sysctl"));
        assert!(applied.status.success(), "{build}: {}", said(&applied));
        assert!(sshd.run(&format!("{FWC} confirm")).status.success(), "{build}");
    }
    let before = world.mark();
    let refused = sshd.run(&words(&world, "past", "--sysctl"));
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let why = "would be cut off: a new connection like this one: stopped in input by `inet fwc input`";
    assert!(said(&refused).contains(why), "{}", said(&refused));
    assert_eq!(world.mark(), before);
}

/// A session that was open before shows nothing of new logins, whoever's it is.
#[test]
fn who_logged_in_before_the_trial_confirms_nothing() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let Some(sshd) = Sshd::start(&world) else { return };
    let waits =
        format!(": >/var/lib/fwc/here; until [ -e /var/lib/fwc/go ]; do sleep 0.1; done; {FWC} confirm");
    // The kernel tracks nothing yet: from the load on this session stalls until the administrator's side sends (docs/apply.md).
    let types = ["-o", "ServerAliveInterval=1", waits.as_str()];
    let older = sshd.ssh(&types).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the older session is open", 10, || world.path("lib/here").exists());
    let applied = sshd.run(&words(&world, "old", "--sysctl"));
    assert!(applied.status.success(), "{}", said(&applied));
    std::fs::write(world.path("lib/go"), "").unwrap();
    let older = older.wait_with_output().unwrap();
    assert_eq!(older.status.code(), Some(1), "{}", said(&older));
    assert!(said(&older).contains("this connection was open before the trial"), "{}", said(&older));
    assert!(said(&older).contains("log in anew"), "{}", said(&older));
    let status = sshd.run(&format!("{FWC} status"));
    assert!(said(&status).contains("on trial   generation 1 of `fw`, loaded"), "{}", said(&status));
    let confirmed = sshd.run(&format!("{FWC} confirm"));
    assert!(confirmed.status.success(), "{}", said(&confirmed));
}

/// A tunnel that ends on the machine brings logins from the machine itself, whatever the rules say of others; and it stays
/// open where no new one could be dialled.
#[test]
fn a_login_from_the_machine_itself_shows_nothing_of_others() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let Some(mut sshd) = Sshd::start(&world) else { return };
    let mut tunnel = sshd.ssh(&["-N", "-o", "ServerAliveInterval=1", "-L", "2224:127.0.0.1:22"]);
    let mut tunnel = tunnel.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    "127.0.0.1".clone_into(&mut sshd.server);
    let by_tunnel = |sshd: &Sshd, words: &str| sshd.ssh(&["-p", "2224", words]).output().unwrap();
    until("the tunnel is open", 10, || by_tunnel(&sshd, "true").status.success());
    // What locks everybody out, and what does not: of neither is it known by this login.
    for build in ["lockout", "old"] {
        let refused = by_tunnel(&sshd, &words(&world, build, "--sysctl"));
        assert_eq!(refused.status.code(), Some(1), "{build}: {}", said(&refused));
        let why = "refused (administrator): ssh 127.0.0.1:";
        let told = said(&refused);
        assert!(told.contains(why) && told.contains("comes from this machine itself"), "{build}: {told}");
        assert!(told.contains("--i-have-console"), "{build}: {told}");
        assert_eq!(world.mark(), None, "{build}");
    }
    "10.9.1.1".clone_into(&mut sshd.server);
    let applied = sshd.run(&words(&world, "old", "--sysctl"));
    assert!(applied.status.success(), "{}", said(&applied));
    // By `ssh localhost`, and by addresses of its own that are no loopback.
    let again = |to: &str| {
        let key = world.path("user").display().to_string();
        let quiet = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
        sshd.run(&format!("ssh -F /dev/null -i {key} {quiet} root@{to} {FWC} confirm"))
    };
    for done in [again("127.0.0.1"), again("10.9.1.1"), again("10.9.2.1")] {
        assert_eq!(done.status.code(), Some(1), "{}", said(&done));
        assert!(said(&done).contains("comes from this machine itself"), "{}", said(&done));
    }
    let status = sshd.run(&format!("{FWC} status"));
    assert!(said(&status).contains("on trial   generation 1 of `fw`, loaded"), "{}", said(&status));
    let confirmed = sshd.run(&format!("{FWC} confirm"));
    assert!(confirmed.status.success(), "{}", said(&confirmed));
    // Whoever has a console may come by a tunnel all the same; a login from elsewhere confirms it.
    "127.0.0.1".clone_into(&mut sshd.server);
    let forced = by_tunnel(&sshd, &words(&world, "new", "--sysctl --i-have-console"));
    assert!(forced.status.success(), "{}", said(&forced));
    let refused = by_tunnel(&sshd, &format!("{FWC} confirm"));
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    "10.9.1.1".clone_into(&mut sshd.server);
    let confirmed = sshd.run(&format!("{FWC} confirm"));
    assert!(confirmed.status.success(), "{}", said(&confirmed));
    tunnel.kill().unwrap();
    tunnel.wait().unwrap();
}

/// What drops before a packet comes to the hooks that are followed may be the end of every login.
#[test]
fn what_may_drop_at_the_device_is_refused() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let Some(sshd) = Sshd::start(&world) else { return };
    let netdev = |device: &str, rules: &str| {
        let base = format!("type filter hook ingress device \"{device}\" priority 0");
        format!("table netdev other {{ chain i {{ {base}; {rules}; }}; }}")
    };
    let syn = "tcp dport 22 tcp flags & (syn | ack) == syn drop";
    let inet = "table inet other { chain i { type filter hook ingress device \"eth1\" priority 0; udp dport 9 drop; }; }";
    let arp = "table arp other { chain i { type filter hook input priority 0; arp htype 7 drop; }; }";
    let jumps = "table netdev other { chain bad { udp dport 9 drop; }; \
                 chain i { type filter hook ingress device \"eth1\" priority 0; udp dport 9 jump bad; }; }";
    let cases = [
        (netdev("eth1", syn), Some("ingress: `netdev other i`")),
        (jumps.to_owned(), Some("ingress: `netdev other i`")),
        (inet.to_owned(), Some("ingress: `inet other i`")),
        (arp.to_owned(), Some("input: `arp other i`")),
        (netdev("eth2", syn), None),
        (netdev("eth1", "tcp dport 22 counter accept"), None),
    ];
    for (table, refused) in cases {
        let family = table.split(' ').nth(1).unwrap();
        // In one session: what is loaded may let no other in.
        let script = format!(
            "nft '{table}' || exit 9; {}; code=$?; nft delete table {family} other; [ $code = 0 ] && {FWC} rollback; exit $code",
            words(&world, "old", "--sysctl")
        );
        let done = sshd.run(&script);
        let told = said(&done);
        match refused {
            Some(by) => {
                assert_eq!(done.status.code(), Some(1), "{table}: {told}");
                let why = "refused (administrator): ssh 10.9.1.10:";
                assert!(
                    told.contains(why) && told.contains(&format!("not known in {by}")),
                    "{table}: {told}"
                );
            }
            None => assert!(done.status.success(), "{table}: {told}"),
        }
        assert_eq!(world.mark(), None, "{table}");
    }
}

/// Between arming and loading the old rules stand: a login of that moment shows nothing of the new ones.
#[test]
fn who_logged_in_while_it_was_loaded_does_not_confirm() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let Some(sshd) = Sshd::start(&world) else { return };
    assert!(sshd.run(&words(&world, "old", "--sysctl")).status.success());
    assert!(sshd.run(&format!("{FWC} confirm")).status.success());
    let bin = world.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let slow = "#!/bin/sh\ncase \"$*\" in *apply.nft) sleep 3;; esac\nPATH=${PATH#*:}; exec nft \"$@\"\n";
    let nft = bin.join("nft");
    std::fs::write(&nft, slow).unwrap();
    std::fs::set_permissions(&nft, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let apply = format!("PATH={}:$PATH {}", bin.display(), words(&world, "new", ""));
    let mut applying = sshd.ssh(&[&apply]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it is armed", 20, || world.path("lib/trial.json").exists());
    let wait = "until grep -q 'generation 2 .* is loaded' /var/lib/fwc/log; do sleep 0.1; done";
    let early = sshd.run(&format!("{wait}; {FWC} confirm"));
    assert_eq!(early.status.code(), Some(1), "{}", said(&early));
    assert!(said(&early).contains("was open before the trial"), "{}", said(&early));
    assert!(applying.wait().unwrap().success());
    // Nor does anybody where `apply` ended before it could note who came.
    let record = world.path("lib/generations/2/record.json");
    let noted = std::fs::read_to_string(&record).unwrap();
    assert!(!noted.contains("\"loading\""), "{noted}");
    std::fs::write(&record, noted.replacen('{', "{\"loading\": true,", 1)).unwrap();
    let unnoted = sshd.run(&format!("{FWC} confirm"));
    assert!(said(&unnoted).contains("who logged in while it was loaded"), "{}", said(&unnoted));
    std::fs::write(&record, noted).unwrap();
    let confirmed = sshd.run(&format!("{FWC} confirm"));
    assert!(confirmed.status.success(), "{}", said(&confirmed));
}
