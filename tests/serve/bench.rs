//! What a jump costs, beside the system's sshd in the same room, with the same keys and ciphers (`make bench`).
//!
//! Seconds of a processor are the server's own, of `/proc/PID/stat`; sshd's with those of the processes that it started and
//! waited for. Both serve in turn, so that what else the machine does meets both.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may fail by panicking")]
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]
#![expect(clippy::disallowed_methods, reason = "reads /proc, starts ssh")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fwc::bastion::serve::admission::Login;
use nix::sched::{CloneFlags, setns};
use russh::client::{self, Handle};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::yard::Yard;

/// Sends this much, reads to the end: at 10.0.2.11.
const SOURCE: u16 = 7_001;
const SINK: u16 = 7_002;
const MIB: usize = 512;
const RUNS: usize = 3;
/// Connections at a time of those that only log in.
const AT_ONCE: usize = 16;

/// A jump server that is measured.
struct Jump {
    name: &'static str,
    host: &'static str,
    at: SocketAddr,
    process: u32,
    /// Whether what it started counts.
    forks: bool,
}

impl Jump {
    /// Seconds of a processor so far.
    fn cpu(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap();
        let fields: Vec<&str> = text.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: f64 = fields[11..15]
            .iter()
            .take(if self.forks { 4 } else { 2 })
            .map(|n| n.parse::<f64>().unwrap())
            .sum();
        ticks / 100.0
    }

    /// It and those it started.
    fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.process];
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
                Some((id, text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?))
            })
            .collect();
        let mut at = 0;
        while at < all.len() {
            let one = all[at];
            all.extend(parents.iter().filter(|(_, parent)| *parent == one).map(|(id, _)| *id));
            at += 1;
        }
        all
    }

    /// Its share of the memory, in KiB: what processes share is shared out (proc(5), `Pss`).
    fn memory(&self) -> u64 {
        let of = |id: &u32| {
            let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
            text.lines()
                .find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok())
        };
        self.processes().iter().filter_map(of).sum()
    }

    /// Waits until those it started for connections are gone.
    fn settle(&self) {
        let begun = Instant::now();
        while self.forks && self.processes().len() > 1 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A row of the table, and what makes it.
type Row = (&'static str, fn(&Yard, &[Jump; 2]));

struct Anyone;

impl client::Handler for Anyone {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// Workers that are in the room's network.
fn runtime(jump: &Jump) -> Runtime {
    let room = format!("/proc/{}/ns/net", jump.process);
    let enter = move || setns(fs::File::open(&room).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
    Builder::new_multi_thread().worker_threads(2).on_thread_start(enter).enable_all().build().unwrap()
}

/// A connection of Ana's, from where she may; in the room.
async fn comes(to: SocketAddr, key: Arc<PrivateKey>) -> Handle<Anyone> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("10.0.1.77:0".parse().unwrap()).unwrap();
    login(socket.connect(to).await.unwrap(), key).await
}

/// So many, [`AT_ONCE`] at a time.
fn come(runtime: &Runtime, to: SocketAddr, key: &Arc<PrivateKey>, count: usize) -> Vec<Handle<Anyone>> {
    let some = |_| {
        let key = Arc::clone(key);
        runtime.spawn(async move {
            let mut all = Vec::new();
            for _ in 0..count / AT_ONCE {
                all.push(comes(to, Arc::clone(&key)).await);
            }
            all
        })
    };
    let all: Vec<_> = (0..AT_ONCE).map(some).collect();
    runtime.block_on(async {
        let mut here = Vec::new();
        for one in all {
            here.extend(one.await.unwrap());
        }
        here
    })
}

async fn login(stream: TcpStream, key: Arc<PrivateKey>) -> Handle<Anyone> {
    let config = Arc::new(client::Config { nodelay: true, ..client::Config::default() });
    let mut handle = client::connect_stream(config, stream, Anyone).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(key, None);
    assert!(handle.authenticate_publickey("ana", key).await.unwrap().success());
    handle
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[test]
#[ignore = "bench"]
fn bench_the_jump_server_beside_sshd() {
    let Some(yard) = Yard::new() else { return };
    yard.open_ports("ana");
    yard.change("00-fwc.conf", |text| text.replace("PerSourceMaxStartups 5", "PerSourceMaxStartups 100"));
    serve_bytes(&yard);
    let server = yard.serve(&["--per-key", "12000", "--connections", "12000"]);
    let here = "10.0.1.5:2222".parse().unwrap();
    let fwc = Jump { name: "fwc", host: "gate-ana", at: here, process: server.outer_process(), forks: false };
    let there = "10.0.1.5:22".parse().unwrap();
    let sshd = Jump { name: "sshd", host: "door-ana", at: there, process: yard.sshd_process(), forks: true };
    let jumps = [fwc, sshd];
    // Memory first: what is allocated once is kept, and would be there already.
    let all: [Row; 5] = [
        ("memory", memory),
        ("crowd", crowd),
        ("latency", latency),
        ("logins", logins),
        ("throughput", throughput),
    ];
    for (name, run) in all {
        if std::env::var("FWC_BENCH").map_or(true, |part| name.contains(&part)) {
            run(&yard, &jumps);
        }
    }
}

/// A source and a sink, in threads of this process.
fn serve_bytes(yard: &Yard) {
    for port in [SOURCE, SINK] {
        let listener = yard.room.within(move || TcpListener::bind(("10.0.2.11", port)).unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut buffer = vec![0; 1 << 18];
                    let mut sent = 0;
                    if port == SOURCE {
                        while sent < MIB << 20 && stream.write_all(&buffer).is_ok() {
                            sent += buffer.len();
                        }
                    } else {
                        while matches!(stream.read(&mut buffer), Ok(n) if n > 0) {}
                    }
                });
            }
        });
    }
}

