//! Who administers this machine right now, and over which connection.
//!
//! `sudo` drops `SSH_CONNECTION`, so this process's environment is not enough; `tmux` keeps that of a connection that is
//! long gone, so no environment is. What counts is the socket table: a connection is known where an ancestor of this
//! process has its socket (an `sshd`), or where an ancestor's `SSH_CONNECTION` names one that is established.
//! Not found is no answer, and never a pass.

#![expect(clippy::disallowed_methods, reason = "reads the processes and sockets of the machine")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A connection from an administrator to this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Connection {
    /// The administrator's end.
    pub client: SocketAddr,
    /// This machine's end.
    pub server: SocketAddr,
}

impl std::fmt::Display for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.client, self.server)
    }
}

/// The connection over which this process is controlled; none where that cannot be known.
#[must_use]
pub fn connection() -> Option<Connection> {
    let sockets = sockets();
    ancestors().into_iter().find_map(|process| {
        let held = held_by(&process);
        let of_socket = sockets.iter().find(|s| {
            let listens = sockets.iter().any(|l| l.state == LISTEN && l.local.port() == s.local.port());
            s.state == ESTABLISHED && listens && held.contains(&s.inode)
        });
        of_socket.map(Socket::connection).or_else(|| {
            let named = named_by(&process)?;
            let is = |s: &&Socket| s.state == ESTABLISHED && s.connection() == named;
            sockets.iter().find(is).map(Socket::connection)
        })
    })
}

/// The connections that are open to these ports of this machine, and to any port at which root takes connections: an sshd
/// does so as root, and a machine may have several, or one with several ports. Ascending, each once. What is open when
/// something is changed shows nothing of what comes of it; nor does one whose first packet has come.
#[must_use]
pub fn open(ports: &BTreeSet<u16>) -> Vec<Connection> {
    let sockets = sockets();
    let listened: BTreeSet<u16> =
        sockets.iter().filter(|s| s.state == LISTEN).map(|s| s.local.port()).collect();
    let is = |s: &&Socket| {
        let by_root = s.uid == 0 && listened.contains(&s.local.port());
        matches!(s.state, ESTABLISHED | SYN_RECV) && (ports.contains(&s.local.port()) || by_root)
    };
    let mut all: Vec<Connection> = sockets.iter().filter(is).map(Socket::connection).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a TCP connection is open at this machine: some socket of it still sends or waits for what is sent.
#[must_use]
pub fn is_open(connection: &Connection) -> bool {
    sockets().iter().any(|s| s.state != TIME_WAIT && s.connection() == *connection)
}

/// Where a process takes connections, by the inodes of its sockets. Those of this network alone are known.
#[must_use]
pub fn listens(process: &str) -> BTreeMap<u64, SocketAddr> {
    let held = held_by(process);
    let is = |s: &&Socket| s.state == LISTEN && held.contains(&s.inode);
    sockets().iter().filter(is).map(|s| (s.inode, s.local)).collect()
}

/// Who this is, in words: the user who logged in, what they became, and where from.
#[must_use]
pub fn who(connection: Option<&Connection>) -> String {
    let uid = nix::unistd::geteuid();
    let name = |uid: u32| {
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
        user.map_or_else(|| format!("uid {uid}"), |user| user.name)
    };
    // The audit system's login; 4294967295 is nobody's.
    let login =
        fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| text.trim().parse::<u32>().ok());
    let login = login.filter(|uid| *uid != u32::MAX).map(name);
    let user = login.or_else(|| std::env::var("SUDO_USER").ok()).unwrap_or_else(|| name(uid.as_raw()));
    let user: String = user.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    match connection {
        Some(connection) => format!("{user} from {}", connection.client.ip()),
        None => user,
    }
}

const ESTABLISHED: u8 = 1;
const SYN_RECV: u8 = 3;
const TIME_WAIT: u8 = 6;
const LISTEN: u8 = 10;

/// A line of `/proc/net/tcp` (proc(5)).
#[derive(Clone, Copy, Debug)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    /// Whose it is; of one that nobody has accepted yet: root's.
    uid: u32,
    inode: u64,
}

impl Socket {
    fn connection(&self) -> Connection {
        Connection { client: self.remote, server: self.local }
    }
}

fn sockets() -> Vec<Socket> {
    let lines = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let both = lines("/proc/net/tcp") + &lines("/proc/net/tcp6");
    both.lines().filter_map(socket).collect()
}

/// `sl local remote state queues timer retransmits uid timeout inode …`
fn socket(line: &str) -> Option<Socket> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(Socket {
        local: end(words.get(1)?)?,
        remote: end(words.get(2)?)?,
        state: u8::from_str_radix(words.get(3)?, 16).ok()?,
        uid: words.get(7)?.parse().ok()?,
        inode: words.get(9)?.parse().ok()?,
    })
}

/// An address as 32-bit words in the byte order of the machine, a port in hexadecimal.
fn end(text: &str) -> Option<SocketAddr> {
    let (addr, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..addr.len()).step_by(8) {
        let word = u32::from_str_radix(addr.get(at..at.checked_add(8)?)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let addr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)).to_canonical(),
    };
    Some(SocketAddr::new(addr, port))
}

/// This process, its parent, and so on.
fn ancestors() -> Vec<String> {
    let mut all = vec!["self".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(process) = all.last() {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim).unwrap_or("0");
        if parent == "0" || !seen.insert(parent.to_owned()) {
            break;
        }
        all.push(parent.to_owned());
    }
    all
}

/// The inodes of the sockets that a process has.
fn held_by(process: &str) -> BTreeSet<u64> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |link: std::path::PathBuf| {
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    };
    links.filter_map(inode).collect()
}

/// `SSH_CONNECTION=client port server port` in the environment that a process was started with.
fn named_by(process: &str) -> Option<Connection> {
    let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
    let variable = environment.split(|byte| *byte == 0).find_map(|v| v.strip_prefix(b"SSH_CONNECTION="))?;
    let words: Vec<&str> = std::str::from_utf8(variable).ok()?.split(' ').collect();
    let [client, client_port, server, server_port] = words.as_slice() else { return None };
    let end = |addr: &str, port: &str| {
        let addr: IpAddr = addr.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(addr.to_canonical(), port.parse().ok()?))
    };
    Some(Connection { client: end(client, client_port)?, server: end(server, server_port)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_socket_table_are_read() {
        let v4 = "   0: 0A01A8C0:0016 0201A8C0:D431 01 00000000:00000000 02:000AE3F1 00000000     0        0 4242 4 0";
        let one = socket(v4).unwrap();
        assert_eq!(one.local, "192.168.1.10:22".parse().unwrap());
        assert_eq!(one.remote, "192.168.1.2:54321".parse().unwrap());
        assert_eq!((one.state, one.uid, one.inode), (ESTABLISHED, 0, 4242));
        // Of an IPv4 connection on a socket of both families.
        let mapped = end("0000000000000000FFFF00000A01A8C0:0016").unwrap();
        assert_eq!(mapped, "192.168.1.10:22".parse().unwrap());
        let v6 = end("B80D0120000000000000000001000000:0016").unwrap();
        assert_eq!(v6, "[2001:db8::1]:22".parse().unwrap());
        for bad in ["", "sl local_address", "0: x:y z 01 a b c d e f", "1: 0A:16 0B:1 01 0 0 0 0 0 1"] {
            assert!(socket(bad).is_none(), "{bad}");
        }
    }
}
