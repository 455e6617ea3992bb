//! The end of a trial where something of it is gone: an interface, a parameter, the mark of the trial.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::common::kernel;
use super::world::{FWC, World, said, until};

/// A parameter went with its interface: there is nothing to take back, and nothing for the trial to wait for.
#[test]
fn the_parameters_of_an_interface_that_is_gone_keep_no_trial_from_its_end() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let new = world.path("new").display().to_string();
    world.ok(&["apply", &new, "--sysctl", "--i-have-console", "--confirm-within", "5s"]);
    let record = fs::read_to_string(world.path("state/generations/1/record.json")).unwrap();
    assert!(record.contains("net/ipv4/conf/eth2/"), "{record}");
    world.fw.ip(&["link del eth2".to_owned()]).unwrap();
    until("rolled back", 15, || world.mark().is_none());
    until("the trial is over", 5, || !world.path("state/trial.json").exists());
    let status = world.ok(&["status"]);
    assert!(status.contains("last       generation 1: rolled back by the watchdog"), "{status}");
    assert!(!status.contains("cannot set"), "{status}");
    let forwards = world.fw.run("cat", &["/proc/sys/net/ipv4/ip_forward"], "").unwrap();
    assert_eq!(forwards.trim(), "0", "what is there is taken back");
}

/// A parameter that does not go back is told; the table is back, and the trial over.
#[test]
fn a_parameter_that_cannot_be_taken_back_is_told_and_the_trial_is_over() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let new = world.path("new").display().to_string();
    world.ok(&["apply", &new, "--sysctl", "--i-have-console"]);
    let path = world.path("state/generations/1/record.json");
    let mut record: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for parameter in record["parameters"].as_array_mut().unwrap() {
        if parameter["key"] == "net/ipv4/ip_forward" {
            parameter["before"] = "neither".into();
        }
    }
    fs::write(&path, record.to_string()).unwrap();
    let told = world.done(&["rollback"]);
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    let words =
        "generation 1 is rolled back, but not every parameter: cannot set net/ipv4/ip_forward to neither";
    assert!(said(&told).contains(words), "{}", said(&told));
    assert_eq!(world.mark(), None);
    let status = world.ok(&["status"]);
    assert!(status.contains("cannot set net/ipv4/ip_forward"), "{status}");
    world.ok(&["apply", &new, "--sysctl", "--i-have-console"]);
}

/// The watchdog was told its generation: without a mark that can be read it asks what became of that one.
#[test]
fn a_mark_of_the_trial_that_is_damaged_or_gone_keeps_no_unconfirmed_table() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let before = world.mark();
    let (new, mark) = (world.path("new").display().to_string(), world.path("state/trial.json"));
    let damages: [(&str, &dyn Fn()); 2] =
        [("damaged", &|| fs::write(&mark, "").unwrap()), ("gone", &|| fs::remove_file(&mark).unwrap())];
    for (what, damage) in damages {
        world.ok(&["apply", &new, "--i-have-console", "--confirm-within", "5s"]);
        assert_ne!(world.mark(), before, "{what}");
        damage();
        until(&format!("{what}: rolled back"), 15, || world.mark() == before);
        until(&format!("{what}: it is said"), 5, || {
            let status = world.done(&["status"]);
            status.status.success() && said(&status).contains("rolled back by the watchdog")
        });
        // By hand too.
        world.ok(&["apply", &new, "--i-have-console"]);
        damage();
        world.ok(&["rollback"]);
        assert_eq!(world.mark(), before, "{what}");
    }
    // What was confirmed, or rolled back, is nobody's trial.
    let over = world.done(&["rollback"]);
    assert!(said(&over).contains("nothing is on trial"), "{}", said(&over));
    world.ok(&["apply", &new, "--i-have-console"]);
    world.ok(&["confirm", "--i-have-console"]);
    let confirmed = world.mark();
    fs::write(&mark, "").unwrap();
    world.done(&["rollback"]);
    assert_eq!(world.mark(), confirmed);
}

/// A reboot ended the trial: `rollback.nft` is of another boot, and what is confirmed is what this one has, or is given.
#[test]
fn after_a_reboot_a_rollback_leaves_what_is_confirmed() {
    if !kernel() {
        return;
    }
    // What stood before the trial, and what the machine has after the reboot.
    let (flushed, other) = (None, Some("state/generations/1/boot.nft"));
    for (before, unit_runs) in [(flushed, true), (flushed, false), (other, true), (other, false)] {
        let world = World::new();
        world.confirmed("old");
        world.confirmed("new");
        let confirmed = (world.mark(), world.listing());
        let nft = |words: &str| {
            let text = fs::read_to_string(world.path(words)).unwrap();
            world.fw.nft(&text).unwrap();
        };
        world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
        before.into_iter().for_each(nft);
        world.ok(&["apply", &world.path("old").display().to_string(), "--i-have-console"]);
        for file in ["state/trial.json", "state/generations/3/record.json"] {
            let file = world.path(file);
            let text = fs::read_to_string(&file).unwrap();
            let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
            json["boot"] = "another".into();
            fs::write(&file, json.to_string()).unwrap();
        }
        world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
        if unit_runs {
            nft("state/confirmed/boot.nft");
        }
        world.ok(&["rollback"]);
        assert_eq!((world.mark(), world.listing()), confirmed, "{before:?} {unit_runs}");
        let status = world.ok(&["status"]);
        assert!(status.contains("confirmed  generation 2 of `fw`, loaded"), "{status}");
    }
}

