//! Writes packets into a machine by tun devices and says what each cost: `rustc -O inject.rs`, run in a network namespace
//! of its own, a plan on standard input, an answer a line on standard output.
//!
//! A packet written to a tun device is received, routed, judged and sent on within the call of write(2) (no NAPI, no
//! other queue), so the CPU time of this thread is the cost of its whole way, whatever else the machine does. What came
//! out is counted by reading it from the other devices, outside of the time that is taken.
//!
//! The plan, a line each:
//!
//! ```text
//! tun NAME                             a device; it stays as long as this process
//! run PROGRAM ARGUMENT...              a program to its end; it must end well
//! load LABEL PROGRAM ARGUMENT...       the same, and `load LABEL MICROSECONDS` of its own and the kernel's CPU time
//! flow NAME SOURCE DESTINATION PROTOCOL PORT   a packet that arrives by a device, to a port; protocol 6 or 17
//! hot LABEL PACKETS TIMES              the last flow again and again: `LABEL NANOSECONDS PASSED SENT`
//! cycle LABEL PACKETS TIMES            all flows in turn, after a turn that does not count
//! insert LABEL PACKETS TIMES           the last flow, from another source port with every packet
//! answered LABEL PACKETS TIMES NAME    the last flow, after an answer came by a device
//! forget                               forgets the flows
//! ```
//!
//! Of several times the least is said.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, exit};

const TUNSETIFF: u64 = 0x4004_54ca;
const IFF_TUN_NO_PI: u16 = 0x1001;
const O_NONBLOCK: i32 = 0o4000;
const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
const RUSAGE_CHILDREN: i32 = -1;
/// Packets between two looks at the clock; below the 500 that a tun device holds (`txqueuelen`).
const BATCH: usize = 256;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn ioctl(fd: i32, request: u64, argument: *mut u8) -> i32;
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    fn getrusage(who: i32, usage: *mut i64) -> i32;
}

fn main() {
    let mut bench = Bench { devices: Vec::new(), flows: Vec::new(), port: 1024 };
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap_or_else(|e| fail(&format!("cannot read the plan: {e}")));
        let words: Vec<&str> = line.split_whitespace().collect();
        bench.step(&words).unwrap_or_else(|why| fail(&format!("{line}: {why}")));
    }
}

struct Bench {
    devices: Vec<(String, File)>,
    /// By which device, and the packet.
    flows: Vec<(usize, Vec<u8>)>,
    port: u16,
}

impl Bench {
    fn step(&mut self, words: &[&str]) -> Result<(), String> {
        let number = |word: &str| word.parse::<usize>().map_err(|e| e.to_string());
        match words {
            [] => {}
            ["tun", name] => self.devices.push(((*name).to_owned(), tun(name)?)),
            ["run", program, arguments @ ..] => run(program, arguments)?,
            ["load", label, program, arguments @ ..] => {
                let before = children();
                run(program, arguments)?;
                println!("load {label} {}", children() - before);
            }
            ["flow", name, src, dst, proto, port] => {
                let at = self.device(name)?;
                let ends = (src.parse(), dst.parse());
                let (Ok(src), Ok(dst)) = ends else { return Err("no address".to_owned()) };
                let ports = (number(proto)? as u8, number(port)? as u16);
                self.flows.push((at, packet(src, dst, ports.0, 20_000, ports.1)));
            }
            ["forget"] => self.flows.clear(),
            ["hot", label, packets, times] => {
                let last = self.flows.pop().ok_or("no flow")?;
                self.least(label, &[last], (number(packets)?, number(times)?), Turn::Warm)?;
            }
            ["cycle", label, packets, times] => {
                let flows = std::mem::take(&mut self.flows);
                self.least(label, &flows, (number(packets)?, number(times)?), Turn::Warm)?;
            }
            ["insert", label, packets, times] => {
                let last = self.flows.pop().ok_or("no flow")?;
                self.least(label, &[last], (number(packets)?, number(times)?), Turn::Insert)?;
            }
            ["answered", label, packets, times, by] => {
                let last = self.flows.pop().ok_or("no flow")?;
                let by = self.device(by)?;
                self.write(&last)?;
                self.drain();
                self.write(&(by, answer(&last.1)))?;
                self.drain();
                self.least(label, &[last], (number(packets)?, number(times)?), Turn::Warm)?;
            }
            _ => return Err("not understood".to_owned()),
        }
        Ok(())
    }

    fn device(&self, name: &str) -> Result<usize, String> {
        self.devices.iter().position(|(n, _)| n == name).ok_or_else(|| format!("no device {name}"))
    }

    fn write(&mut self, (at, bytes): &(usize, Vec<u8>)) -> Result<(), String> {
        self.devices[*at].1.write_all(bytes).map_err(|e| format!("cannot write: {e}"))
    }

    /// How many packets came out since the last time.
    fn drain(&mut self) -> usize {
        let (mut bytes, mut came) = ([0u8; 2048], 0);
        for (_, device) in &mut self.devices {
            while device.read(&mut bytes).is_ok() {
                // The router's own (IPv6 router solicitations, for one) are no packets of ours.
                came += usize::from(bytes[60..64] == *b"fwcb");
            }
        }
        came
    }

