//! Whoever takes something back takes back that, once, and nothing that came later.

#![expect(clippy::disallowed_methods, reason = "runs the program in the room")]

use std::process::Stdio;
use std::time::Duration;

use crate::apply::{DROP_IN, KEYS, Machine, said};

/// A rollback that was stopped (Ctrl-Z) while another ended what it was about.
#[test]
fn a_rollback_that_was_held_up_leaves_a_later_apply_alone() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    assert_eq!(machine.apply("600", &[]).status.code(), Some(0));
    // So that there is time to stop it.
    room.sh("kill -STOP $(cat /run/sshd.pid)");
    let mut command = machine.command(&["rollback"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let held_up = room.spawn(command);
    machine.until(&format!("test ! -e {DROP_IN}"));
    let number = held_up.id();
    let signal = |signal: &str| {
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args([signal, &number.to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    room.sh("kill -CONT $(cat /run/sshd.pid)");
    let output = room.run(machine.command(&["rollback"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    machine.is_as_before("taken back by the second");
    // Nothing begins as long as it may go on, and it touches nothing where something has begun all the same.
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("is putting old files back"), "{}", said(&output));
    room.sh("rm /var/lib/fwc-bastion/takes-back");
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    signal("-CONT");
    let output = held_up.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("somebody else has taken it back"), "{}", said(&output));
    assert!(room.outside(DROP_IN).exists() && room.outside(KEYS).exists());
    assert!(machine.key_works() && !machine.password_works());
    let output = room.run(machine.command(&["confirm", "--i-have-console"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

/// An old text that is gone cannot come back: the rest does, and whoever takes it back by hand is told, once.
#[test]
fn an_old_text_that_is_gone_holds_up_nothing_else() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    let text = |path: &str| room.sh(&format!("cat {path}"));
    let ends = |left: &str| {
        let output = room.run(machine.command(&["rollback"]));
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let told = said(&output);
        assert!(told.contains(&format!("what stood in `{left}`")), "{told}");
        assert!(told.contains("Nothing waits any more"), "{told}");
        assert!(said(&room.run(machine.command(&["rollback"]))).contains("nothing waits"));
    };
    room.write(DROP_IN, "# old\n");
    room.sh(&format!("mkdir -p $(dirname {KEYS}) && echo '# old keys' > {KEYS}"));
    let output = machine.apply("3", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let new = text(DROP_IN);
    room.sh("rm /var/lib/fwc-bastion/old-0");
    machine.until(&format!("grep -q '# old keys' {KEYS}"));
    assert_eq!(text(DROP_IN), new);
    let output = machine.apply("600", &[]);
    assert!(said(&output).contains("`fwc bastion rollback` ends that"), "{}", said(&output));
    ends(DROP_IN);

    room.write(DROP_IN, "# old\n");
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    room.sh("rm /var/lib/fwc-bastion/old-1");
    ends(KEYS);
    assert_eq!(text(DROP_IN), "# old\n");
    assert!(machine.password_works() && !text(KEYS).contains("# old keys"));
    // Settings that stay look for keys that were not there before.
    room.sh(&format!("rm {KEYS}"));
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    room.sh("rm /var/lib/fwc-bastion/old-0");
    ends(DROP_IN);
    assert!(machine.key_works() && !machine.password_works());
}

/// A record that cannot be taken away is no reason to do it all again, nor to overwrite what came afterwards.
#[test]
fn a_watchdog_on_a_read_only_disk_takes_back_once() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    assert_eq!(machine.apply("3", &[]).status.code(), Some(0));
    room.sh("mount -o remount,ro /var/lib");
    machine.until(&format!("test ! -e {KEYS}"));
    let hups = || machine.sshd.log().matches("Received SIGHUP").count();
    let before = hups();
    room.write(DROP_IN, "# by somebody else\n");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(hups(), before);
    assert_eq!(room.sh(&format!("cat {DROP_IN}")), "# by somebody else\n");
    room.sh(&format!("rm {DROP_IN} && mount -o remount,rw /var/lib"));
    machine.taken_back("it can be written again");
    machine.is_as_before("it can be written again");
}
