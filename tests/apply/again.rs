//! Whatever fwc writes can be applied, and applied again: the way back from it is what nft listed of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use fwc::lab::netns::Netns;

use super::common::{file, kernel, kernel_required, root};
use super::world::{FWC, World, said};

/// The nft of a release of Debian; none, which is said, where it was not fetched.
fn nft_of(release: &str) -> Option<PathBuf> {
    let folder = root().join("target/nft").join(release);
    if folder.join("nft").is_file() {
        return Some(folder);
    }
    assert!(!kernel_required(), "no nft of {release}: run `make tools`");
    println!("SKIPPED: no nft of {release}: run tests/tools/fetch-nft.sh {release}");
    None
}

/// A machine with the interfaces that its parameters are of, a state directory and an nft of its own: as from its console.
struct Machine {
    netns: Netns,
    state: tempfile::TempDir,
    path: String,
}

impl Machine {
    fn new(nft: &Path, build: &str, host: &str) -> Self {
        let parameters =
            fs::read_to_string(Path::new(build).join("hosts").join(host).join("sysctl.conf")).unwrap();
        let names = parameters.lines().filter_map(|line| line.split_once(".conf.")?.1.split_once('.'));
        let names: BTreeSet<&str> = names.map(|(name, _)| name).collect();
        let links = names.into_iter().filter(|name| !["all", "default", "lo"].contains(name));
        let netns = Netns::new().unwrap();
        netns.ip(&links.map(|name| format!("link add {name} type bridge")).collect::<Vec<_>>()).unwrap();
        let state = tempfile::Builder::new().prefix("fwc-again-").tempdir().unwrap();
        let path = format!("{}:{}", nft.display(), std::env::var("PATH").unwrap());
        Self { netns, state, path }
    }

    fn done(&self, args: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.netns.path())).arg(FWC).args(args);
        command.arg("--state").arg(self.state.path()).env("PATH", &self.path);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// The steps, each of which must succeed and say what belongs to it.
    fn all(&self, steps: &[(&[&str], &str)]) -> Result<(), String> {
        for (args, says) in steps {
            let done = self.done(args);
            if !done.status.success() || !said(&done).contains(says) {
                return Err(format!("{args:?}: {}", said(&done)));
            }
        }
        Ok(())
    }
}

/// Applied and confirmed, the machine is asked for the same once more, and put on another build and back.
fn again(nft: &Path, build: &str, host: &str, other: &str) -> Result<(), String> {
    let apply = ["apply", build, "--host", host, "--sysctl", "--i-have-console"];
    Machine::new(nft, build, host).all(&[
        (&apply, "on trial"),
        (&["confirm", "--i-have-console"], "is confirmed"),
        (&["drift"], ""),
        (&["plan", build, "--host", host], "nothing to do"),
        (&["apply", other, "--host", "fw", "--i-have-console"], "on trial"),
        (&["rollback"], "is rolled back"),
        (&["status"], ", loaded"),
    ])
}

#[test]
fn every_machine_of_every_shipped_policy_can_be_applied_again() {
    if !kernel() {
        return;
    }
    let dir = tempfile::Builder::new().prefix("fwc-again-").tempdir().unwrap();
    let compile = |name: &str, policy: &Path| {
        let out = dir.path().join(name);
        let done = Command::new(FWC).arg("compile").arg(policy).arg("-o").arg(&out).output().unwrap();
        assert!(done.status.success(), "{name}: {}", said(&done));
        out
    };
    let other = compile("other", &root().join("tests/apply/policies/old.fw")).display().to_string();
    let mut machines = Vec::new();
    for policy in fs::read_dir(root().join("policies")).unwrap() {
        let policy = policy.unwrap();
        let build = compile(&policy.file_name().to_string_lossy(), &policy.path());
        // Some have groups of a cloud, or an sshd, and no rules of their own.
        for host in fs::read_dir(build.join("hosts")).into_iter().flatten() {
            let host = host.unwrap();
            if host.path().join("ruleset.nft").is_file() {
                machines.push((build.display().to_string(), host.file_name().into_string().unwrap()));
            }
        }
    }
    assert!(machines.len() > 30, "only {} machines", machines.len());
    for release in ["bookworm", "trixie"] {
        let Some(nft) = nft_of(release) else { continue };
        let (left, wrong) = (Mutex::new(machines.clone()), Mutex::new(Vec::new()));
        let work = || {
            loop {
                let Some((build, host)) = left.lock().unwrap().pop() else { return };
                if let Err(why) = again(&nft, &build, &host, &other) {
                    wrong.lock().unwrap().push(format!("{release}, {build} {host}: {why}"));
                }
            }
        };
        std::thread::scope(|scope| [scope.spawn(work), scope.spawn(work)].map(|done| done.join().unwrap()));
        let wrong = wrong.into_inner().unwrap();
        assert!(wrong.is_empty(), "{} machines: {}", wrong.len(), wrong.join("\n"));
    }
}

/// What one nft listed at the confirmation, and another lists now, is the same table.
#[test]
fn another_nft_since_the_confirmation_is_no_drift() {
    if !kernel() {
        return;
    }
    let (Some(old), Some(new)) = (nft_of("bookworm"), nft_of("trixie")) else { return };
    let dir = tempfile::Builder::new().prefix("fwc-again-").tempdir().unwrap();
    let policy = dir.path().join("policy.fw");
    let text = file("tests/suite/pass/translation.fw".as_ref()).1;
    let case = text.split("--- ").find(|case| case.contains("http, tcp 8080 from world to fw")).unwrap();
    fs::write(&policy, case.split_once('\n').unwrap().1).unwrap();
    let build = dir.path().join("build").display().to_string();
    let done = Command::new(FWC).arg("compile").arg(&policy).args(["-o", &build]).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let mut machine = Machine::new(&old, &build, "fw");
    let apply: &[&str] = &["apply", &build, "--host", "fw", "--i-have-console"];
    machine.all(&[(apply, "on trial"), (&["confirm", "--i-have-console"], "is confirmed")]).unwrap();
    let record = machine.state.path().join("generations/1/record.json");
    let said = fs::read_to_string(&record).unwrap();
    let (before, after) = (old.join("nft").display().to_string(), new.join("nft").display().to_string());
    assert!(said.contains(&before), "{said}");
    fs::write(&record, said.replace(&before, &after)).unwrap();
    machine.path = format!("{}:{}", new.display(), std::env::var("PATH").unwrap());
    machine.all(&[(&["drift"], ""), (apply, "")]).unwrap();
}

/// Two `reject from`, one behind an address: the second time too.
#[test]
fn a_machine_that_rejects_is_applied_again() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    world.build("rejecting", &text.replace("log from lan", "log from lan\n    reject from lan"));
    world.confirmed("rejecting");
    let before = (world.mark(), world.listing());
    world.ok(&["apply", &world.path("new").display().to_string(), "--i-have-console"]);
    world.ok(&["rollback"]);
    assert_eq!((world.mark(), world.listing()), before);
    let same = world.path("rejecting").display().to_string();
    assert!(world.ok(&["plan", &same]).contains("nothing to do"));
}