    fn least(
        &mut self,
        label: &str,
        flows: &[(usize, Vec<u8>)],
        (packets, times): (usize, usize),
        turn: Turn,
    ) -> Result<(), String> {
        let mut flows = flows.to_vec();
        if turn == Turn::Warm {
            for chunk in flows.chunks(BATCH) {
                for flow in chunk {
                    self.write(flow)?;
                }
                self.drain();
            }
        }
        let (mut least, mut passed) = (f64::MAX, 0);
        for _ in 0..times {
            let (mut spent, mut came, mut sent, mut at) = (0, 0, 0, 0);
            while sent < packets {
                let before = thread_time();
                for _ in 0..BATCH {
                    if turn == Turn::Insert {
                        self.port = self.port.checked_add(1).unwrap_or(1024);
                        let bytes = &mut flows[0].1;
                        let from = if bytes[0] >> 4 == 4 { 20 } else { 40 };
                        bytes[from..from + 2].copy_from_slice(&self.port.to_be_bytes());
                    }
                    let (device, bytes) = &flows[at];
                    (&self.devices[*device].1).write_all(bytes).map_err(|e| format!("cannot write: {e}"))?;
                    at = if at + 1 == flows.len() { 0 } else { at + 1 };
                }
                spent += thread_time() - before;
                sent += BATCH;
                came += self.drain();
            }
            let each = spent as f64 / sent as f64;
            if each < least {
                (least, passed) = (each, came * 1000 / sent);
            }
        }
        println!("{label} {least:.0} {passed} 1000");
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Turn {
    Warm,
    Insert,
}

fn tun(name: &str) -> Result<File, String> {
    let mut options = File::options();
    let options = options.read(true).write(true).custom_flags(O_NONBLOCK);
    let file = options.open("/dev/net/tun").map_err(|e| format!("/dev/net/tun: {e}"))?;
    let mut request = [0u8; 40];
    let bytes = name.as_bytes();
    request.get_mut(..bytes.len()).filter(|_| bytes.len() < 16).ok_or("name too long")?.copy_from_slice(bytes);
    request[16..18].copy_from_slice(&IFF_TUN_NO_PI.to_ne_bytes());
    // SAFETY: `request` is a `struct ifreq`, 40 bytes on every Linux of 64 bits.
    match unsafe { ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) } {
        0 => Ok(file),
        _ => Err(format!("cannot make {name}: {}", std::io::Error::last_os_error())),
    }
}

/// 64 bytes of IP; for IPv6 they are 68. The last four say that it is ours.
fn packet(src: IpAddr, dst: IpAddr, proto: u8, sport: u16, dport: u16) -> Vec<u8> {
    let mut out = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut header = vec![0x45, 0, 0, 64, 0, 0, 0, 0, 64, proto, 0, 0];
            header.extend(src.octets());
            header.extend(dst.octets());
            let sum = folded(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 28, proto, 64];
            header.extend(src.octets());
            header.extend(dst.octets());
            header
        }
        _ => fail("addresses of two families"),
    };
    out.extend(sport.to_be_bytes());
    out.extend(dport.to_be_bytes());
    let length = if out.len() == 24 { 44u16 } else { 28 };
    if proto == 17 {
        // UDP: a checksum of nought is none over IPv4; over IPv6 connection tracking is told not to look.
        out.extend(length.to_be_bytes());
        out.extend([0, 0]);
    } else {
        // TCP: a SYN.
        out.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0]);
    }
    let whole = if length == 44 { 64 } else { 68 };
    out.resize(60, 0);
    out.extend(b"fwcb");
    out.resize(whole, 0);
    out
}

/// The same packet the other way.
fn answer(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let (ends, width, ports) = if bytes[0] >> 4 == 4 { (12, 4, 20) } else { (8, 16, 40) };
    for at in 0..width {
        out.swap(ends + at, ends + width + at);
    }
    for at in 0..2 {
        out.swap(ports + at, ports + 2 + at);
    }
    out
}

/// The checksum of an IPv4 header (RFC 1071).
fn folded(header: &[u8]) -> u16 {
    let mut sum: u32 = header.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Nanoseconds of CPU of this thread.
fn thread_time() -> i64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the kernel fills the structure that is given.
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.seconds * 1_000_000_000 + time.nanoseconds
}

/// Microseconds of CPU of the programs that ended.
fn children() -> i64 {
    // `struct rusage`: user seconds and microseconds, system seconds and microseconds, fourteen more.
    let mut usage = [0i64; 18];
    // SAFETY: 18 words of 64 bits, as long as the structure.
    unsafe { getrusage(RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    usage[0] * 1_000_000 + usage[1] + usage[2] * 1_000_000 + usage[3]
}

fn fail(why: &str) -> ! {
    eprintln!("inject: {why}");
    exit(1)
}
