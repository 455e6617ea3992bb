//! The CRM with GES as its way in, on real sshds: what fwc renders is what OpenSSH does, behind the rulesets it emits.
//!
//! Clients, the firewall, GES and two servers, each in a namespace of its own inside a room (`tests/sshd`), with the
//! rulesets and the files of `compile`. Around them the configuration is as bad as it gets: passwords of every kind are on in
//! `sshd_config` and in a `50-cloud-init.conf`, and root has a password that everybody knows.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "starts sshd and ssh")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fwc::compile::{Compiled, compile};
use fwc::diag::Findings;
use fwc::source::SourceMap;

use crate::common::{Texts, crm, options, said};
use crate::sshd::{Room, SSHD};

/// What makes a password good enough, so that its refusal is the file's doing.
const BAD_HABITS: &str = "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nPermitRootLogin yes\nPasswordAuthentication yes\n\
    KbdInteractiveAuthentication yes\nPermitEmptyPasswords yes\nHostbasedAuthentication yes\nAllowTcpForwarding yes\nX11Forwarding yes\n";

struct Site {
    room: Room,
    compiled: Compiled,
    /// `ssh_config` of ana, as it is rendered.
    config: PathBuf,
}

impl Site {
    fn new() -> Option<Self> {
        let room = Room::new()?;
        let ana = room.key("ana", &["-t", "rsa", "-b", "3072"]);
        let lab = room.key("lab", &["-t", "ed25519"]);
        let host_key = fs::read_to_string(room.outside("/etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
        let host_key = host_key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let keys = [("ana", &ana), ("lab", &lab)];
        let files =
            keys.map(|(name, key)| (format!("keys/{name}.pub"), format!("{} {name}\n", Room::public(key))));
        let mut texts = crm();
        texts.push((
            "keys.fw".to_owned(),
            format!("group keyed = ges, s1, bbdd\neach keyed {{ host-key \"{host_key}\" }}\n"),
        ));
        let compiled = compiled(&texts, files.into());
        let config = room.scratch().join("config");
        let site = Self { room, compiled, config };
        site.wire();
        site.install();
        site.at_home(&ana);
        Some(site)
    }

    fn file(&self, host: &str, name: &str) -> &str {
        crate::common::artifact(&self.compiled, host, name)
    }

    /// Five machines on two links, as in the policy; the rulesets run.
    fn wire(&self) {
        let machines = [
            ("c1", "10.1.1.11", "clients", "eth1"),
            ("ges", "10.1.5.51", "mgmt", "eth3"),
            ("s1", "10.1.5.11", "mgmt", "eth3"),
            ("bbdd", "10.1.5.31", "mgmt", "eth3"),
        ];
        let mut script = String::from(
            "set -e\nip link add clients type bridge forward_delay 0\nip link add mgmt type bridge forward_delay 0\nip link set clients up\nip link set mgmt up\n",
        );
        let mut leg = |name: &str, addr: &str, link: &str, interface: &str| {
            let port = format!("{name}-{interface}");
            script += &format!(
                "ip netns list | grep -qx '{name}.*' || ip netns add {name}\nip link add {port} type veth peer name {interface} netns {name}\n\
                 ip link set {port} master {link} up\nip -n {name} link set lo up\nip -n {name} link set {interface} up\nip -n {name} addr add {addr}/24 dev {interface}\n"
            );
        };
        for (name, addr, link, interface) in machines {
            leg(name, addr, link, interface);
        }
        leg("fw", "10.1.1.1", "clients", "eth1");
        leg("fw", "10.1.5.1", "mgmt", "eth3");
        script += "ip netns exec fw sysctl -qw net.ipv4.ip_forward=1\nip -n c1 route add 10.1.5.0/24 via 10.1.1.1\n";
        for name in ["ges", "s1", "bbdd"] {
            script += &format!("ip -n {name} route add 10.1.1.0/24 via 10.1.5.1\n");
        }
        self.room.sh(&script);
        for host in ["fw", "ges", "s1", "bbdd"] {
            let path = self.room.scratch().join(format!("{host}.nft"));
            fs::write(&path, self.file(host, "ruleset.nft")).unwrap();
            self.room.sh(&format!("ip netns exec {host} nft -f {}", path.display()));
        }
    }

    /// The files of `compile` where sshd finds them, beside bad habits; ana's configuration.
    fn install(&self) {
        self.room.sh("cp -r /etc/ssh /etc/ssh-s1");
        for (folder, host) in [("/etc/ssh", "ges"), ("/etc/ssh-s1", "s1")] {
            self.room.write(&format!("{folder}/sshd_config"), BAD_HABITS);
            self.room
                .write(&format!("{folder}/sshd_config.d/50-cloud-init.conf"), "PasswordAuthentication yes\n");
            let keys = self.file(host, "ssh/authorized_keys/root");
            self.room.write(&format!("{folder}/fwc/authorized_keys/root"), keys);
        }
        self.room.write("/etc/ssh-s1/sshd_config.d/00-fwc.conf", self.file("s1", "ssh/00-fwc.conf"));
        // Root's password is known to everybody in this room.
        let hash = self.room.sh("openssl passwd -6 correct");
        self.room.write("/etc/shadow", &format!("root:{}:20000::::::\nsshd:!:20000::::::\n", hash.trim()));
    }

    /// What the rendered files ask of ana, and nothing else: her key where ssh looks for one, the host keys where they
    /// say. ssh takes `~` from passwd, and there the room's root has a home of the room's.
    fn at_home(&self, key: &Path) {
        let passwd = fs::read_to_string(self.room.outside("/etc/passwd")).unwrap();
        self.room.write("/etc/passwd", &passwd.replace(":/root:", ":/run/home/root:"));
        let known = self.room.scratch().join("known_hosts");
        fs::write(&known, self.file("ges", "ssh/known_hosts")).unwrap();
        fs::write(&self.config, self.file("ges", "ssh/ssh_config/ana")).unwrap();
        self.room.sh(&format!(
            "mkdir -p -m 700 /run/home/root/.ssh && cd ~root/.ssh && cp {} fwc_known_hosts && cp {} id_rsa",
            known.display(),
            key.display()
        ));
    }

    /// The rendered drop-in, in place or away.
    fn rendered(&self, there: bool) {
        let path = "/etc/ssh/sshd_config.d/00-fwc.conf";
        if there {
            self.room.write(path, self.file("ges", "ssh/00-fwc.conf"));
        } else {
            let _ = fs::remove_file(self.room.outside(path));
        }
    }

    fn sshd(&self, host: &str, folder: &str) -> Listener {
        let log = self.room.scratch().join(format!("{host}.log"));
        let line = format!("mount --bind {folder} /etc/ssh 2>/dev/null; exec {SSHD} -D -E {}", log.display());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host, "unshare", "-m", "sh", "-c", &line]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let listener = Listener { child: self.room.spawn(command), log };
        let listens = format!("ip netns exec {host} ss -Hltn sport = :22 | grep -q LISTEN");
        for _ in 0..400 {
            let mut asked = Command::new("sh");
            asked.args(["-c", &listens]);
            if self.room.run(asked).status.success() {
                return listener;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        unreachable!("no sshd of {host}: {}", fs::read_to_string(&listener.log).unwrap_or_default());
    }

    /// `ssh` on c1.
    fn ssh(&self, arguments: &[&str], password: Option<&str>) -> (bool, String) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", "c1", "timeout", "25", "ssh", "-F"]).arg(&self.config).args(arguments);
        command.env_remove("SSH_AUTH_SOCK");
        if let Some(word) = password {
            let asks = self.room.scratch().join("asks");
            fs::write(&asks, format!("#!/bin/sh\necho '{word}'\n")).unwrap();
            fs::set_permissions(&asks, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            command.env("SSH_ASKPASS", asks).env("SSH_ASKPASS_REQUIRE", "force");
        }
        let Output { status, stdout, stderr } = self.room.run(command);
        let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        (status.success(), said)
    }

    /// A try without a key.
    fn without_key(&self, method: &str, password: &str) -> (bool, String) {
        let method = format!("PreferredAuthentications={method}");
        let on = [
            "-o",
            "PubkeyAuthentication=no",
            "-o",
            "PasswordAuthentication=yes",
            "-o",
            "KbdInteractiveAuthentication=yes",
            "-o",
            "HostbasedAuthentication=yes",
            "-o",
            "EnableSSHKeysign=yes",
            "-o",
            "NumberOfPasswordPrompts=1",
            "-o",
        ];
        let arguments: Vec<&str> = on.into_iter().chain([method.as_str(), "ges", "true"]).collect();
        self.ssh(&arguments, Some(password))
    }
}

struct Listener {
    child: Child,
    log: PathBuf,
}

impl Listener {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn compiled(texts: &[(String, String)], files: Vec<(String, String)>) -> Compiled {
    let mut sources = SourceMap::default();
    let roots: Vec<_> = texts.iter().map(|(name, text)| sources.add(name, text)).collect();
    let mut findings = Findings::default();
    let mut loader = Texts(files.into_iter().collect::<BTreeMap<_, _>>());
    let result = compile(&mut sources, &roots, &mut loader, &options(), &mut findings, &|_| {});
    assert!(!findings.has_errors(), "{}", said(&findings, &sources));
    result.unwrap()
}

#[test]
fn ges_lets_ana_in_by_her_key_and_nobody_by_anything_else() {
    let Some(site) = Site::new() else { return };

    // Without the file everything opens: what is refused later is refused by it.
    site.rendered(false);
    let ges = site.sshd("ges", "/etc/ssh");
    for method in ["password", "keyboard-interactive"] {
        let (_, said) = site.without_key(method, "correct");
        let accepted = ges.log().contains(&format!("Accepted {method}"));
        assert!(accepted, "{method}, without the file: {said}\n{}", ges.log());
    }
    drop(ges);

    site.rendered(true);
    site.room.sh(&format!("ip netns exec ges {SSHD} -t"));
    let ges = site.sshd("ges", "/etc/ssh");
    for method in ["password", "keyboard-interactive", "hostbased", "none"] {
        let (opened, said) = site.without_key(method, "correct");
        assert!(!opened && said.contains("Permission denied (publickey)"), "{method}: {said}");
    }
    site.room.write("/etc/shadow", "root::20000::::::\nsshd:!:20000::::::\n");
    for method in ["none", "password"] {
        let (opened, said) = site.without_key(method, "");
        assert!(!opened && said.contains("Permission denied (publickey)"), "empty, {method}: {said}");
    }
    let log = ges.log();
    let since = log.rsplit("Server listening").next().unwrap_or_default();
    let accepted = since.lines().filter(|line| line.contains("Accepted")).count();
    assert_eq!(accepted, 0, "{}", ges.log());
    // Her key is taken, and gives her no shell here.
    let (opened, said) = site.ssh(&["-v", "ges", "true"], None);
    assert!(!opened && said.contains("Authenticated to 10.1.5.51"), "{said}\n{}", ges.log());
}

#[test]
fn ana_goes_through_ges_where_the_policy_says_and_nowhere_else() {
    let Some(site) = Site::new() else { return };
    site.rendered(true);
    let (ges, s1) = (site.sshd("ges", "/etc/ssh"), site.sshd("s1", "/etc/ssh-s1"));

    // By the rendered configuration as it is: jump, host keys, account, shell at the far end.
    let (opened, said) = site.ssh(&["s1", "echo", "here"], None);
    assert!(opened && said.contains("here"), "{said}\n{}\n{}", ges.log(), s1.log());

    let through = |to: &str| site.ssh(&["-W", to, "ges"], None).1;
    assert!(through("10.1.5.11:22").contains("SSH-2.0"), "{}", ges.log());
    // Allowed, and nobody listens: sshd tried.
    let tried = through("10.1.5.31:22");
    assert!(tried.contains("connect failed") && !tried.contains("prohibited"), "{tried}");
    for to in [
        "10.1.5.11:80",
        "10.1.5.31:5432",
        "10.1.4.31:22",
        "10.1.1.11:22",
        "10.1.5.52:22",
        "127.0.0.1:22",
        "localhost:22",
        "10.1.5.51:22",
        "169.254.169.254:80",
        "[::ffff:10.1.5.11]:22",
        "167838987:22",
        "10.1.5.11.:22",
    ] {
        let said = through(to);
        assert!(said.contains("administratively prohibited"), "{to}: {said}");
    }
    for arguments in [
        &["-N", "-o", "ExitOnForwardFailure=yes", "-R", "8022:127.0.0.1:22", "ges"][..],
        &["-tt", "ges"],
        &["-A", "ges", "sh"],
    ] {
        let (opened, said) = site.ssh(arguments, None);
        assert!(!opened, "{arguments:?}: {said}");
    }
    // Round GES there is the firewall.
    let direct = ["-o", "ProxyJump=none", "-o", "ConnectTimeout=2", "s1", "true"];
    let (opened, said) = site.ssh(&direct, None);
    assert!(!opened && said.contains("timed out"), "{said}");
    // Without it her key would do at s1, but for `from=`.
    site.room.sh("ip netns exec fw nft delete table inet fwc; ip netns exec s1 nft delete table inet fwc");
    let (opened, said) = site.ssh(&direct, None);
    assert!(!opened && said.contains("Permission denied"), "{said}\n{}", s1.log());
}
