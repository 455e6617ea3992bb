//! Other masters of the same machine: legacy xtables, ufw and firewalld are seen before anything is armed.

use std::process::Command;

use super::common::{file, kernel};
use super::world::{FWC, Sshd, World, said};

/// `iptables-legacy -L`, without that program: asking for a table makes the kernel register it (`IPT_SO_GET_INFO`, 64, of
/// `SOL_IP` and of `SOL_IPV6`; `linux/netfilter_ipv4/ip_tables.h`).
const LEGACY: &str = "import ctypes, socket, sys\n\
    family, level, raw = (socket.AF_INET, 0, 255) if sys.argv[1] == '4' else (socket.AF_INET6, 41, 255)\n\
    asked = ctypes.create_string_buffer(b'filter', 84)\n\
    size = ctypes.c_uint32(84)\n\
    s = socket.socket(family, socket.SOCK_RAW, raw)\n\
    sys.exit(ctypes.CDLL(None).getsockopt(s.fileno(), level, 64, asked, ctypes.byref(size)) != 0)\n";

#[test]
fn another_master_of_the_machine_is_refused_unless_there_is_a_console() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let Some(sshd) = Sshd::start(&world) else { return };
    let apply =
        |more: &str| sshd.run(&format!("{FWC} apply {} --sysctl {more}", world.path("old").display()));
    let refused = |what: &str, words: &str| {
        let done = apply("");
        assert_eq!(done.status.code(), Some(1), "{what}: {}", said(&done));
        let lines: Vec<String> =
            said(&done).lines().filter(|l| l.starts_with("refused (")).map(str::to_owned).collect();
        assert!(
            lines.len() == 1 && lines[0].contains("other rules") && lines[0].contains(words),
            "{what}: {lines:?}"
        );
        assert_eq!(world.mark(), None, "{what}");
    };
    // Tables as ufw and firewalld write them: both let the administrator in, so that they alone are the reason.
    for (name, words) in [("ufw", "ufw is active"), ("firewalld", "firewalld is active")] {
        world.fw.nft(&file(format!("tests/foreign/{name}.nft").as_ref()).1).unwrap();
        let before = world.foreign();
        refused(name, words);
        let done = apply("--i-have-console");
        assert!(done.status.success(), "{name}: {}", said(&done));
        // What the counters of others count is theirs.
        let plain = |text: &str| -> Vec<String> {
            text.lines().map(|l| l.split("counter packets").next().unwrap_or(l).to_owned()).collect()
        };
        assert_eq!(plain(&world.foreign()), plain(&before), "{name}");
        assert!(sshd.run(&format!("{FWC} rollback")).status.success(), "{name}");
        world.fw.run("nft", &["flush", "ruleset"], "").unwrap();
    }
    // ufw that is enabled and not started yet: its rules would come with the next boot.
    let etc = world.path("etc");
    std::fs::create_dir_all(etc.join("ufw")).unwrap();
    std::fs::write(etc.join("ufw/ufw.conf"), "# /etc/ufw/ufw.conf\nENABLED=yes\nLOGLEVEL=low\n").unwrap();
    let script = format!(
        "mount --bind {} /etc && exec {FWC} apply {} --sysctl --state {}",
        etc.display(),
        world.path("old").display(),
        world.path("state").display()
    );
    let done = Command::new("nsenter")
        .arg(format!("--net={}", world.fw.path()))
        .args(["unshare", "-m", "--propagation", "private", "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(said(&done).contains("refused (other rules): ufw is active"), "{}", said(&done));
    // Legacy tables, which no nft lists. They go with the network.
    for (family, names) in [("4", "ip_tables_names"), ("6", "ip6_tables_names")] {
        world.fw.run("python3", &["-c", LEGACY, family], "").unwrap();
        let listed = world.fw.run("cat", &[&format!("/proc/net/{names}")], "").unwrap();
        assert_eq!(listed.trim(), "filter", "the kernel has registered it");
        assert!(!world.foreign().contains("table"), "and nft does not show it");
        if family == "4" {
            refused("legacy", "legacy xtables are loaded (filter), which nft does not show");
        }
    }
    let done = apply("");
    assert_eq!(said(&done).matches("refused (other rules): legacy xtables").count(), 2, "{}", said(&done));
    let done = apply("--i-have-console");
    assert!(done.status.success(), "{}", said(&done));
}