/// The same where nothing is confirmed, or that is damaged: what this boot has stays, unless it is what nobody confirmed.
#[test]
fn after_a_reboot_a_rollback_takes_nothing_away_but_the_trial() {
    if !kernel() {
        return;
    }
    for (is_confirmed, stands) in [(false, false), (false, true), (true, false), (true, true)] {
        let world = World::new();
        if is_confirmed {
            world.confirmed("old");
        }
        world.ok(&["apply", &world.path("new").display().to_string(), "--i-have-console"]);
        let mark = world.path("state/trial.json");
        let text = fs::read_to_string(&mark).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["boot"] = "another".into();
        fs::write(&mark, json.to_string()).unwrap();
        if is_confirmed {
            fs::write(world.path("state/generations/1/boot.nft"), "").unwrap();
        }
        let others =
            "add table inet fwc\nadd chain inet fwc forward { type filter hook forward priority 0; }\n";
        if !stands {
            world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
            world.fw.nft(others).unwrap();
        }
        let there = world.listing();
        let done = world.done(&["rollback"]);
        assert_eq!(done.status.code(), Some(i32::from(is_confirmed)), "{}", said(&done));
        assert_eq!(said(&done).contains("what is confirmed is damaged"), is_confirmed, "{}", said(&done));
        let left = if stands { String::new() } else { there };
        assert_eq!(world.listing(), left, "{is_confirmed} {stands}");
        assert!(!mark.exists());
    }
}

/// What is confirmed stays: nothing that fails afterwards may say otherwise, for a program would take it for not confirmed.
#[test]
fn what_fails_after_the_confirmation_is_a_warning() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let (old, new) = (world.path("old").display().to_string(), world.path("new").display().to_string());
    world.ok(&["apply", &old, "--i-have-console"]);
    // Nobody can write the outcome: a folder has its place.
    fs::create_dir(world.path("state/generations/1/outcome")).unwrap();
    let told = world.ok(&["confirm", "--i-have-console"]);
    assert!(told.contains("generation 1 of `fw` is confirmed"), "{told}");
    assert!(
        told.contains("warning: it is confirmed, and not all that follows is done: cannot write"),
        "{told}"
    );
    assert!(world.ok(&["status"]).contains("confirmed  generation 1 of `fw`, loaded"));
    assert!(said(&world.done(&["rollback"])).contains("nothing is on trial"));
    // Nor does `ip` say the ways.
    world.ok(&["apply", &new, "--i-have-console"]);
    let bin = world.path("bin");
    fs::create_dir(&bin).unwrap();
    let nft = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|nft| fs::exists(nft).unwrap());
    std::os::unix::fs::symlink(nft.unwrap(), bin.join("nft")).unwrap();
    let link = world.path("state/confirmed").display().to_string();
    let ip = format!(
        "#!/bin/sh\nPATH=/usr/sbin:/sbin:/usr/bin:/bin\n\
         case \"$(readlink {link})\" in *2) exit 1;; esac\nexec ip \"$@\"\n"
    );
    fs::write(bin.join("ip"), ip).unwrap();
    fs::set_permissions(bin.join("ip"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut confirm = Command::new("nsenter");
    confirm.arg(format!("--net={}", world.fw.path())).args(["env", &format!("PATH={}", bin.display()), FWC]);
    confirm.args(["confirm", "--i-have-console", "--cut", "--state"]).arg(world.path("state"));
    let done = confirm.output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(said(&done).contains("generation 2 of `fw` is confirmed"), "{}", said(&done));
    assert!(said(&done).contains("would not let start is not all ended: `ip"), "{}", said(&done));
    assert!(world.ok(&["status"]).contains("confirmed  generation 2 of `fw`, loaded"));
}

/// A table of ours without a mark, as `nft -f ruleset.nft` loads it, is as much there as one with: what somebody flushes or
/// replaces while the trial runs comes back, by hand and by the watchdog.
#[test]
fn a_table_without_a_mark_is_put_back_though_somebody_flushed_it() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let (old, new) = (world.path("old"), world.path("new").display().to_string());
    world.fw.nft(&fs::read_to_string(old.join("hosts/fw/ruleset.nft")).unwrap()).unwrap();
    let before = world.listing();
    assert!(before.contains("table inet fwc") && world.mark().is_none());
    let others = "add table inet fwc\nadd chain inet fwc forward { type filter hook forward priority 0; }\n";
    for (what, by_hand) in [("flushed", true), ("replaced", true), ("flushed", false)] {
        world.ok(&[
            "apply",
            &new,
            "--i-have-console",
            "--confirm-within",
            if by_hand { "90s" } else { "5s" },
        ]);
        world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
        if what == "replaced" {
            world.fw.nft(others).unwrap();
        }
        if by_hand {
            world.ok(&["rollback"]);
        } else {
            until("the trial is over", 15, || !world.path("state/trial.json").exists());
        }
        assert_eq!(world.listing(), before, "{what}, by hand: {by_hand}");
    }
    // What nobody touched is left as it is.
    world.ok(&["apply", &new, "--i-have-console"]);
    world.ok(&["rollback"]);
    assert_eq!(world.listing(), before);
}

