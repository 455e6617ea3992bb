//! The end of a trial whose files are damaged: what nobody confirmed does not stand.

use std::fs;

use super::common::kernel;
use super::world::{World, said, until};

/// A file below the state directory, and what is so afterwards: what the answer says, and whether the confirmed table stands or
/// none.
const ROWS: &[(&str, &str)] = &[
    ("trial.json", ""),
    ("generations/2/record.json", "its record is damaged"),
    ("generations/2/rollback.nft", "what is confirmed, generation 1, was loaded instead"),
    ("generations/2/legs.conf", ""),
    ("generations/1/record.json", ""),
];

/// Ways in which a file is damaged.
const HOW: [&str; 3] = ["empty", "gone", "cut short"];

fn damage(world: &World, file: &str, how: &str) {
    let path = world.path("state").join(file);
    let text = fs::read(&path).unwrap();
    match how {
        "empty" => fs::write(&path, "").unwrap(),
        "gone" => fs::remove_file(&path).unwrap(),
        _ => fs::write(&path, &text[..text.len() / 2]).unwrap(),
    }
}

#[test]
fn a_trial_whose_files_are_damaged_is_ended_all_the_same() {
    if !kernel() {
        return;
    }
    for (file, told) in ROWS {
        for what in HOW {
            let world = World::new();
            world.confirmed("old");
            let before = (world.mark(), world.listing());
            let new = world.path("new").display().to_string();
            world.ok(&["apply", &new, "--sysctl", "--i-have-console"]);
            assert_ne!(world.mark(), before.0);
            damage(&world, file, what);
            let done = world.done(&["rollback"]);
            let code = if told.is_empty() { 0 } else { 1 };
            assert_eq!(done.status.code(), Some(code), "{file} {what}: {}", said(&done));
            assert!(said(&done).contains(told), "{file} {what}: {}", said(&done));
            assert_eq!((world.mark(), world.listing()), before, "{file} {what}");
            assert!(said(&world.done(&["rollback"])).contains("nothing is on trial"), "{file} {what}");
            // What follows goes on as ever.
            if !file.starts_with("generations/1") {
                world.ok(&["status"]);
                world.ok(&["apply", &new, "--i-have-console"]);
                world.ok(&["rollback"]);
            }
        }
    }
}

/// The watchdog, whom nobody helps; and both files at once, or the whole folder.
#[test]
fn the_watchdog_ends_a_trial_whose_files_are_gone() {
    if !kernel() {
        return;
    }
    for files in [
        &["generations/2/record.json"][..],
        &["generations/2/rollback.nft"],
        &["generations/2/record.json", "generations/2/rollback.nft"],
        &["generations/2"],
    ] {
        let world = World::new();
        world.confirmed("old");
        let before = (world.mark(), world.listing());
        let new = world.path("new").display().to_string();
        world.ok(&["apply", &new, "--i-have-console", "--confirm-within", "5s"]);
        for file in files {
            let path = world.path("state").join(file);
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        }
        assert!(
            said(&world.done(&["status"])).contains("`fwc rollback` ends its trial")
                || files[0].ends_with(".nft")
        );
        until(&format!("{files:?}: the old table is back"), 15, || world.mark() == before.0);
        until(&format!("{files:?}: the trial is over"), 5, || !world.path("state/trial.json").exists());
        assert_eq!(world.listing(), before.1, "{files:?}");
    }
}

/// The lock is no file that anything is known from, and whoever sees it there may take it for a stale one.
#[test]
fn a_lock_that_is_gone_keeps_no_trial_from_its_end() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let before = world.mark();
    let (new, lock) = (world.path("new").display().to_string(), world.path("state/lock"));
    world.ok(&["apply", &new, "--i-have-console", "--confirm-within", "5s"]);
    fs::remove_file(&lock).unwrap();
    until("the old table is back", 15, || world.mark() == before);
    until("the trial is over", 5, || !world.path("state/trial.json").exists());
    world.ok(&["apply", &new, "--i-have-console"]);
    fs::remove_file(&lock).unwrap();
    world.ok(&["rollback"]);
    assert_eq!(world.mark(), before);
    world.ok(&["apply", &new, "--i-have-console"]);
    fs::remove_file(&lock).unwrap();
    world.ok(&["confirm", "--i-have-console"]);
    world.ok(&["status"]);
}