fn throughput(yard: &Yard, jumps: &[Jump; 2]) {
    let config = yard.room.scratch().join("config").display().to_string();
    println!("\n{MIB} MiB through `ssh -W`, medians of {RUNS}: MiB/s, the server's seconds for a GiB");
    for (cipher, mac) in [
        ("aes256-gcm@openssh.com", ""),
        ("chacha20-poly1305@openssh.com", ""),
        ("aes256-ctr", "-o MACs=hmac-sha2-256-etm@openssh.com"),
    ] {
        for up in [false, true] {
            let (mut rates, mut costs) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
            for _ in 0..RUNS {
                for (at, jump) in jumps.iter().enumerate() {
                    jump.settle();
                    let ssh = |port| {
                        format!(
                            "ssh -F {config} -o 'RekeyLimit=default none' -c {cipher} {mac} -W 10.0.2.11:{port} {}",
                            jump.host
                        )
                    };
                    let line = if up {
                        format!("head -c {} /dev/zero | {}", MIB << 20, ssh(SINK))
                    } else {
                        format!("{} </dev/null | cat >/dev/null", ssh(SOURCE))
                    };
                    let (before, begun) = (jump.cpu(), Instant::now());
                    let mut command = Command::new("timeout");
                    let output = yard.room.run({
                        command.args(["300", "sh", "-c", &line]);
                        command
                    });
                    let wall = begun.elapsed().as_secs_f64();
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                    jump.settle();
                    rates[at].push(MIB as f64 / wall);
                    costs[at].push((jump.cpu() - before) * 1024.0 / MIB as f64);
                }
            }
            let [r0, r1] = rates.map(median);
            let [c0, c1] = costs.map(median);
            println!(
                "{cipher:<30} {}: fwc {r0:>5.0} ({c0:.2}), sshd {r1:>5.0} ({c1:.2}); ratios {:.2} ({:.2})",
                if up { "up  " } else { "down" },
                r0 / r1,
                c0 / c1
            );
        }
    }
}

fn logins(yard: &Yard, jumps: &[Jump; 2]) {
    let key = Arc::new(russh::keys::load_secret_key(&yard.ana, None).unwrap());
    for (jump, count) in jumps.iter().zip([8_000, 480]) {
        let runtime = runtime(jump);
        let (before, begun) = (jump.cpu(), Instant::now());
        // Some at a time: those that are in stay until the others are.
        for _ in 0..10 {
            drop(come(&runtime, jump.at, &key, count / 10));
        }
        let wall = begun.elapsed().as_secs_f64();
        jump.settle();
        let cpu = jump.cpu() - before;
        println!(
            "{:<5} {count} key exchanges and logins, {AT_ONCE} at a time: {:.0} a second, {:.2} ms CPU each",
            jump.name,
            count as f64 / wall,
            cpu * 1_000.0 / count as f64
        );
    }
}

