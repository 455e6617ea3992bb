//! What a loaded or sleeping machine does to `fwc bastion apply`: clocks that jump, an sshd that never listens, one of several that does not
//! hear, a confirmation that was killed.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the program and sshd in the room")]

use std::process::Command;
use std::time::Duration;

use crate::answers::asked;
use crate::apply::{DROP_IN, KEYS, Machine, said};

/// What every program of the room calls instead of the C library: after `/run/asleep` is there the machine has slept for 1000 s,
/// nobody gets as far as to listen while `/run/mute` is, and no folder gets onto the disk while `/run/unsynced` is.
const SHIM: &str = "#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int listen(int fd, int n) { while (!access(\"/run/mute\", F_OK)) pause(); return syscall(SYS_listen, fd, n); }
int fsync(int fd) {
  struct stat at;
  if (!access(\"/run/unsynced\", F_OK) && !fstat(fd, &at) && S_ISDIR(at.st_mode)) { errno = EIO; return -1; }
  return syscall(SYS_fsync, fd);
}
int clock_gettime(clockid_t id, struct timespec *now) {
  int done = syscall(SYS_clock_gettime, id, now);
  if (!done && id == CLOCK_BOOTTIME && !strcmp(program_invocation_short_name, \"fwc\") && !access(\"/run/asleep\", F_OK)) now->tv_sec += 1000;
  return done;
}
";

fn shim(machine: &Machine) {
    // Where whoever logs in finds it.
    let (text, library) = (machine.room.scratch().join("shim.c"), machine.room.outside("/etc/shim.so"));
    std::fs::write(&text, SHIM).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&text).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    machine.room.write("/etc/ld.so.preload", "/etc/shim.so\n");
}

/// The time that `status` tells is the one that the watchdog waits for: time asleep counts.
#[test]
fn a_trial_is_over_in_time_on_a_machine_that_slept() {
    let Some(machine) = Machine::new() else { return };
    shim(&machine);
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(asked(&machine.room, 0)["waits"]["seconds_left"].as_i64().unwrap() > 500);
    machine.room.sh(": > /run/asleep");
    machine.taken_back("it slept");
    machine.room.sh("rm /run/asleep");
    machine.is_as_before("it slept");
}

/// One that was started and never listens is as much of the change as one that does.
#[test]
fn an_sshd_that_was_started_and_never_listens_goes_with_the_change() {
    let Some(mut machine) = Machine::new() else { return };
    machine.sshd.end();
    shim(&machine);
    // The canary's listens; this comes with the last file.
    let watch = format!("(while [ ! -e {DROP_IN} ]; do sleep 0.01; done; : > /run/mute) >/dev/null 2>&1 &");
    machine.room.sh(&watch);
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("it does not listen"), "{}", said(&output));
    // The room's first process buries nobody.
    let left = machine.room.sh("ps -e -o stat=,args= | grep '^[^Z].*sshd' | grep -v grep || true");
    assert_eq!(left.trim(), "");
    assert!(asked(&machine.room, 0)["waits"].is_null());
}

/// Nor does one stay that nobody could write down.
#[test]
fn an_sshd_that_was_started_and_cannot_be_written_down_goes_with_the_change() {
    let Some(mut machine) = Machine::new() else { return };
    machine.sshd.end();
    // A folder in its place, once the old files are kept.
    let place = "/var/lib/fwc-bastion";
    let watch = format!(
        "(while [ ! -e {place}/pending.json ]; do sleep 0.01; done; mkdir -p {place}/started.json/in) >/dev/null 2>&1 &"
    );
    machine.room.sh(&watch);
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("started.json"), "{}", said(&output));
    let left = machine.room.sh("ps -e -o stat=,args= | grep '^[^Z].*sshd' | grep -v grep || true");
    assert_eq!(left.trim(), "", "{}", said(&output));
}

/// What is written of one that was started, of this change or of another, may be damaged: whoever listens is told first.
#[test]
fn a_started_sshd_that_nobody_can_name_keeps_no_other_from_being_told() {
    let Some(mut machine) = Machine::new() else { return };
    let damage = "mkdir -p -m 700 /var/lib/fwc-bastion && : > /var/lib/fwc-bastion/started.json";
    machine.room.sh(damage);
    let output = machine.apply("3", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    machine.taken_back("it is of another change");
    machine.is_as_before("it is of another change");
    machine.sshd.end();
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    machine.room.sh(damage);
    let output = machine.room.run(machine.command(&["rollback"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("where none ran, may go on"), "{}", said(&output));
    machine.is_as_before("it is of this change");
    assert!(asked(&machine.room, 0)["waits"].is_null());
}

/// One that does not end keeps no other from being told.
#[test]
fn a_started_sshd_that_does_not_end_holds_up_no_other() {
    let Some(mut machine) = Machine::new() else { return };
    machine.sshd.end();
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let room = &machine.room;
    room.sh("cp /run/sshd.pid /run/first.pid");
    room.sh("/usr/sbin/sshd -p 2200 -o PidFile=/run/other.pid -E /run/other.log </dev/null >/dev/null 2>&1");
    machine.until("test -e /run/other.pid");
    room.sh("kill -STOP $(cat /run/first.pid)");
    let output = room.run(machine.command(&["rollback"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("does not end"), "{}", said(&output));
    assert!(room.sh("cat /run/other.log").contains("Received SIGHUP"), "{}", said(&output));
    assert!(!machine.applied() && asked(room, 0)["waits"].is_null());
    room.sh("kill -CONT $(cat /run/first.pid)");
}

/// Once the record is renamed nobody takes anything back, whatever the disk says then.
#[test]
fn a_confirmation_that_does_not_reach_the_disk_says_that_it_is_one() {
    let Some(machine) = Machine::new() else { return };
    shim(&machine);
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    machine.room.sh(": > /run/unsynced");
    let confirmed = machine.room.run(machine.command(&["confirm", "--i-have-console"]));
    assert_eq!(confirmed.status.code(), Some(2), "{}", said(&confirmed));
    assert!(said(&confirmed).contains("it is confirmed and stays"), "{}", said(&confirmed));
    assert!(asked(&machine.room, 0)["waits"].is_null());
    machine.room.sh("rm /run/unsynced");
    // That was all.
    let again = machine.room.run(machine.command(&["confirm"]));
    assert!(said(&again).contains("nothing waits to be confirmed"), "{}", said(&again));
    assert!(machine.applied() && machine.key_works());
}

/// One of several sshds that does not hear is told again until it does: somebody may have no other way in.
#[test]
fn the_watchdog_goes_on_with_an_sshd_that_was_not_told() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    room.sh("/usr/sbin/sshd -p 2200 -o PidFile=/run/other.pid </dev/null >/dev/null 2>&1");
    machine.until("test -e /run/other.pid");
    let output = machine.apply("6", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    room.sh("kill -STOP $(cat /run/other.pid)");
    machine.until(&format!("test ! -e {DROP_IN} && test ! -e {KEYS}"));
    // Those who come by the first have their old keys.
    assert!(machine.key_works() && machine.password_works());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(asked(room, 1)["waits"]["taken_back"], true);
    let hups = || machine.sshd.log().matches("Received SIGHUP").count();
    let before = hups();
    room.sh("kill -CONT $(cat /run/other.pid)");
    machine.taken_back("the other one goes on");
    assert_eq!(hups(), before, "who was told is not told again");
}

/// Whoever confirms, and dies once it is confirmed: `check` holds the files against what is in place, and a later change is taken
/// back to that.
#[test]
fn a_confirmation_that_was_killed_is_one() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let place = "/var/lib/fwc-bastion";
    // The one step that confirms.
    room.sh(&format!("mv {place}/pending.json {place}/confirmed.json"));
    assert!(asked(room, 0)["waits"].is_null());
    let rolled_back = room.run(machine.command(&["rollback"]));
    assert!(said(&rolled_back).contains("nothing waits"), "{}", said(&rolled_back));
    // Before, and after, somebody says again what was begun.
    for (again, left) in [(false, true), (true, false)] {
        if again {
            let confirmed = room.run(machine.command(&["confirm"]));
            assert_eq!(confirmed.status.code(), Some(0), "{}", said(&confirmed));
        }
        let checked = said(&room.run(machine.command(&["check"])));
        assert!(!checked.contains("says something else"), "{checked}");
        room.sh(&format!("cp {KEYS} /run/keys && echo '# more' >> {KEYS}"));
        let checked = said(&room.run(machine.command(&["check"])));
        assert!(checked.contains("says something else"), "{checked}");
        room.sh(&format!("cat /run/keys > {KEYS}"));
        let is_left = room.sh(&format!("test -e {place}/applied-new.json && echo yes || true"));
        assert_eq!(is_left.trim() == "yes", left);
    }
    let confirmed = room.run(machine.command(&["confirm"]));
    assert_eq!(confirmed.status.code(), Some(1), "{}", said(&confirmed));
}