/// With the state directory, or all that is in it, goes what was confirmed: then nothing of ours stands.
#[test]
fn a_state_directory_that_is_gone_keeps_no_trial_from_its_end() {
    if !kernel() {
        return;
    }
    for what in ["state", "state/generations"] {
        let world = World::new();
        world.confirmed("old");
        let new = world.path("new").display().to_string();
        world.ok(&["apply", &new, "--i-have-console", "--confirm-within", "5s"]);
        for gone in ["state/trial.json", what] {
            let path = world.path(gone);
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        }
        until(&format!("{what}: our tables are gone"), 15, || world.mark().is_none());
        let log = || fs::read_to_string(world.path("state/log")).unwrap_or_default();
        until(&format!("{what}: it is said"), 5, || log().contains("our tables were removed"));
    }
}

/// The table of a trial stands, and the state no longer says that it is one: another change would take it for what was there
/// before, and go back to it.
#[test]
fn a_table_of_which_the_state_knows_nothing_is_not_taken_for_what_was_there() {
    if !kernel() {
        return;
    }
    for console in [false, true] {
        let world = World::new();
        world.confirmed("old");
        let (old, new) = (world.path("old").display().to_string(), world.path("new").display().to_string());
        let within = if console { "90s" } else { "8s" };
        world.ok(&["apply", &new, "--i-have-console", "--confirm-within", within]);
        let tried = world.mark();
        fs::remove_dir_all(world.path("state")).unwrap();
        assert!(world.ok(&["plan", &old]).contains("warning: the live table is `fwc_generation_2_"));
        let refused = world.done(&["apply", &old]);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        for words in
            ["refused (state): the live table is `fwc_generation_2_", "help: if that is still on trial, wait"]
        {
            assert!(said(&refused).contains(words), "{}", said(&refused));
        }
        assert_eq!(world.mark(), tried);
        if console {
            // Who stands there goes on, under a number that no watchdog knows.
            assert!(world.ok(&["apply", &old, "--i-have-console"]).contains("generation 3 of `fw`"));
            world.ok(&["rollback"]);
            assert_eq!(world.mark(), tried);
        } else {
            until("its watchdog takes it away", 20, || world.mark().is_none());
            world.ok(&["apply", &old, "--i-have-console"]);
        }
    }
    // The mark of the trial alone is gone.
    let world = World::new();
    world.confirmed("old");
    let before = world.mark();
    let new = world.path("new").display().to_string();
    world.ok(&["apply", &new, "--i-have-console"]);
    fs::remove_file(world.path("state/trial.json")).unwrap();
    let refused = world.done(&["apply", &new, "--i-have-console"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("generation 2 is on trial"), "{}", said(&refused));
    world.ok(&["rollback"]);
    assert_eq!(world.mark(), before);
}

/// What is confirmed cannot be told, and the way back is sound: the trial ends in that.
#[test]
fn a_link_to_what_is_confirmed_that_cannot_be_read_keeps_no_trial_from_its_end() {
    if !kernel() {
        return;
    }
    for what in ["a file", "a folder", "junk"] {
        for by_hand in [true, false] {
            let world = World::new();
            world.confirmed("old");
            let before = (world.mark(), world.listing());
            let new = world.path("new").display().to_string();
            world.ok(&["apply", &new, "--i-have-console", "--confirm-within", "5s"]);
            let link = world.path("state/confirmed");
            fs::remove_file(&link).unwrap();
            match what {
                "a file" => fs::write(&link, "").unwrap(),
                "a folder" => fs::create_dir(&link).unwrap(),
                _ => std::os::unix::fs::symlink("generations/xx", &link).unwrap(),
            }
            if by_hand {
                world.ok(&["rollback"]);
            }
            until(&format!("{what}: the old table is back"), 15, || world.mark() == before.0);
            until(&format!("{what}: the trial is over"), 5, || !world.path("state/trial.json").exists());
            assert_eq!(world.listing(), before.1, "{what}");
        }
    }
}

/// What is confirmed is damaged, and nothing is on trial: it is said, with the way out, which leads out.
#[test]
fn what_is_confirmed_and_damaged_is_replaced_by_whoever_stands_there() {
    if !kernel() {
        return;
    }
    type Damage = fn(&World);
    let rows: [(&str, Damage); 6] = [
        ("no record", |world| fs::remove_file(world.path("state/generations/1/record.json")).unwrap()),
        ("an empty record", |world| fs::write(world.path("state/generations/1/record.json"), "").unwrap()),
        ("no folder", |world| fs::remove_dir_all(world.path("state/generations/1")).unwrap()),
        ("no parameters", |world| fs::remove_file(world.path("state/generations/1/sysctl.conf")).unwrap()),
        ("no link", |world| {
            fs::remove_file(world.path("state/confirmed")).unwrap();
            fs::write(world.path("state/confirmed"), "").unwrap();
        }),
        ("a folder for a link", |world| {
            fs::remove_file(world.path("state/confirmed")).unwrap();
            fs::create_dir(world.path("state/confirmed")).unwrap();
        }),
    ];
    for (what, damage) in rows {
        let world = World::new();
        world.confirmed("old");
        let before = (world.mark(), world.listing());
        damage(&world);
        let way_out = "`fwc apply --i-have-console` and `fwc confirm` put another generation in the place";
        for question in ["status", "drift"] {
            let told = world.done(&[question]);
            // The parameters are no part of the record: what cannot be compared is named.
            let named = said(&told).contains(way_out) || said(&told).contains("sysctl.conf");
            assert!(!told.status.success() && named, "{what}: {question}: {}", said(&told));
        }
        assert!(said(&world.done(&["status"])).contains(way_out), "{what}");
        assert!(said(&world.done(&["rollback"])).contains("nothing is on trial"), "{what}");
        let (old, new) = (world.path("old").display().to_string(), world.path("new").display().to_string());
        assert!(world.ok(&["plan", &old]).contains("warning: "), "{what}");
        let refused = world.done(&["apply", &new]);
        assert_eq!(refused.status.code(), Some(1), "{what}: {}", said(&refused));
        assert!(said(&refused).contains("refused (state): "), "{what}: {}", said(&refused));
        world.ok(&["apply", &new, "--i-have-console"]);
        assert_ne!(world.mark(), before.0, "{what}");
        world.ok(&["rollback"]);
        assert_eq!((world.mark(), world.listing()), before, "{what}");
        // The very same rules are applied again: that they were confirmed nobody knows.
        world.ok(&["apply", &old, "--i-have-console"]);
        let status = world.done(&["status"]);
        assert!(
            said(&status).contains("on trial   generation 3 of `fw`, loaded"),
            "{what}: {}",
            said(&status)
        );
        world.ok(&["confirm", "--i-have-console"]);
        world.ok(&["status"]);
        world.ok(&["drift"]);
        assert!(world.ok(&["apply", &old]).contains("nothing to do"), "{what}");
    }
}

/// A file that ends between two tables reads like a whole one: its head takes both away. So does one of nothing but that head,
/// where the record, which knows the mark, is damaged with it; and another one's file is not this one's.
#[test]
fn a_way_back_that_lacks_a_table_is_not_taken() {
    if !kernel() {
        return;
    }
    type Change = fn(&str, &str) -> String;
    let rows: [(&str, Change, bool); 4] = [
        ("between the tables", |text, _| text.split("table bridge fwc {").next().unwrap().to_owned(), false),
        ("to its head", |text, _| text.lines().take(4).map(|line| format!("{line}\n")).collect(), true),
        (
            "a rule less",
            |text, _| text.lines().filter(|l| !l.contains("8021q")).map(|l| format!("{l}\n")).collect(),
            true,
        ),
        ("another generation's", |_, other| other.to_owned(), true),
    ];
    for (what, change, without_record) in rows {
        let world = World::new();
        world
            .fw
            .ip(&["link add lxc0 type bridge".to_owned(), "addr add 10.9.3.1/24 dev lxc0".to_owned()])
            .unwrap();
        let old = super::common::file("tests/apply/policies/old.fw".as_ref()).1;
        let old = old
            .replace("zone dmz {", "zone guests { 10.9.3.0/24 }\nzone dmz {")
            .replace("    eth2 ", "    lxc0 10.9.3.1 in guests bridge stateless \"few states\"\n    eth2 ");
        world.build("bridged", &old);
        world.confirmed("bridged");
        let before = (world.mark(), world.listing());
        assert!(before.1.contains("table bridge fwc"), "{}", before.1);
        world.ok(&["apply", &world.path("new").display().to_string(), "--i-have-console"]);
        let generation = |number: u8| world.path(&format!("state/generations/{number}"));
        let back = generation(2).join("rollback.nft");
        let other = fs::read_to_string(generation(1).join("rollback.nft")).unwrap();
        let text = fs::read_to_string(&back).unwrap();
        let changed = change(&text, &other);
        assert_ne!(changed, text, "{what}");
        fs::write(&back, changed).unwrap();
        if without_record {
            fs::write(generation(2).join("record.json"), "{").unwrap();
        }
        let done = world.done(&["rollback"]);
        assert_eq!(done.status.code(), Some(1), "{what}: {}", said(&done));
        assert!(said(&done).contains("generation 1, was loaded instead"), "{what}: {}", said(&done));
        assert_eq!((world.mark(), world.listing()), before, "{what}");
    }
}

/// What is confirmed may be cut between its tables too; then nobody knows what was there.
#[test]
fn a_confirmed_ruleset_that_lacks_a_table_is_not_loaded() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    world.ok(&["apply", &world.path("new").display().to_string(), "--i-have-console"]);
    let boot = world.path("state/generations/1/boot.nft");
    let text = fs::read_to_string(&boot).unwrap();
    fs::write(&boot, text.replace("tcp", "udp")).unwrap();
    fs::write(world.path("state/generations/2/rollback.nft"), "").unwrap();
    let done = world.done(&["rollback"]);
    assert!(said(&done).contains("our tables were removed"), "{}", said(&done));
    // One that an older fwc wrote does not say what it should be, nor does the file beside it: it is known by its mark. One that
    // lost its first line alone is damaged.
    for (unsealed, is_older) in [(&["boot.nft"][..], false), (&["boot.nft", "rollback.nft"], true)] {
        let world = World::new();
        world.confirmed("old");
        let before = (world.mark(), world.listing());
        world.ok(&["apply", &world.path("new").display().to_string(), "--i-have-console"]);
        for file in unsealed {
            let path = world.path("state/generations/1").join(file);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.split_once('\n').unwrap().1).unwrap();
        }
        fs::write(world.path("state/generations/2/rollback.nft"), "").unwrap();
        let done = world.done(&["rollback"]);
        assert_eq!(done.status.code(), Some(1));
        assert_eq!((world.mark(), world.listing()) == before, is_older, "{}", said(&done));
        assert_eq!(said(&done).contains("our tables were removed"), !is_older, "{}", said(&done));
    }
}

/// Nothing was ever confirmed: what was there before is known by the generation's own file, or it was nothing of ours.
#[test]
fn without_anything_confirmed_our_tables_go() {
    if !kernel() {
        return;
    }
    for files in [&["record.json"][..], &["rollback.nft"], &["record.json", "rollback.nft"]] {
        let world = World::new();
        let new = world.path("new").display().to_string();
        world.ok(&["apply", &new, "--i-have-console"]);
        for file in files {
            fs::write(world.path("state/generations/1").join(file), "").unwrap();
        }
        let done = world.done(&["rollback"]);
        assert_eq!(done.status.code(), Some(1), "{files:?}: {}", said(&done));
        assert!(said(&done).contains("generation 1 is rolled back, but"), "{files:?}: {}", said(&done));
        let removed = files.contains(&"rollback.nft");
        assert_eq!(said(&done).contains("our tables were removed"), removed, "{files:?}: {}", said(&done));
        assert!(!world.listing().contains("table inet fwc"), "{files:?}");
        world.ok(&["status"]);
        world.ok(&["apply", &new, "--i-have-console"]);
    }
}
