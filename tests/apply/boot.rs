//! Systemd's part, where systemd does not run: units that systemd itself finds no fault with, their commands in a
//! namespace, and what systemd-run is told. That they run under systemd is not shown here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::common::{kernel, kernel_required};
use super::world::{FWC, World, said};

/// A machine that starts without `br_netfilter`: the parameter that its filter hangs on is not there, and nobody said so.
#[test]
fn the_boot_unit_fails_where_nothing_shows_the_rules_what_is_bridged() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let link = "link add lxc0 type bridge\naddr add 10.9.3.1/24 dev lxc0\nlink set lxc0 up";
    world.fw.ip(&link.lines().map(str::to_owned).collect::<Vec<_>>()).unwrap();
    let text = super::common::file("tests/apply/policies/old.fw".as_ref()).1;
    let bridged = text
        .replace("zone dmz {", "zone guests { 10.9.3.0/24 }\nzone dmz {")
        .replace("    eth2 ", "    lxc0 10.9.3.1 in guests bridge br_netfilter\n    eth2 ");
    world.build("bridged", &bridged);
    world.confirmed("bridged");
    let image = world.path("image");
    world.ok(&["boot", "install", "--root", &image.display().to_string()]);
    let unit = fs::read_to_string(image.join("etc/systemd/system/fwc-boot.service")).unwrap();
    let commands: Vec<&str> = unit.lines().filter_map(|l| l.strip_prefix("ExecStart=")).collect();
    let status = format!("{FWC} status --state {}", world.path("state").display());
    let install =
        format!("{FWC} boot install --root {} --state {}", image.display(), world.path("state").display());
    // With the module, and without: its keys are hidden.
    fs::create_dir(world.path("empty")).unwrap();
    let hidden = format!("mount --bind {} /proc/sys/net/bridge && ", world.path("empty").display());
    let run = |before: &str, command: &str| {
        let script = format!("{before}exec {command}");
        let mut run = Command::new("nsenter");
        run.arg(format!("--net={}", world.fw.path())).args(["unshare", "-m", "--propagation", "private"]);
        run.args(["sh", "-c", &script]).output().unwrap()
    };
    for command in &commands {
        let done = run("", command);
        assert!(done.status.success(), "{command}: {}", said(&done));
    }
    assert!(run("", &status).status.success());
    assert!(!run(&hidden, commands[2]).status.success(), "{unit}");
    for command in [&status, &install] {
        let told = said(&run(&hidden, command));
        assert!(told.contains("without the module br_netfilter nothing filters"), "{command}: {told}");
    }
    assert_eq!(run(&hidden, &status).status.code(), Some(1));
}

