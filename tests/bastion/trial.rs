//! `fwc bastion apply` of a build that was changed, and `fwc bastion status` of what waits.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "changes a build, and runs the program in the room")]

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::answers::asked;
use crate::apply::{Machine, said};
use crate::sshd::Room;

/// The folder as a build has it: with a manifest that lists its files.
fn build(machine: &mut Machine) {
    let root = machine.room.scratch().join("build");
    let folder = root.join("hosts/gate/ssh");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::rename(&machine.folder, &folder).unwrap();
    let digest = |name: &str| {
        let path = folder.join(name);
        let sum = machine.room.sh(&format!("sha256sum '{}'", path.display()));
        format!("sha256:{}", sum.split(' ').next().unwrap())
    };
    let manifest = json!({ "format": 1, "fwc": "x", "policy": "sha256:0", "files": {
        "hosts/gate/ssh/00-fwc.conf": digest("00-fwc.conf"),
        "hosts/gate/ssh/authorized_keys/ana": digest("authorized_keys/ana"),
        "hosts/gate/ssh/known_hosts": "sha256:0",
        "hosts/web/ssh/authorized_keys/eva": "sha256:0",
    } });
    fs::write(root.join("manifest.json"), manifest.to_string()).unwrap();
    machine.folder = folder;
}

#[test]
fn what_was_changed_after_it_was_proved_is_refused() {
    let Some(mut machine) = Machine::new() else { return };
    build(&mut machine);
    let eva = Room::public(&machine.room.key("eva", &["-t", "ed25519"]));
    let (settings, keys) = (machine.folder.join("00-fwc.conf"), machine.folder.join("authorized_keys"));
    let (ana, stray) = (keys.join("ana"), keys.join("eva"));
    let kept = [&settings, &ana].map(|path| fs::read_to_string(path).unwrap());
    for (change, words) in [
        (
            &(|| fs::write(&ana, format!("{}{eva}\n", kept[1])).unwrap()) as &dyn Fn(),
            "is not the file that was proved",
        ),
        (
            &|| fs::write(&settings, format!("{}# more\n", kept[0])).unwrap(),
            "is not the file that was proved",
        ),
        (&|| fs::write(&stray, format!("{eva}\n")).unwrap(), "the manifest does not list"),
        (&|| fs::remove_file(&ana).unwrap(), "is in the manifest, and not in the build"),
    ] {
        change();
        let output = machine.apply("600", &[]);
        let told = said(&output);
        assert!(output.status.code() == Some(1) && told.contains(words), "{words}: {told}");
        machine.is_as_before(words);
        let _ = fs::remove_file(&stray);
        fs::write(&settings, &kept[0]).unwrap();
        fs::write(&ana, &kept[1]).unwrap();
    }
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!said(&output).contains("in no build"), "{}", said(&output));
}

#[test]
fn what_waits_is_told_and_whether_somebody_watches() {
    let Some(machine) = Machine::new() else { return };
    assert!(asked(&machine.room, 0)["waits"].is_null());
    let output = machine.apply("300", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("in no build"), "{}", said(&output));
    let waits = asked(&machine.room, 0)["waits"].clone();
    let left = waits["seconds_left"].as_i64().unwrap();
    assert!((200..=300).contains(&left) && waits["taken_back"] == false, "{waits:#}");
    assert_eq!(waits["files"].as_array().unwrap().len(), 2, "{waits:#}");
    let text = said(&machine.room.run(machine.command(&["status"])));
    assert!(text.contains("to be confirmed: 2 files") && text.contains("until "), "{text}");
    machine.room.sh(&format!("kill -KILL {}", waits["watchdog"]));
    std::thread::sleep(Duration::from_millis(300));
    let status = asked(&machine.room, 1);
    assert!(status["waits"]["watchdog"].is_null(), "{status:#}");
    assert!(status["wrong"][0].as_str().unwrap().contains("watchdog is gone"), "{status:#}");
    assert_eq!(machine.room.run(machine.command(&["rollback"])).status.code(), Some(0));
    assert!(asked(&machine.room, 0)["waits"].is_null());

    // One that cannot act when the time is over.
    assert_eq!(machine.apply("4", &[]).status.code(), Some(0));
    let waits = asked(&machine.room, 0)["waits"].clone();
    machine.room.sh(&format!("kill -STOP {}", waits["watchdog"]));
    std::thread::sleep(Duration::from_secs(11));
    let status = asked(&machine.room, 1);
    assert!(status["wrong"][0].as_str().unwrap().contains("its time was over"), "{status:#}");
    machine.room.sh(&format!("kill -CONT {}", waits["watchdog"]));
    machine.taken_back("it goes on");
    assert!(asked(&machine.room, 0)["waits"].is_null());
}
