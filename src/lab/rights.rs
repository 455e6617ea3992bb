//! Who may build a lab: root, or whoever may make a user namespace.

#![expect(clippy::disallowed_methods, reason = "reads its own capabilities and writes its own id maps")]

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::LabError;

/// What building namespaces and sending raw packets takes (capabilities(7), `linux/capability.h`): CAP_NET_ADMIN,
/// CAP_NET_RAW, CAP_SYS_ADMIN.
const NEEDED: u64 = 1 << 12 | 1 << 13 | 1 << 21;

/// Makes this process one that may build a lab. Where it may not already, it moves into a user namespace of its own,
/// in which it is root and which ends with it (user_namespaces(7)); files stay those of the user who started it.
///
/// # Errors
/// When the kernel refuses: it was built, or set, not to let users do that; or this process has several threads.
pub fn ensure() -> Result<(), LabError> {
    if effective().is_some_and(|have| have & NEEDED == NEEDED) {
        return Ok(());
    }
    let (user, group) = (geteuid(), getegid());
    let what = "not root, and this kernel lets nobody else make a user namespace";
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| LabError::system(what)(e.into()))?;
    // A group map is taken only where the process can no longer leave groups (user_namespaces(7)).
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        let path = format!("/proc/self/{file}");
        std::fs::write(&path, text).map_err(LabError::system(format!("cannot write {path}")))?;
    }
    Ok(())
}

/// The effective capabilities of this process, as bits.
fn effective() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}
