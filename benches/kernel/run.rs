//! One router in a network namespace, and what packets cost it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io::Write as _};

use crate::SEED;
use crate::dice::Dice;
use crate::draw::{self, Family, Flow};

/// Packets of one turn, and turns of which the least counts.
const PACKETS: usize = 60_000;
const TIMES: usize = 4;
/// New connections of one turn: all of them together stay below `nf_conntrack_max`.
const INSERTED: usize = 12_000;
/// Flows at random: more than the caches near a core hold.
const RANDOM: usize = 4_096;

/// Nanoseconds of CPU for a packet on its whole way; of loading, microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Costs {
    /// A flow that stays `new`, its connection known: the last one of the policy.
    pub(crate) last: f64,
    /// A new connection with every packet.
    pub(crate) insert: f64,
    /// A connection with an answer.
    pub(crate) established: f64,
    /// A packet that nothing matches.
    pub(crate) dropped: f64,
    /// Of many flows at random, their connections known.
    pub(crate) random: f64,
    /// Loading the rules.
    pub(crate) load: f64,
}

/// The program that writes packets.
pub(crate) struct Injector(PathBuf);

/// The step of a plan that loads a file with nft.
pub(crate) fn nft(file: &Path) -> Vec<String> {
    vec![format!("load rules nft -f {}", file.display())]
}

impl Injector {
    pub(crate) fn build(dir: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kernel/inject.rs");
        let program = dir.join("inject");
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let built =
            Command::new(rustc).args(["-O", "--edition", "2024", "-o"]).arg(&program).arg(source).status();
        assert!(built.unwrap().success(), "inject.rs does not compile");
        Self(program)
    }

    /// Loading alone, in microseconds.
    pub(crate) fn load(&self, zones: u64, load: &[String]) -> Result<f64, String> {
        let said = self.run(&(router(zones, Family::V4) + &load.join("\n") + "\n"))?;
        said.iter()
            .filter(|(what, _, _)| what == "load")
            .map(|(_, at, _)| *at)
            .reduce(|a, b| a + b)
            .ok_or_else(|| "nothing was loaded".to_owned())
    }

    pub(crate) fn measure(
        &self,
        (zones, family): (u64, Family),
        load: &[String],
        flows: &[Flow],
    ) -> Result<Costs, String> {
        let mut plan = router(zones, family) + &load.join("\n") + "\n";
        let mut dice = Dice::new(SEED);
        let last = flows.last().ok_or("no flow")?;
        let one = draw::packet(last, family, &mut dice);
        plan += &format!("{one}hot last {PACKETS} {TIMES}\n{one}insert insert {INSERTED} {TIMES}\n");
        plan += &format!("{one}answered established {PACKETS} {TIMES} eth{}\n", last.0[1].0);
        let (before, _) = one.trim_end().rsplit_once(' ').ok_or("no packet")?;
        plan += &format!("{before} 61234\nhot dropped {PACKETS} {TIMES}\n");
        for _ in 0..RANDOM {
            plan += &draw::packet(&flows[dice.below(flows.len() as u64) as usize], family, &mut dice);
        }
        plan += &format!("cycle random {PACKETS} {TIMES}\n");
        let mut costs = Costs::default();
        for (what, cost, passed) in self.run(&plan)? {
            let (slot, whole) = match what.as_str() {
                "last" => (&mut costs.last, true),
                "insert" => (&mut costs.insert, true),
                "established" => (&mut costs.established, true),
                "random" => (&mut costs.random, true),
                "dropped" => (&mut costs.dropped, false),
                _ => {
                    costs.load += cost;
                    continue;
                }
            };
            *slot = cost;
            // A figure of packets that went elsewhere than they should is none.
            if whole && passed < 1.0 || !whole && !load.is_empty() && passed > 0.0 {
                return Err(format!("{what}: {passed} of the packets came out"));
            }
        }
        Ok(costs)
    }

    /// What each step cost, and the share of packets that came out.
    fn run(&self, plan: &str) -> Result<Vec<(String, f64, f64)>, String> {
        let mut child = Command::new("unshare")
            .arg("--net")
            .arg(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("unshare: {e}"))?;
        let mut stdin = child.stdin.take().ok_or("no input")?;
        // Where it gave up in the middle of the plan, it has said why.
        let given = stdin.write_all(plan.as_bytes());
        drop(stdin);
        let done = child.wait_with_output().map_err(|e| e.to_string())?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).trim().chars().take(200).collect());
        }
        given.map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let number = |word: &str| word.parse::<f64>().map_err(|e| format!("{word}: {e}"));
        let line = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["load", _, cost] => Ok(("load".to_owned(), number(cost)?, 0.0)),
            [what, cost, passed, of] => Ok((what.to_owned(), number(cost)?, number(passed)? / number(of)?)),
            _ => Err(format!("not understood: {line}")),
        };
        said.lines().map(line).collect()
    }
}

/// A router with an interface for each zone; strict about nothing that costs time, alike for every side.
fn router(zones: u64, family: Family) -> String {
    let mut plan = String::new();
    // Without addresses of the other family nothing of it is sent by itself.
    let (option, off) = match family {
        Family::V4 => ("", "net.ipv6.conf.all.disable_ipv6=1"),
        Family::V6 => ("-6 ", "net.ipv6.conf.default.accept_dad=0"),
    };
    plan += &format!("run sysctl -qw {off}\n");
    for zone in 0..zones {
        let (own, net) = (family.gateway(zone), family.zone(zone));
        let length = match family {
            Family::V4 => "16",
            Family::V6 => "128",
        };
        plan += &format!(
            "tun eth{zone}\nrun ip {option}addr add {own}/{length} dev eth{zone}\nrun ip link set eth{zone} up\n"
        );
        if family == Family::V6 {
            // On link each destination would be a neighbour of its own, and the table of neighbours holds 1,024 of IPv6.
            plan += &format!("run ip -6 route add {net} via fe80::{:x} dev eth{zone} onlink\n", zone + 256);
        }
    }
    plan += match family {
        Family::V4 => "run sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=2\n",
        // The injector writes no checksums, and over IPv6 a UDP packet without one is `invalid`.
        Family::V6 => "run sysctl -qw net.ipv6.conf.all.forwarding=1 net.netfilter.nf_conntrack_checksum=0\n",
    };
    plan
}

/// A file beside others.
pub(crate) fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}
