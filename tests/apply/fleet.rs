//! A fleet: the role that `compile` writes, by real Ansible over real ssh; and one machine by `apply --remote`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use fwc::lab::netns::Netns;

use super::common::{kernel, kernel_required, root};
use super::world::{FWC, World, said, until};

/// The machines that are rolled out to: `FWC_FLEET=all` means every one of the CRM.
const SOME: [&str; 3] = ["bbdd", "fw", "lb"];

/// The CRM's machines, each with its interfaces, addresses and routes, an sshd, and a controller (the policy's station).
struct Fleet {
    controller: Netns,
    machines: Vec<Machine>,
    build: PathBuf,
    _wires: Netns,
    dir: tempfile::TempDir,
}

struct Machine {
    name: String,
    netns: Netns,
    sshd: Child,
    login: String,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

impl Machine {
    fn mark(&self) -> Option<String> {
        let all = self.netns.run("nft", &["list", "ruleset"], "").unwrap();
        let line = all.lines().find(|line| line.contains("chain fwc_generation_"))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    }
}

impl Fleet {
    fn new(names: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("fwc-fleet-").tempdir().unwrap();
        let build = dir.path().join("build");
        let crm = root().join("policies/crm");
        let done = Command::new(FWC).arg("compile").arg(crm).arg("-o").arg(&build).output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
        for key in ["user", "host"] {
            let path = dir.path().join(key);
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).output();
            assert!(made.unwrap().status.success());
        }
        let (controller, wires) = (Netns::new().unwrap(), Netns::new().unwrap());
        wires.ip(&["link add vnx type bridge".to_owned(), "link set vnx up".to_owned()]).unwrap();
        let mut fleet = Self { controller, machines: Vec::new(), build, _wires: wires, dir };
        let path = fleet.controller.path();
        fleet
            ._wires
            .ip(&[
                format!("link add c0 type veth peer name vnx0 netns {path}"),
                "link set c0 master vnx up".to_owned(),
            ])
            .unwrap();
        fleet
            .controller
            .ip(&[
                "addr add 10.250.0.1/24 dev vnx0".to_owned(),
                "link set vnx0 up".to_owned(),
                "link set lo up".to_owned(),
            ])
            .unwrap();
        for (at, name) in names.iter().enumerate() {
            fleet.add(name, at);
        }
        fleet
    }