/// With a mark of the trial that cannot be read and no table, `rollback` puts back what was there, or says that nothing is
/// on trial; either way the next command works. Until then every command says what to do.
#[test]
fn a_damaged_mark_of_the_trial_is_cleared_by_rollback() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let before = (world.mark(), world.listing());
    let (new, mark) = (world.path("new").display().to_string(), world.path("state/trial.json"));
    world.ok(&["apply", &new, "--i-have-console"]);
    world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
    fs::write(&mark, "{").unwrap();
    for args in [&["status"][..], &["apply", &new, "--i-have-console"]] {
        let told = world.done(args);
        assert!(!told.status.success(), "{}", said(&told));
        assert!(said(&told).contains("`fwc rollback` ends what it is about"), "{}", said(&told));
    }
    world.ok(&["rollback"]);
    assert_eq!((world.mark(), world.listing()), before);
    world.ok(&["status"]);
    // Nothing is on trial at all.
    fs::write(&mark, "{").unwrap();
    let told = world.done(&["rollback"]);
    assert!(said(&told).contains("nothing is on trial") && !mark.exists(), "{}", said(&told));
    assert_eq!((world.mark(), world.listing()), before);
    // The watchdog, which nobody helps.
    world.ok(&["apply", &new, "--i-have-console", "--confirm-within", "5s"]);
    world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
    fs::write(&mark, "{").unwrap();
    until("the old table is back", 15, || world.mark() == before.0);
    until("the trial is over", 5, || !mark.exists());
    world.ok(&["status"]);
}

/// What the system said is not followed by a help that has nothing to do with it.
#[test]
fn the_help_is_about_what_the_system_refused() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let new = world.path("new").display().to_string();
    fs::write(world.path("state"), "").unwrap();
    let told = world.done(&["apply", &new, "--i-have-console"]);
    assert_eq!(told.status.code(), Some(2), "{}", said(&told));
    assert!(!said(&told).contains("to be root"), "{}", said(&told));
    // A disk of one page that is full.
    fs::remove_file(world.path("state")).unwrap();
    let (state, net) = (world.path("state").display().to_string(), world.fw.path());
    let script = format!(
        "mkdir {state} && mount -t tmpfs -o size=4k,mode=700 tmpfs {state} && mkdir {state}/generations && \
         : >{state}/lock && {{ head -c 8192 /dev/zero >{state}/full 2>/dev/null; \
         exec nsenter --net={net} {FWC} apply {new} --i-have-console --state {state}; }}"
    );
    let told = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let words = said(&told);
    assert!(words.contains("No space left") && words.contains("make room there"), "{words}");
    assert!(!words.contains("to be root"), "{words}");
}

/// The clock is the kernel's: a file that cannot be read (that of a container is another program's) holds no trial open.
#[test]
fn a_trial_ends_though_no_file_says_the_time() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let (new, state, net) =
        (world.path("new").display().to_string(), world.path("state").display().to_string(), world.fw.path());
    let script = format!(
        "mount --bind /dev/null /proc/uptime && exec nsenter --net={net} {FWC} apply {new} --i-have-console \
         --confirm-within 5s --state {state}"
    );
    let applied = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}", said(&applied));
    assert!(world.mark().is_some());
    until("rolled back", 15, || world.mark().is_none());
    // Of a trial whose end is long past somebody is told, whoever should have seen to it.
    world.ok(&["apply", &new, "--i-have-console"]);
    let mark = world.path("state/trial.json");
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&mark).unwrap()).unwrap();
    json["deadline"] = 1.into();
    fs::write(&mark, json.to_string()).unwrap();
    let status = world.done(&["status"]);
    assert_eq!(status.status.code(), Some(1), "{}", said(&status));
    assert!(said(&status).contains("s ago, and was not: `fwc rollback`"), "{}", said(&status));
}
