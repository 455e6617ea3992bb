//! What is not ours stays as it is; what is ours is carried over; with each nft.

use std::path::PathBuf;

use super::common::{file, kernel, kernel_required, root};
use super::world::{FWC, World, said};

/// Tables as docker, libvirt and fail2ban write them: the same bytes, handles and counters included.
#[test]
fn other_peoples_tables_are_byte_identical_before_and_after() {
    if !kernel() {
        return;
    }
    let world = World::new();
    for name in ["docker-28", "docker-29", "libvirt", "fail2ban"] {
        world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
        world.fw.nft(&file(format!("tests/foreign/{name}.nft").as_ref()).1).unwrap();
        let before = world.foreign();
        assert!(before.lines().count() > 5, "{name} has no tables");
        world.confirmed("old");
        assert_eq!(world.foreign(), before, "{name}: after the first confirmed");
        let new = world.path("new").display().to_string();
        world.ok(&["apply", &new, "--i-have-console"]);
        assert_eq!(world.foreign(), before, "{name}: on trial");
        world.ok(&["rollback"]);
        assert_eq!(world.foreign(), before, "{name}: rolled back");
        world.confirmed("new");
        assert_eq!(world.foreign(), before, "{name}: after the second confirmed");
        // The next one starts without.
        let _ = std::fs::remove_dir_all(world.path("state"));
    }
}

/// A bridge's table goes with the policy that had it, and comes back with a rollback.
#[test]
fn the_bridge_table_is_deleted_with_its_policy() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let bridge =
        "table bridge fwc { chain forward { type filter hook forward priority 0; policy accept; }; }\n";
    world.fw.nft(bridge).unwrap();
    let has =
        |world: &World| world.fw.run("nft", &["list", "tables"], "").unwrap().contains("table bridge fwc");
    assert!(has(&world));
    let new = world.path("new").display().to_string();
    world.ok(&["apply", &new, "--i-have-console"]);
    assert!(!has(&world), "on trial");
    world.ok(&["rollback"]);
    assert!(has(&world), "rolled back");
    world.confirmed("new");
    assert!(!has(&world), "confirmed");
}

/// Counters, and the timed elements of a limit per source, live through the change of the table.
#[test]
fn what_was_counted_is_carried_over() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    let limited = text.replace(
        "allow tcp 8080 from lan to web",
        "allow tcp 8080 from lan to web { limit 5/minute burst 3 per source }",
    );
    world.build("limited", &limited);
    world.build("limited-more", &(limited + "allow tcp 8443 from lan to web\n"));
    world.confirmed("limited");
    // Two sources begin a connection; a third packet is dropped, and counted.
    for port in ["8080", "8081"] {
        let reach = format!("timeout 1 sh -c 'exec 3<>/dev/tcp/10.9.2.2/{port}'");
        let _ = world.admin.run("bash", &["-c", &format!("{reach}; true")], "");
    }
    let counted = |world: &World| {
        let all = world.fw.run("nft", &["list", "table", "inet", "fwc"], "").unwrap();
        let drop = all.lines().filter(|l| l.contains("everything else")).map(|l| l.trim().to_owned());
        let timed = all.lines().filter(|l| l.contains("10.9.1.10") && l.contains("expires"));
        (drop.collect::<Vec<_>>(), timed.count())
    };
    let before = counted(&world);
    assert!(before.0.iter().any(|l| l.contains("counter packets 1 ")), "{before:?}");
    assert_eq!(before.1, 1, "{before:?}");
    let more = world.path("limited-more").display().to_string();
    world.ok(&["apply", &more, "--i-have-console"]);
    assert_eq!(counted(&world), before, "on trial");
    world.ok(&["rollback"]);
    assert_eq!(counted(&world), before, "rolled back");
}

/// The nft of Debian 12 and 13 each list and load what they themselves wrote.
#[test]
fn every_nft_applies_confirms_and_rolls_back() {
    if !kernel() {
        return;
    }
    for (release, version) in [("bookworm", "v1.0.6"), ("trixie", "v1.1.")] {
        let folder: PathBuf = root().join("target/nft").join(release);
        if !folder.join("nft").is_file() {
            assert!(!kernel_required(), "no nft {version}: run `make tools`");
            println!("SKIPPED: no nft {version}: run tests/tools/fetch-nft.sh {release}");
            continue;
        }
        let world = World::new();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let fwc = |args: &[&str]| {
            let done = world.fwc(args).env("PATH", &path).output().unwrap();
            assert!(done.status.success(), "{version} {args:?}: {}", said(&done));
            said(&done)
        };
        let (old, new) = (world.path("old").display().to_string(), world.path("new").display().to_string());
        fwc(&["apply", &old, "--sysctl", "--i-have-console"]);
        fwc(&["confirm", "--i-have-console"]);
        assert!(fwc(&["apply", &old, "--sysctl", "--i-have-console"]).contains("nothing to do"), "{version}");
        fwc(&["apply", &new, "--i-have-console"]);
        fwc(&["rollback"]);
        assert!(fwc(&["status"]).contains("confirmed  generation 1 of `fw`, loaded"), "{version}");
        let dry = world.fwc(&[]); // Its program and network alone are of use here.
        assert_eq!(dry.get_program(), "nsenter");
        let nft = std::process::Command::new(folder.join("nft")).arg("--version").output().unwrap();
        assert!(said(&nft).contains(version), "{version}: {}", said(&nft));
    }
}

/// Whoever has no rights can still have the kernel read a ruleset.
#[test]
fn a_dry_run_is_a_real_load_and_needs_no_rights() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(world.dir.path(), open).unwrap();
    let build = world.path("old").display().to_string();
    let dry = |user: bool| {
        let mut command = std::process::Command::new(if user { "setpriv" } else { FWC });
        if user {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", FWC]);
        }
        command.args(["apply", &build, "--dry-run"]).output().unwrap()
    };
    let as_root = dry(false);
    assert!(as_root.status.success(), "{}", said(&as_root));
    let as_user = dry(true);
    // Where the program lies in a folder that is not for everybody, this user cannot start it at all.
    if said(&as_user).contains("ermission denied") && as_user.status.code() != Some(2) {
        println!("SKIPPED for another user: {}", said(&as_user));
        return;
    }
    assert!(as_user.status.success(), "{}", said(&as_user));
    assert!(said(&as_user).contains("the kernel takes the ruleset of `fw`"), "{}", said(&as_user));
}
