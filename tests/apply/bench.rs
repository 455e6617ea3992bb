//! What plan, apply, status and drift take for a table of 100,000 elements: seconds of a processor, and memory.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::common::kernel;
use super::world::{FWC, World, said};

const ELEMENTS: u32 = 100_000;

#[test]
#[ignore = "bench"]
fn bench_plan_apply_and_drift_of_a_hundred_thousand_elements() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let (first, second) = (large(&world, "large", ELEMENTS), large(&world, "larger", ELEMENTS + 1));
    let run = |what: &str, args: &[&str], code: i32| {
        let done = Command::new("nsenter")
            .arg(format!("--net={}", world.fw.path()))
            .args(["/usr/bin/time", "-f", "%U %S %e %M", FWC])
            .args(args)
            .arg("--state")
            .arg(world.path("state"))
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(code), "{what}: {}", said(&done));
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        let last: Vec<f64> = words.lines().last().unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
        println!(
            "{what:<44} {:>6.2} s CPU  {:>6.2} s  {:>5.0} MB",
            last[0] + last[1],
            last[2],
            last[3] / 1024.0
        );
    };
    let path = |p: &Path| p.display().to_string();
    println!(
        "{ELEMENTS} elements; CPU without nft's own children that outlive nothing: user and system of all waited for"
    );
    run("plan, no table yet", &["plan", &path(&first)], 0);
    run("apply", &["apply", &path(&first), "--sysctl", "--i-have-console", "--confirm-within", "10m"], 0);
    run("confirm", &["confirm", "--i-have-console"], 0);
    run("apply, nothing to do", &["apply", &path(&first), "--sysctl", "--i-have-console"], 0);
    run("status, confirmed", &["status"], 0);
    run("drift, none", &["drift"], 0);
    run("plan, one more element", &["plan", &path(&second)], 0);
    run(
        "apply, one more element",
        &["apply", &path(&second), "--i-have-console", "--confirm-within", "10m"],
        0,
    );
    run("status, on trial", &["status"], 0);
    run("rollback", &["rollback"], 0);
    world
        .fw
        .run("nft", &["delete", "element", "inet", "fwc", "large", "{ 10.9.1.2 . 10.0.0.7 . tcp . 80 }"], "")
        .unwrap();
    run("status, one element gone", &["status"], 1);
    run("drift, one element gone", &["drift"], 1);
}

/// The build of `old` with a map of so many elements in its forward chain, and a manifest that has its digest.
fn large(world: &World, name: &str, elements: u32) -> PathBuf {
    let (from, to) = (world.path("old"), world.path(name));
    let copied = Command::new("cp").arg("-r").arg(&from).arg(&to).status().unwrap();
    assert!(copied.success());
    let file = to.join("hosts/fw/ruleset.nft");
    let text = fs::read_to_string(&file).unwrap();
    let mut map = String::from(
        "\tmap large {\n\t\ttype ipv4_addr . ipv4_addr . inet_proto . inet_service : verdict\n\t\telements = {\n",
    );
    for n in 0..elements {
        let _ = writeln!(
            map,
            "\t\t\t10.9.1.2 . 10.{}.{}.{} . tcp . 80 : accept,",
            n >> 16,
            (n >> 8) & 255,
            n & 255
        );
    }
    map.push_str("\t\t}\n\t}\n\n");
    let rule = "\tchain forward_eth1_eth2 {\n";
    let ask = "\t\tip saddr . ip daddr . meta l4proto . th dport vmap @large\n";
    let text = text
        .replace("\tchain input {\n", &(map + "\tchain input {\n"))
        .replace(rule, &format!("{rule}{ask}"));
    let digest = |text: &str| -> String {
        let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    };
    let manifest = fs::read_to_string(to.join("manifest.json")).unwrap();
    let was = digest(&fs::read_to_string(&file).unwrap());
    assert!(manifest.contains(&was));
    fs::write(to.join("manifest.json"), manifest.replace(&was, &digest(&text))).unwrap();
    fs::write(&file, text).unwrap();
    to
}
