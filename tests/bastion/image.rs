//! `fwc bastion check --root`: nothing of the image runs here, and nothing of it is waited for.

#![allow(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "builds a library and a tree of files")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::check::{MAIN, SHUT, check, findings, lay, place};
use crate::sshd::Room;
use crate::unseen::refused;

/// What a program that loads it does: it tells of itself, and where it is sshd it answers in its place.
const LIBRARY: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
    char line[4096] = {0};
    FILE *mark = fopen(MARK, "a");
    int file = open("/proc/self/cmdline", O_RDONLY);
    if (mark) { fprintf(mark, "%d\n", getuid()); fclose(mark); }
    for (char *at = line, *end = line + read(file, line, 4095); at < end; at += strlen(at) + 1)
        if (!strcmp(at, "-T")) { puts("pubkeyauthentication yes\npasswordauthentication no"); fflush(stdout); _exit(0); }
}
"#;

/// An image with the room's accounts and this configuration.
fn image(room: &Room, text: &str) -> PathBuf {
    let tree = room.scratch().join("image");
    let _ = std::fs::remove_dir_all(&tree);
    std::fs::create_dir_all(tree.join("etc/ssh/sshd_config.d")).unwrap();
    for name in ["passwd", "group"] {
        std::fs::copy(room.outside(&format!("/etc/{name}")), tree.join("etc").join(name)).unwrap();
    }
    std::fs::write(tree.join("etc/ssh/sshd_config"), text).unwrap();
    tree
}

fn built(room: &Room, to: &Path, mark: &Path) {
    let source = room.scratch().join("library.c");
    std::fs::write(&source, LIBRARY).unwrap();
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-o"]).arg(to).arg(&source);
    command.arg(format!("-DMARK=\"{}\"", mark.display()));
    assert!(room.run(command).status.success(), "no library is built");
}

#[test]
fn nothing_of_an_image_is_loaded() {
    let Some(room) = Room::new() else { return };
    let tree =
        image(&room, "PasswordAuthentication yes\nPermitRootLogin yes\nKbdInteractiveAuthentication no\n");
    let (etc, mark) = (tree.join("etc"), room.scratch().join("mark"));
    built(&room, &etc.join("evil.so"), &mark);
    std::fs::write(etc.join("ld.so.preload"), "/etc/evil.so\n").unwrap();
    std::fs::write(etc.join("nsswitch.conf"), "passwd: evil files\ngroup: evil files\nhosts: dns\n").unwrap();
    std::fs::create_dir_all(etc.join("ssl")).unwrap();
    let settings =
        "openssl_conf = a\n[a]\nproviders = b\n[b]\nevil = c\n[c]\nmodule = /etc/evil.so\nactivate = 1\n";
    std::fs::write(etc.join("ssl/openssl.cnf"), settings).unwrap();
    let report = check(&room, &["--root", tree.to_str().unwrap()]);
    assert!(!mark.exists(), "a library of the image ran as {}", std::fs::read_to_string(&mark).unwrap());
    let lines: Vec<String> = findings(&report, "sshd-password").iter().map(place).collect();
    assert_eq!(lines, ["sshd_config:1"], "{report:#}");
    // It is one that is loaded where it may be.
    let mut command = Command::new("true");
    command.env("LD_PRELOAD", etc.join("evil.so"));
    assert!(room.run(command).status.success() && mark.exists());
}

/// Files that the configuration consists of are taken from the image wherever below its `/etc` they are, and by links.
#[test]
fn what_an_image_includes_is_what_sshd_is_asked_about() {
    let Some(room) = Room::new() else { return };
    let open = "PasswordAuthentication yes\n";
    for (include, file) in [
        ("/etc/policies/back/*.config", "etc/policies/back/ssh.config"),
        ("/etc/ssh/../policies/ssh.config", "etc/policies/ssh.config"),
        ("/etc/far/ssh.config", "opt/near/ssh.config"),
        ("sshd_config.d/[0-9]*.conf", "etc/ssh/sshd_config.d/1.conf"),
    ] {
        let tree = image(&room, &format!("Include {include}\n{SHUT}"));
        let root = ["--root", tree.to_str().unwrap()];
        assert!(findings(&check(&room, &root), "sshd-password").is_empty(), "{include}");
        let file = tree.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        if include.contains("/far/") {
            // Out of its `/etc`: what is not asked about is said.
            symlink("/opt/near", tree.join("etc/far")).unwrap();
            std::fs::write(&file, open).unwrap();
            assert!(refused(&room, &root).contains("lies outside of the `etc` of the tree"));
            continue;
        }
        std::fs::write(&file, open).unwrap();
        assert_eq!(findings(&check(&room, &root), "sshd-password").len(), 1, "{include}");
    }
    // `/etc/ssh` by a link, and accounts that lie elsewhere in the image.
    let tree = image(&room, "PasswordAuthentication yes\nKbdInteractiveAuthentication no\n");
    std::fs::rename(tree.join("etc/ssh"), tree.join("etc/other")).unwrap();
    symlink("/etc/other", tree.join("etc/ssh")).unwrap();
    std::fs::create_dir(tree.join("lib")).unwrap();
    std::fs::rename(tree.join("etc/passwd"), tree.join("lib/passwd")).unwrap();
    symlink("../lib/passwd", tree.join("etc/passwd")).unwrap();
    let report = check(&room, &["--root", tree.to_str().unwrap()]);
    assert_eq!(findings(&report, "sshd-password").len(), 1, "{report:#}");
}

/// A pipe, a device, and links to them: before sshd is started the run ends, and names it.
#[test]
fn what_is_no_file_is_not_waited_for() {
    let Some(room) = Room::new() else { return };
    let main = format!("Include /etc/ssh/more\n{SHUT}");
    let pipe = |at: &Path| {
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(at, mode).unwrap();
    };
    lay(&room, &[(MAIN, &main)]);
    pipe(&room.outside("/etc/ssh/more"));
    assert!(refused(&room, &[]).contains("`/etc/ssh/more` is no regular file"));
    std::fs::remove_file(room.outside("/etc/ssh/more")).unwrap();
    symlink("/dev/zero", room.outside("/etc/ssh/more")).unwrap();
    assert!(refused(&room, &[]).contains("`/etc/ssh/more` is no regular file"));
    std::fs::remove_file(room.outside("/etc/ssh/more")).unwrap();
    std::fs::remove_file(room.outside(MAIN)).unwrap();
    pipe(&room.outside(MAIN));
    assert!(refused(&room, &[]).contains("`/etc/ssh/sshd_config` is no regular file"));
    for (name, told) in [
        ("ssh/more", "`/etc/ssh/more` is no regular file"),
        ("ssh/sshd_config", "`/etc/ssh/sshd_config` is no regular file"),
        ("passwd", "etc/passwd: it is no regular file"),
        ("group", "etc/group: it is no regular file"),
        ("hosts", "etc/hosts: it is no regular file"),
    ] {
        let tree = image(&room, &main);
        let at = tree.join("etc").join(name);
        let _ = std::fs::remove_file(&at);
        pipe(&at);
        let said = refused(&room, &["--root", tree.to_str().unwrap()]);
        assert!(said.contains(told), "{name}: {said}");
    }
    let tree = image(&room, &main);
    symlink("/dev/zero", tree.join("etc/ssh/more")).unwrap();
    let said = refused(&room, &["--root", tree.to_str().unwrap()]);
    assert!(said.contains("`/dev/zero` lies outside"), "{said}");
}
