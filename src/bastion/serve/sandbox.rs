//! What is left to a process that strangers talk to: a user that is nobody, no files but its own, the calls that it needs.
//!
//! Each is asked of the kernel that is there, and said in the first line of the audit log: `landlock` since 5.13
//! (landlock(7)), `seccomp` since 3.17 (seccomp(2)). Where a kernel has neither, the unit file's own bounds are left, and the
//! firewall's.

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::libc;
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Becomes a user, by name or number, for good. Returns who it is now.
///
/// # Errors
/// Where it is root and would stay so, or nobody has that name.
pub fn become_user(user: Option<&str>) -> Result<u32, String> {
    let now = Uid::effective();
    let Some(asked) = user else {
        if now.is_root() {
            return Err("it does not serve as root: say `--user NAME`".to_owned());
        }
        return Ok(now.as_raw());
    };
    let known = match asked.parse::<u32>() {
        Ok(number) => (Uid::from_raw(number), Gid::from_raw(number)),
        Err(_) => {
            let found = User::from_name(asked).map_err(|e| format!("cannot ask who `{asked}` is: {e}"))?;
            let found = found.ok_or_else(|| format!("nobody is called `{asked}`"))?;
            (found.uid, found.gid)
        }
    };
    let (uid, gid) = known;
    if uid.is_root() || gid.as_raw() == 0 {
        return Err("it does not serve as root".to_owned());
    }
    if now != uid {
        let refused = |e: nix::errno::Errno| format!("cannot become `{asked}`: {e}");
        setgroups(&[]).map_err(refused)?;
        setresgid(gid, gid, gid).map_err(refused)?;
        setresuid(uid, uid, uid).map_err(refused)?;
        if setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
            return Err("it could become root again".to_owned());
        }
    }
    // Nobody of the same user reads the host key out of its memory.
    nix::sys::prctl::set_dumpable(false).map_err(|e| format!("cannot keep its memory to itself: {e}"))?;
    Ok(uid.as_raw())
}

/// Leaves it the reading of one folder, and no listening at another port. Returns how far the kernel goes with that.
///
/// # Errors
/// Where the folder cannot be named to the kernel, or it refuses what it said it knows.
pub fn landlock(folder: &Path) -> Result<&'static str, String> {
    let refused = |e: landlock::RulesetError| format!("landlock: {e}");
    let abi = ABI::V6;
    let own = PathFd::new(folder).map_err(|e| format!("landlock: {e}"))?;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .map_err(refused)?
        // Destinations change with the files, and what was given up stays so: the firewall bounds those.
        .handle_access(AccessNet::BindTcp)
        .map_err(refused)?
        .scope(Scope::AbstractUnixSocket)
        .map_err(refused)?
        .scope(Scope::Signal)
        .map_err(refused)?
        .create()
        .map_err(refused)?
        .add_rule(PathBeneath::new(own, AccessFs::ReadFile | AccessFs::ReadDir))
        .map_err(refused)?
        .restrict_self()
        .map_err(refused)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "full",
        RulesetStatus::PartiallyEnforced => "partial",
        RulesetStatus::NotEnforced => "none",
    })
}

/// Leaves every thread the calls that it needs; any other fails with `EPERM`. No program is started, no thread, no socket but
/// TCP, no memory made executable.
///
/// # Errors
/// Where the kernel knows seccomp and refuses this.
pub fn seccomp() -> Result<&'static str, String> {
    let Ok(arch) = std::env::consts::ARCH.try_into() else { return Ok("none") };
    let refused = |e: seccompiler::BackendError| format!("seccomp: {e}");
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let is = |argument: u8, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let (family, stream) = (family.unsigned_abs(), libc::SOCK_STREAM.unsigned_abs());
        // Beside its kind there are flags.
        let kind = SeccompCmpOp::MaskedEq(0xf);
        let kind =
            SeccompCondition::new(1, SeccompCmpArgLen::Dword, kind, u64::from(stream)).map_err(refused)?;
        sockets
            .push(SeccompRule::new(vec![is(0, u64::from(family)).map_err(refused)?, kind]).map_err(refused)?);
    }
    rules.insert(libc::SYS_socket, sockets);
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let plain = || {
        let plain = SeccompCmpOp::MaskedEq(executable);
        SeccompCondition::new(2, SeccompCmpArgLen::Dword, plain, 0)
    };
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let rule = SeccompRule::new(vec![plain().map_err(refused)?]).map_err(refused)?;
        rules.insert(call, vec![rule]);
    }
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch).map_err(refused)?;
    let program: BpfProgram = filter.try_into().map_err(refused)?;
    match seccompiler::apply_filter_all_threads(&program) {
        Ok(()) => Ok("full"),
        Err(seccompiler::Error::Seccomp(e)) if e.raw_os_error() == Some(libc::ENOSYS) => Ok("none"),
        Err(e) => Err(format!("seccomp: {e}")),
    }
}

/// What it calls once it listens.
const CALLS: &[i64] = &[
    // What it carries.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    // What wakes it.
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_futex,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    // Its files, which landlock bounds.
    libc::SYS_openat,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_lseek,
    libc::SYS_getdents64,
    // Its memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_getrandom,
    // Its signals, and its end.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_membarrier,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