fn memory(yard: &Yard, jumps: &[Jump; 2]) {
    let key = Arc::new(russh::keys::load_secret_key(&yard.ana, None).unwrap());
    for jump in jumps {
        let runtime = runtime(jump);
        let (before, begun) = (jump.memory(), Instant::now());
        let here = come(&runtime, jump.at, &key, 1_008);
        let (wall, count) = (begun.elapsed(), here.len() as u64);
        let idle = jump.memory() - before;
        let channels: Vec<_> = runtime.block_on(async {
            let mut all = Vec::new();
            for one in &here {
                let sink = one.channel_open_direct_tcpip("10.0.2.11", u32::from(SINK), "10.0.1.77", 1);
                all.push(sink.await.unwrap());
            }
            all
        });
        let open = jump.memory() - before;
        println!(
            "{:<5} {count} idle connections after {:.1} s: {} processes, {} KiB each; with a channel {} KiB",
            jump.name,
            wall.as_secs_f64(),
            jump.processes().len(),
            idle / count,
            open / count
        );
        drop((channels, here));
        jump.settle();
    }
}

/// Ten thousand at a time; of sshd that would be twice as many processes.
fn crowd(yard: &Yard, [jump, _]: &[Jump; 2]) {
    let key = Arc::new(russh::keys::load_secret_key(&yard.ana, None).unwrap());
    let runtime = runtime(jump);
    let here = come(&runtime, jump.at, &key, 10_000);
    println!("{:<5} {} idle connections: {} MiB", jump.name, here.len(), jump.memory() >> 10);
}

fn latency(yard: &Yard, jumps: &[Jump; 2]) {
    let mut all = [const { Vec::new() }; 2];
    for _ in 0..15 {
        for (at, jump) in jumps.iter().enumerate() {
            let begun = Instant::now();
            let (well, said) = yard.ssh(&["-J", jump.host, "s1-ana", "true"]);
            assert!(well, "{said}");
            all[at].push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    let [fwc, sshd] = all.map(median);
    println!("`ssh -J HOST s1 true`, medians of 15: fwc {fwc:.0} ms, sshd {sshd:.0} ms; {:.2}", fwc / sshd);
}

/// Files of 10,000 destinations, read again and asked.
#[test]
#[ignore = "bench"]
fn bench_files_of_ten_thousand_destinations() {
    const PEOPLE: usize = 100;
    const EACH: usize = 100;
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H";
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..PEOPLE).map(|n| format!("u{n}")).collect();
    let config = include_str!("config.conf").replace("ALLOWED", &names.join(" "));
    let (mut text, last) = config.split_once("Match all").map(|(a, b)| (a.to_owned(), b)).unwrap();
    fs::create_dir(folder.path().join("authorized_keys")).unwrap();
    for (n, name) in names.iter().enumerate() {
        let to: Vec<String> =
            (0..EACH).map(|at| format!("10.{}.{}.{}:22", 1 + n / 100, n % 100, at)).collect();
        text +=
            &format!("Match User {name}\n    AllowTcpForwarding local\n    PermitOpen {}\n\n", to.join(" "));
        let options: String = to.iter().map(|to| format!("permitopen=\"{to}\",")).collect();
        let line = format!(
            "restrict,port-forwarding,command=\"/usr/sbin/nologin\",{options}from=\"10.0.1.0/24\" {KEY} {name}\n"
        );
        fs::write(folder.path().join("authorized_keys").join(name), line).unwrap();
    }
    fs::write(folder.path().join("00-fwc.conf"), format!("{text}Match all{last}")).unwrap();
    let mut times = Vec::new();
    for _ in 0..7 {
        let begun = Instant::now();
        fwc::bastion::serve::files::load(folder.path()).unwrap();
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    let (admission, _) = fwc::bastion::serve::files::load(folder.path()).unwrap();
    let (source, asked) = ("10.0.1.77".parse().unwrap(), 1_000_000);
    let login =
        |name: &String| Login { user: name.clone(), key: KEY.to_owned(), kind: "ssh-ed25519", bits: None };
    let logins: Vec<Login> = names.iter().map(login).collect();
    let begun = Instant::now();
    let mut opened = 0;
    for at in 0..asked {
        let to =
            std::net::Ipv4Addr::new(10, 1, u8::try_from(at % 100).unwrap(), u8::try_from(at % 128).unwrap());
        opened += u32::from(admission.open(&logins[at % 100], (source, 0), (to.into(), 22)));
    }
    let each = begun.elapsed().as_secs_f64() * 1e9 / asked as f64;
    assert!(opened > 700_000, "{opened}");
    println!("{} destinations: read in {:.0} ms, a question {each:.0} ns", PEOPLE * EACH, median(times));
}
