//! `fwc bastion apply` of a build that was changed.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "changes a build")]

use std::fs;

use serde_json::json;

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
