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