#[test]
fn the_boot_unit_loads_what_is_confirmed_and_then_turns_forwarding_on() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let image = world.path("image");
    fs::create_dir_all(image.join("etc/systemd/system/multi-user.target.wants")).unwrap();
    fs::create_dir_all(image.join("lib/systemd/system")).unwrap();
    let install = || world.done(&["boot", "install", "--root", &image.display().to_string()]);
    let first = install();
    assert!(said(&first).contains("nothing is confirmed yet"), "{}", said(&first));
    world.confirmed("old");
    // What `confirmed` points to is gone: a restored backup, a folder that somebody cleared.
    let generations = world.path("state/generations");
    fs::rename(&generations, world.path("away")).unwrap();
    let dangling = install();
    let words = "generation 1 is confirmed, and its rules are not there";
    assert!(said(&dangling).contains(words), "{}", said(&dangling));
    fs::rename(world.path("away"), &generations).unwrap();
    // Debian's unit, as it is: it flushes when it stops.
    fs::write(
        image.join("lib/systemd/system/nftables.service"),
        "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\nExecStop=/usr/sbin/nft flush ruleset\n",
    )
    .unwrap();
    fs::write(image.join("etc/nftables.conf"), "#!/usr/sbin/nft -f\nflush ruleset\n").unwrap();
    fs::write(image.join("etc/systemd/system/multi-user.target.wants/nftables.service"), "").unwrap();
    let second = install();
    assert!(second.status.success(), "{}", said(&second));
    for warning in ["flushes every table when it is stopped", "begins with `flush ruleset`"] {
        assert!(said(&second).contains(warning), "{}", said(&second));
    }
    // What `systemd-sysctl` turns on by itself, the unit does not keep off; of two files of one name it reads the first.
    assert!(!said(&second).contains("whether the rules are loaded or not"), "{}", said(&second));
    for (file, text) in [
        (
            "etc/sysctl.d/50-off.conf",
            "# net.ipv4.ip_forward = 1\nnet.ipv4.ip_forward = 0\nnet.ipv4.tcp_syncookies = 1\n",
        ),
        ("etc/sysctl.d/90-router.conf", "-net/ipv4/ip_forward=1\n"),
        ("usr/lib/sysctl.d/50-off.conf", "net.ipv4.ip_forward = 1\n"),
        ("usr/lib/sysctl.d/60-six.conf", "net.ipv6.conf.all.forwarding = 2\n"),
    ] {
        fs::create_dir_all(image.join(file).parent().unwrap()).unwrap();
        fs::write(image.join(file), text).unwrap();
    }
    let third = said(&install());
    let told: Vec<&str> = third
        .lines()
        .filter_map(|line| line.split_once(" on, whether the rules are loaded or not").map(|(head, _)| head))
        .collect();
    assert_eq!(
        told,
        [
            "warning: `/usr/lib/sysctl.d/60-six.conf` turns `net.ipv6.conf.all.forwarding`",
            "warning: `/etc/sysctl.d/90-router.conf` turns `net.ipv4.ip_forward`",
        ],
        "{third}"
    );
    let unit = image.join("etc/systemd/system/fwc-boot.service");
    assert!(
        image.join("etc/systemd/system/sysinit.target.wants/fwc-boot.service").symlink_metadata().is_ok()
    );
    let text = fs::read_to_string(&unit).unwrap();
    assert!(!text.contains("flush"), "{text}");
    match Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&unit).output() {
        Ok(done) => {
            let about = said(&done);
            let ours: Vec<&str> = about.lines().filter(|l| l.contains("fwc")).collect();
            assert!(done.status.success() && ours.is_empty(), "{about}");
        }
        Err(why) => {
            assert!(!kernel_required(), "no systemd-analyze: run `make tools`: {why}");
            println!("SKIPPED: no systemd-analyze");
        }
    }
    // A machine that starts: no tables, no forwarding.
    world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
    world.fw.sysctl(&[("ipv4/ip_forward".to_owned(), "0")]).unwrap();
    let forwards = || world.fw.run("cat", &["/proc/sys/net/ipv4/ip_forward"], "").unwrap().trim() == "1";
    let commands: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("ExecStart=")).collect();
    assert_eq!(commands.len(), 4, "{text}");
    let run = |command: &str| world.fw.run("sh", &["-c", &format!("exec {command}")], "").unwrap();
    run(commands[0]);
    assert!(world.mark().unwrap().starts_with("fwc_generation_1_"));
    assert!(!forwards(), "the rules stand before anything is forwarded");
    run(commands[1]);
    assert!(!forwards(), "they are known to be whole");
    run(commands[2]);
    assert!(!forwards(), "of no bridge it asks for a module");
    run(commands[3]);
    assert!(forwards());
    assert!(world.ok(&["status"]).contains("confirmed  generation 1 of `fw`, loaded"));
    // Rules that do not load leave forwarding off: the second command is not run after a first that failed.
    assert!(
        text.contains("Type=oneshot"),
        "systemd.service(5): commands of a oneshot end at the first that fails"
    );
}