    /// Interfaces and routes as the build says they are; dynamic ones get an address of their zone.
    fn add(&mut self, name: &str, at: usize) {
        let netns = Netns::new().unwrap();
        let json = |file: &str| -> Vec<Value> {
            let text = fs::read_to_string(self.build.join("hosts").join(name).join(file)).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        netns.ip(&["link set lo up".to_owned()]).unwrap();
        let mut login = String::new();
        for (leg, of) in json("interfaces.json").iter().enumerate() {
            let interface = of["interface"].as_str().unwrap();
            self._wires
                .ip(&[
                    format!("link add m{at}x{leg} type veth peer name {interface} netns {}", netns.path()),
                    format!("link set m{at}x{leg} up"),
                ])
                .unwrap();
            let mut addrs: Vec<String> =
                of["addresses"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_owned()).collect();
            if of["dynamic"].as_bool().unwrap() {
                let net = if interface == "eth0" { "10.250.0" } else { "192.168.122" };
                addrs.push(format!("{net}.{}", 100 + at));
            }
            if interface == "eth0" {
                self._wires.ip(&[format!("link set m{at}x{leg} master vnx")]).unwrap();
                login = addrs[0].clone();
            }
            netns
                .ip(&addrs.iter().map(|a| format!("addr add {a}/24 dev {interface}")).collect::<Vec<_>>())
                .unwrap();
            netns.ip(&[format!("link set {interface} up")]).unwrap();
        }
        for route in json("routes.json") {
            let word = |key: &str| route[key].as_str().unwrap_or_default().to_owned();
            let line = match word("kind").as_str() {
                "via" => format!(
                    "route replace {} via {} dev {} onlink",
                    word("to"),
                    word("gateway"),
                    word("interface")
                ),
                "on-link" => format!("route replace {} dev {}", word("to"), word("interface")),
                _ => format!("route replace unreachable {}", word("to")),
            };
            netns.ip(&[line]).unwrap();
        }
        let sshd = self.sshd(name, &netns);
        self.machines.push(Machine { name: name.to_owned(), netns, sshd, login });
    }

    fn sshd(&self, name: &str, netns: &Netns) -> Child {
        let dir = self.dir.path().join(name);
        for folder in ["ssh", "run/sshd", "lib"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        fs::copy(self.dir.path().join("host"), dir.join("ssh/host")).unwrap();
        fs::copy(self.dir.path().join("user.pub"), dir.join("ssh/authorized")).unwrap();
        let folder = PathBuf::from(FWC).parent().unwrap().display().to_string();
        let config = format!(
            "HostKey /etc/ssh/host\nAuthorizedKeysFile /etc/ssh/authorized\nPermitRootLogin prohibit-password\n\
             StrictModes no\nUsePAM no\nPidFile none\nUseDNS no\nSubsystem sftp internal-sftp\n\
             SetEnv PATH={folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        );
        fs::write(dir.join("ssh/sshd_config"), config).unwrap();
        let setup = format!(
            "mount --bind {d}/ssh /etc/ssh && mount --bind {d}/run /run && mount -t tmpfs tmpfs /root && \
             {{ [ -d /var/lib/fwc ] || mount -t tmpfs tmpfs /var/lib; mkdir -p /var/lib/fwc; }} && \
             mount --bind {d}/lib /var/lib/fwc && exec /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config",
            d = dir.display()
        );
        Command::new("nsenter")
            .arg(format!("--net={}", netns.path()))
            .args(["unshare", "-m", "--propagation", "private", "-p", "-f", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", &setup])
            .stdin(Stdio::null())
            .stderr(fs::File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap()
    }

    fn machine(&self, name: &str) -> &Machine {
        self.machines.iter().find(|m| m.name == name).unwrap()
    }

    fn here(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.controller.path())).arg(program).stdin(Stdio::null());
        command
    }

    /// What ssh is told: keys of the test, and each machine's address by its name.
    fn config(&self) -> PathBuf {
        let path = self.dir.path().join("ssh_config");
        let mut text = format!(
            "Host *\n User root\n IdentityFile {}/user\n IdentitiesOnly yes\n IdentityAgent none\n BatchMode yes\n \
             StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n ConnectTimeout 3\n",
            self.dir.path().display()
        );
        for machine in &self.machines {
            text.push_str(&format!("Host {}\n HostName {}\n", machine.name, machine.login));
        }
        fs::write(&path, text).unwrap();
        path
    }

    /// The role on these machines: with the inventory that `compile` wrote, and where their names lead.
    fn play(&self, playbook: &Path, names: &[&str]) -> Command {
        let mut told = self.here(playbook.to_str().unwrap());
        told.arg("-i").arg(self.build.join("ansible/inventory.yml")).arg(self.build.join("ansible/site.yml"));
        told.args(["--limit", &names.join(",")]);
        told.args(["-e", "fwc_confirm_within=15s", "-e", "ansible_python_interpreter=/usr/bin/python3"]);
        told.args(["-e", "ansible_host={{ inventory_hostname }}"]);
        told.arg("--ssh-common-args").arg(format!("-F {}", self.config().display()));
        told.env("ANSIBLE_HOME", self.dir.path().join("ansible"))
            .env("ANSIBLE_LOCAL_TEMP", self.dir.path().join("tmp"));
        told.env("ANSIBLE_SSH_CONTROL_PATH_DIR", self.dir.path().join("cp")).env("ANSIBLE_NOCOLOR", "1");
        told
    }

    fn ssh(&self, name: &str, words: &str) -> std::process::Output {
        self.here("ssh").arg("-F").arg(self.config()).args([name, words]).output().unwrap()
    }
}

/// Drops every new login of a machine as soon as its new rules are there, as a mistake elsewhere would.
fn sabotage(machine: &Machine) -> Child {
    let script = "while ! nft list ruleset | grep -q fwc_generation_; do sleep 0.05; done; \
                  nft 'table inet evil { chain c { type filter hook input priority -200; tcp dport 22 ct state new drop; }; }'";
    Command::new("nsenter")
        .arg(format!("--net={}", machine.netns.path()))
        .args(["sh", "-c", script])
        .spawn()
        .unwrap()
}

/// None where it is not there, said aloud; a failure where the kernel is required.
fn ansible() -> Option<PathBuf> {
    let playbook = root().join("target/ansible/bin/ansible-playbook");
    if playbook.is_file() && Path::new("/usr/sbin/sshd").exists() {
        return Some(playbook);
    }
    assert!(!kernel_required(), "no ansible-playbook or no sshd: run `make tools`");
    println!("SKIPPED: no ansible-core in target/ansible, or no sshd");
    None
}

/// Whose trial it is, is whose business it is.
#[test]
fn the_role_leaves_the_trial_of_somebody_else_alone() {
    if !kernel() {
        return;
    }
    let Some(playbook) = ansible() else { return };
    let fleet = Fleet::new(&["bbdd"]);
    until("bbdd answers", 20, || fleet.ssh("bbdd", "true").status.success());
    let theirs = format!("fwc apply {} --host bbdd --sysctl --confirm-within 10m", fleet.build.display());
    let applied = fleet.ssh("bbdd", &theirs);
    assert!(applied.status.success(), "{}", said(&applied));
    let mark = fleet.machine("bbdd").mark();
    let played = fleet.play(&playbook, &["bbdd"]).output().unwrap();
    assert!(
        !played.status.success() && said(&played).contains("is on trial: confirm it"),
        "{}",
        said(&played)
    );
    assert!(mark.is_some() && fleet.machine("bbdd").mark() == mark, "{}", said(&played));
    let status = fleet.ssh("bbdd", "fwc status");
    assert!(said(&status).contains("on trial   generation 1 of `bbdd`, loaded"), "{}", said(&status));
}

#[test]
fn ansible_rolls_out_one_by_one_and_stops_at_the_machine_that_nobody_reaches_any_more() {
    if !kernel() {
        return;
    }
    let Some(playbook) = ansible() else { return };
    let all = std::env::var("FWC_FLEET").is_ok_and(|v| v == "all");
    let every = ["bbdd", "fw", "ges", "lb", "nagios", "nas1", "nas2", "nas3", "s1", "s2", "s3"];
    let names: &[&str] = if all { &every } else { &SOME };
    let fleet = Fleet::new(names);
    let failing = names[names.len() / 2];
    for name in names {
        until(&format!("{name} answers"), 20, || fleet.ssh(name, "true").status.success());
    }
    let hook = sabotage(fleet.machine(failing));
    let played = fleet.play(&playbook, names).output().unwrap();
    let words = said(&played);
    assert!(!played.status.success(), "{words}");
    let at = names.iter().position(|name| *name == failing).unwrap();
    let machine = fleet.machine(failing);
    until("the watchdog rolled back", 30, || machine.mark().is_none());
    for (n, name) in names.iter().enumerate() {
        let mark = fleet.machine(name).mark();
        assert_eq!(mark.is_some(), n < at, "{name}: {mark:?}\n{words}");
    }
    for name in &names[..at] {
        let status = fleet.ssh(name, "fwc status");
        assert!(said(&status).contains("confirmed  generation 1"), "{name}: {}\n{words}", said(&status));
    }
    assert!(!words.contains(&format!("TASK [fwc : Apply] {}", names[names.len() - 1])), "{words}");
    finish(hook);
    machine.netns.run("nft", &["delete", "table", "inet", "evil"], "").unwrap();
    until("the failed machine lets in again", 10, || fleet.ssh(failing, "true").status.success());
    let status = fleet.ssh(failing, "fwc status");
    assert!(said(&status).contains("rolled back by the watchdog"), "{}", said(&status));
    // One machine without Ansible, over the system's ssh.
    let applied = fleet
        .here(FWC)
        .args(["apply", "--remote", failing, "--host", failing, "--sysctl", "--ssh-config"])
        .arg(fleet.config())
        .arg(&fleet.build)
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}", said(&applied));
    assert!(said(&applied).contains("is confirmed"), "{}", said(&applied));
    assert!(machine.mark().is_some());
}

fn finish(mut child: Child) {
    for _ in 0..50 {
        if child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Whoever lost the connection does not know what became of it, and is not told that nothing was done.
#[test]
fn over_a_connection_that_is_lost_nobody_says_that_it_was_not_applied() {
    let dir = tempfile::Builder::new().prefix("fwc-remote-").tempdir().unwrap();
    let (build, bin) = (dir.path().join("build"), dir.path().join("bin"));
    let policy = root().join("tests/apply/policies/old.fw");
    let done = Command::new(FWC).arg("compile").arg(policy).arg("-o").arg(&build).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    fs::create_dir_all(&bin).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // ssh(1): its own failures are 255; the rest is what the command there ended with.
    for (code, lost) in [(255, true), (1, false)] {
        let script = format!("#!/bin/sh\ncat >/dev/null\nexit {code}\n");
        fs::write(bin.join("ssh"), script).unwrap();
        fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        let done = Command::new(FWC)
            .args(["apply", "--remote", "fw.example", "--confirm-within", "75s"])
            .arg(&build)
            .env("PATH", &path)
            .output()
            .unwrap();
        let told = said(&done);
        assert_eq!(done.status.code(), Some(1), "{told}");
        let words =
            "it may be on trial there; then its watchdog rolls it back within 75 s: `fwc status` there says";
        assert_eq!(told.contains(words), lost, "{told}");
        assert_eq!(told.contains("not applied on `fw.example`"), !lost, "{told}");
    }
}

/// Two operators, one machine: who began a trial confirms that one, or none; and no run leaves its build there, or takes another's.
#[test]
fn a_remote_run_confirms_its_own_trial_and_no_other() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let (bin, lib) = (world.path("bin"), world.path("lib"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&lib).unwrap();
    // Each call is a connection of its own; over none, hence the console.
    let (old, new, net) = (world.path("old"), world.path("new"), world.fw.path());
    let ssh = format!(
        "#!/bin/bash\nexec unshare -m --propagation private sh -c '{{ [ -d /var/lib/fwc ] || {{ mount -t tmpfs tmpfs /var/lib; \
         mkdir /var/lib/fwc; }}; }}; mount --bind {} /var/lib/fwc && exec nsenter --net={net} sh -c \"$0\"' \"${{@: -1}}\"\n",
        lib.display()
    );
    let fwc = format!(
        "#!/bin/sh\ncase $1 in confirm) set -- \"$@\" --i-have-console; [ -e {0}/other ] && {{ {FWC} rollback; \
         {FWC} apply {1} --i-have-console; }};; esac\nexec {FWC} \"$@\"\n",
        bin.display(),
        new.display()
    );
    for (name, text) in [("ssh", ssh), ("fwc", fwc)] {
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let remote = || {
        let mut run = Command::new(FWC);
        run.args(["apply", "--remote", "gw", "--host", "fw", "--sysctl", "--i-have-console"]).arg(&old);
        run.env("PATH", &path).output().unwrap()
    };
    let left = || {
        fs::read_dir(&lib).unwrap().flatten().any(|e| e.file_name().to_string_lossy().contains("incoming"))
    };
    // Somebody rolled it back meanwhile, and applied another.
    fs::write(bin.join("other"), "").unwrap();
    let told = remote();
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    assert!(said(&told).contains("generation 1 is not on trial any more: 2 is"), "{}", said(&told));
    assert!(!said(&told).contains("is confirmed") && !left(), "{}", said(&told));
    assert!(world.mark().unwrap().starts_with("fwc_generation_2_"));
    // Nobody did.
    fs::remove_file(bin.join("other")).unwrap();
    let there =
        |words: &str| Command::new(bin.join("ssh")).args(["gw", words]).env("PATH", &path).output().unwrap();
    assert!(there("fwc rollback").status.success());
    let told = remote();
    assert!(told.status.success(), "{}", said(&told));
    assert!(said(&told).contains("generation 3 of `fw` is confirmed") && !left(), "{}", said(&told));
    // A build that is not the one that was meant.
    let none = there(&format!("fwc apply {} --manifest sha256:00", new.display()));
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
    assert!(said(&none).contains("is not the build that was meant"), "{}", said(&none));
}
