//! The end of a trial where whoever has the lock does not end, or nothing can be written.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::common::kernel;
use super::world::{FWC, World, said, until};

/// `apply` with an nft that does something before, and after, it loads the new rules.
fn apply(world: &World, before: &str, after: &str) -> Child {
    let bin = world.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let of = |what: &str| format!("case \"$*\" in *apply.nft) {what};; esac\n");
    let script = format!(
        "#!/bin/sh\nexport PATH={path}\n{}nft \"$@\"; code=$?\n{}exit $code\n",
        of(before),
        of(after)
    );
    fs::write(bin.join("nft"), script).unwrap();
    fs::set_permissions(bin.join("nft"), fs::Permissions::from_mode(0o755)).unwrap();
    let new = world.path("new").display().to_string();
    let mut apply = world.fwc(&["apply", &new, "--sysctl", "--i-have-console", "--confirm-within", "5s"]);
    apply.env("PATH", format!("{}:{path}", bin.display())).stdout(Stdio::null());
    apply.stderr(fs::File::create(world.path("said")).unwrap()).spawn().unwrap()
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([name, pid]).status().unwrap().success());
}

fn forwards(world: &World) -> String {
    world.fw.run("cat", &["/proc/sys/net/ipv4/ip_forward"], "").unwrap().trim().to_owned()
}

/// Ctrl-Z while it is loaded: the lock is held for as long as nobody finds it.
#[test]
fn an_apply_that_was_stopped_holds_no_trial_open() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let mut stopped = apply(&world, ":", "kill -STOP $PPID");
    until("it is loaded", 20, || world.mark().is_some());
    until("it is rolled back without the lock", 30, || world.mark().is_none());
    let log = || fs::read_to_string(world.path("state/log")).unwrap();
    until("it is said", 5, || log().contains("rolled back by the watchdog"));
    // It goes on, and finds that its trial is over: neither rules nor parameters are what it wanted.
    signal("-CONT", &stopped.id().to_string());
    assert_eq!(stopped.wait().unwrap().code(), Some(1));
    let told = fs::read_to_string(world.path("said")).unwrap();
    assert!(told.contains("its trial ended before it was loaded"), "{told}");
    assert_eq!((world.mark(), forwards(&world).as_str()), (None, "0"));
    world.ok(&["status"]);
    assert!(said(&world.done(&["rollback"])).contains("nothing is on trial"));
}

/// The nft that was stopped loads its rules long after they were rolled back; with its `apply`, or when that is dead.
#[test]
fn what_is_loaded_after_its_trial_is_taken_away() {
    if !kernel() {
        return;
    }
    for is_killed in [false, true] {
        let world = World::new();
        let number = world.path("number");
        let mut applying = apply(&world, &format!("echo $$ >{}; kill -STOP $$", number.display()), ":");
        let over =
            || fs::read_to_string(world.path("state/log")).is_ok_and(|log| log.contains("rolled back by"));
        until("its trial is over", 40, over);
        if is_killed {
            applying.kill().unwrap();
        }
        signal("-CONT", fs::read_to_string(&number).unwrap().trim());
        let code = applying.wait().unwrap().code();
        assert_eq!(code, if is_killed { None } else { Some(1) });
        // Whoever has the lock now waits until that is done.
        let free = || !said(&world.done(&["status"])).contains("another run");
        until("nft has ended", 20, free);
        until("its rules are gone", 10, || world.mark().is_none());
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert_eq!((world.mark(), forwards(&world).as_str()), (None, "0"), "{is_killed}");
        world.ok(&["status"]);
    }
}

/// As ext4 does it after an error (`errors=remount-ro`): the rules go back, and what cannot be noted is told.
#[test]
fn a_state_folder_that_nobody_can_write_holds_no_trial_open() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let (new, state) = (world.path("new").display().to_string(), world.path("state").display().to_string());
    let fwc = format!("nsenter --net={} {FWC}", world.fw.path());
    let script = format!(
        "mkdir {state} && mount -t tmpfs -o mode=700 tmpfs {state} && \
         {fwc} apply {new} --i-have-console --confirm-within 5s --state {state} && mount -o remount,ro {state} && \
         read line; for what in status rollback; do {fwc} $what --state {state}; echo \"$what $?\"; done; \
         mount -o remount,rw {state}; sleep 3; {fwc} status --state {state}; echo \"again $?\""
    );
    let mut child = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", &format!("{{ {script}; }} 2>&1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("it is loaded", 20, || world.mark().is_some());
    until("it is rolled back", 15, || world.mark().is_none());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut words = String::new();
    child.stdout.take().unwrap().read_to_string(&mut words).unwrap();
    child.wait().unwrap();
    assert!(
        words.contains("status 1") && words.contains("rollback 1") && words.contains("again 0"),
        "{words}"
    );
    assert!(words.contains("what was there before generation 1 is back, and it cannot be noted"), "{words}");
    assert!(!PathBuf::from(&state).join("trial.json").exists());
}

/// A lock that the system gives nobody (a failing disk, a full one, a link in its place) is no reason to leave what nobody confirmed.
#[test]
fn a_lock_that_nobody_can_have_holds_no_trial_open() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let before = world.mark();
    let (new, lock) = (world.path("new").display().to_string(), world.path("state/lock"));
    world.ok(&["apply", &new, "--i-have-console", "--confirm-within", "5s"]);
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink("lock", &lock).unwrap();
    // Whoever stands by is told what is in the way.
    let told = world.done(&["rollback"]);
    assert_eq!(told.status.code(), Some(2), "{}", said(&told));
    assert!(said(&told).contains("cannot lock"), "{}", said(&told));
    until("it is rolled back without the lock", 20, || world.mark() == before);
    until("the trial is over", 5, || !world.path("state/trial.json").exists());
    assert!(world.ok(&["status"]).contains("rolled back by the watchdog"));
    // One that cannot be written can be had all the same.
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    world.ok(&["apply", &new, "--i-have-console"]);
    world.ok(&["rollback"]);
    assert_eq!(world.mark(), before);
}