/// A file that was cut loads in part, or is nothing and loads well: the unit fails then, before anything is forwarded. Who asks
/// before the machine starts is told.
#[test]
fn the_boot_unit_fails_where_what_it_loads_is_not_what_was_confirmed() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world
        .fw
        .ip(&["link add lxc0 type bridge".to_owned(), "addr add 10.9.3.1/24 dev lxc0".to_owned()])
        .unwrap();
    let old = super::common::file("tests/apply/policies/old.fw".as_ref()).1;
    let old = old
        .replace("zone dmz {", "zone guests { 10.9.3.0/24 }\nzone dmz {")
        .replace("    eth2 ", "    lxc0 10.9.3.1 in guests bridge stateless \"few states\"\n    eth2 ");
    let build = world.build("bridged", &old).display().to_string();
    world.confirmed("bridged");
    let image = world.path("image");
    let install = || world.ok(&["boot", "install", "--root", &image.display().to_string()]);
    assert!(!install().contains("boot.nft"));
    let unit = fs::read_to_string(image.join("etc/systemd/system/fwc-boot.service")).unwrap();
    let commands: Vec<&str> = unit.lines().filter_map(|l| l.strip_prefix("ExecStart=")).collect();
    // As systemd runs them: to the first that fails.
    let start = || {
        world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
        world.fw.sysctl(&[("ipv4/ip_forward".to_owned(), "0")]).unwrap();
        commands
            .iter()
            .position(|command| world.fw.run("sh", &["-c", &format!("exec {command}")], "").is_err())
    };
    let forwards = || world.fw.run("cat", &["/proc/sys/net/ipv4/ip_forward"], "").unwrap().trim() == "1";
    assert_eq!((start(), forwards()), (None, true), "{unit}");
    let path = world.path("state/generations/1/boot.nft");
    let whole = fs::read_to_string(&path).unwrap();
    let head = whole.lines().take(1).map(|line| format!("{line}\n")).collect::<String>();
    let (first, _) = whole.split_once("table bridge fwc {").unwrap();
    let unsealed = whole.split_once('\n').unwrap().1.to_owned();
    let damaged: [(&str, String, usize); 7] = [
        ("empty", String::new(), 1),
        ("without its first line", unsealed.clone(), 1),
        ("its first line alone", head, 1),
        ("between the tables", first.to_owned(), 1),
        ("within a table", whole[..whole.len() / 2].to_owned(), 0),
        ("without its last line, which is empty", whole.trim_end().to_owned(), 1),
        ("a word changed", whole.replacen("tcp", "udp", 1), 1),
    ];
    for (what, text, fails) in damaged {
        fs::write(&path, text).unwrap();
        assert_eq!((start(), forwards()), (Some(fails), false), "{what}: {unit}");
        assert_eq!(
            world.mark().is_some(),
            what != "empty" && what != "its first line alone" && fails > 0,
            "{what}"
        );
        let told = world.done(&["status"]);
        let words = "wrong      `boot.nft` of generation 1 is empty, cut short or not what was written";
        assert_eq!(told.status.code(), Some(1), "{what}: {}", said(&told));
        assert!(said(&told).contains(words), "{what}: {}", said(&told));
        assert!(install().contains("the unit fails, and turns no forwarding on"), "{what}");
    }
    // An older fwc wrote no digest, into this file and the one beside it.
    fs::write(&path, unsealed).unwrap();
    let beside = world.path("state/generations/1/rollback.nft");
    let text = fs::read_to_string(&beside).unwrap();
    fs::write(&beside, text.split_once('\n').unwrap().1).unwrap();
    assert_eq!((start(), forwards()), (None, true), "{unit}");
    world.ok(&["status"]);
    // The rules are the ones, and there is something to do all the same.
    fs::write(&path, "").unwrap();
    assert!(world.ok(&["apply", &build, "--i-have-console"]).contains("generation 2"));
    world.ok(&["confirm", "--i-have-console"]);
    world.ok(&["status"]);
    assert!(world.ok(&["apply", &build]).contains("nothing to do"));
    assert_eq!((start(), forwards()), (None, true));
}

/// A unit that cannot read what it is to load would load nothing, and nobody would know until the machine starts.
#[test]
fn a_state_that_the_boot_unit_cannot_read_is_refused() {
    let image = tempfile::Builder::new().prefix("fwc-boot-").tempdir().unwrap();
    for (state, why) in [
        ("/root/no-such-fwc", "below `/root`, which the unit does not see"),
        ("/home/no-such/fwc", "below `/home`, which the unit does not see"),
        ("/run/user/0/no-such-fwc", "below `/run/user`, which the unit does not see"),
        ("/run/no-such-fwc", "below `/run`, which is empty when the machine starts"),
    ] {
        let mut command = Command::new(FWC);
        command.args(["boot", "install", "--state", state, "--root"]).arg(image.path());
        let refused = command.output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{state}: {}", said(&refused));
        assert!(
            said(&refused).contains(why) && said(&refused).contains("/var/lib/fwc"),
            "{}",
            said(&refused)
        );
        assert!(!Path::new(state).exists(), "{state}");
    }
    // Nor by another name of such a folder, or by one that nobody can tell.
    let dir = tempfile::Builder::new().prefix("fwc-boot-").tempdir().unwrap();
    std::os::unix::fs::symlink("/run", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/home/no-such", dir.path().join("nowhere")).unwrap();
    for state in ["link/no-such-fwc", "nowhere/fwc", "no-such/../../home/fwc"] {
        let mut command = Command::new(FWC);
        command.args(["boot", "install", "--state", state, "--root"]).arg(image.path());
        let refused = command.current_dir(dir.path()).output().unwrap();
        assert_ne!(refused.status.code(), Some(0), "{state}: {}", said(&refused));
    }
    assert_eq!(fs::read_dir(image.path()).unwrap().count(), 0, "nothing is written");
}

/// What a machine with systemd is asked for: a timer of its own, armed before the change.
#[test]
fn where_systemd_runs_the_watchdog_is_a_timer() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let bin = world.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let record = world.path("argv");
    // It says yes, writes down what it was told, and what the live table was then.
    for name in ["systemd-run", "systemctl"] {
        let script = format!(
            "#!/bin/sh\necho {name} >>{r}\nfor a; do echo \"  $a\" >>{r}; done\nnft list ruleset | grep -c generation >>{r}\nexit 0\n",
            r = record.display()
        );
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    // sd_booted(3) looks for a folder: in a namespace of mounts it is there.
    let script = format!(
        "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && export PATH={}:$PATH && \
         {FWC} apply {} --state {} --sysctl --i-have-console --confirm-within 90s && {FWC} confirm --state {} --i-have-console",
        bin.display(),
        world.path("old").display(),
        world.path("state").display(),
        world.path("state").display(),
    );
    let done = Command::new("nsenter")
        .arg(format!("--net={}", world.fw.path()))
        .args(["unshare", "-m", "--propagation", "private", "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let argv = fs::read_to_string(&record).unwrap();
    let lines: Vec<&str> = argv.lines().map(str::trim).collect();
    assert_eq!(lines[0], "systemd-run", "{argv}");
    assert!(lines[1].starts_with("--unit=fwc-rollback-1-"), "{argv}");
    let within: u64 =
        lines[3].strip_prefix("--on-active=").and_then(|t| t.strip_suffix("ms")).unwrap().parse().unwrap();
    assert!((80_000..=90_000).contains(&within), "{argv}");
    assert_eq!(lines[4], "--timer-property=AccuracySec=1s", "{argv}");
    assert!(lines[7].ends_with("/fwc"), "{argv}");
    assert_eq!(lines[8..11], ["rollback", "--generation", "1"], "{argv}");
    // Before anything was changed.
    assert_eq!(lines[13], "0", "{argv}");
    assert!(argv.contains("stop"), "confirming ends the timer: {argv}");
}

/// One try is not enough: nft may fail, or another run have the lock.
#[test]
fn what_the_timer_starts_tries_until_the_old_table_is_back() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let bin = world.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let (d, path) = (world.dir.path().display(), std::env::var("PATH").unwrap());
    // Twice nft does not put the old table back.
    let nft = format!(
        "case \"$2\" in */rollback.nft) [ -e {d}/second ] || {{ [ -e {d}/first ] && : >{d}/second; : >{d}/first; exit 1; }};; esac\n\
         PATH={path}:/usr/sbin exec nft \"$@\"\n"
    );
    let run =
        format!("while [ \"$1\" != -- ]; do shift; done; shift; for a; do echo \"$a\"; done >{d}/service\n");
    for (name, script) in [("nft", nft.as_str()), ("systemd-run", &run), ("systemctl", "exit 0\n")] {
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = format!(
        "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && export PATH={}:$PATH && \
         {FWC} apply {d}/old --state {d}/state --sysctl --i-have-console",
        bin.display(),
    );
    let done = Command::new("nsenter")
        .arg(format!("--net={}", world.fw.path()))
        .args(["unshare", "-m", "--propagation", "private", "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
    assert!(world.mark().is_some());
    let service = fs::read_to_string(world.path("service")).unwrap();
    let done = Command::new("nsenter")
        .arg(format!("--net={}", world.fw.path()))
        .args(service.lines())
        .output()
        .unwrap();
    assert_eq!(world.mark(), None, "{}", said(&done));
    assert!(done.status.success(), "{}", said(&done));
    assert!(world.path("second").exists(), "it failed twice before");
    let status = world.ok(&["status"]);
    assert!(status.contains("rolled back by the watchdog"), "{status}");
}

/// What systemd would read as two words, or as a specifier, stands in no unit.
#[test]
fn a_state_directory_that_no_unit_can_name_is_refused() {
    let dir = tempfile::Builder::new().prefix("fwc-boot-").tempdir().unwrap();
    let image = dir.path().join("image");
    for (name, takes) in [("state my", false), ("state%n", false), ("state$x", false), ("state-2.d", true)] {
        let done = Command::new(FWC)
            .args(["boot", "install", "--root"])
            .arg(&image)
            .arg("--state")
            .arg(dir.path().join(name))
            .output()
            .unwrap();
        let unit = image.join("etc/systemd/system/fwc-boot.service");
        assert_eq!((done.status.success(), unit.exists()), (takes, takes), "{name}: {}", said(&done));
        if !takes {
            let words = format!("{name}` cannot stand in a unit of systemd");
            assert!(said(&done).contains(&words), "{name}: {}", said(&done));
        }
    }
}
