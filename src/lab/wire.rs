//! Sending crafted packets: raw IP sockets (raw(7)), which live in the namespace they were opened in.
//!
//! `IPPROTO_RAW` means that the whole IP header is ours, source address included. IPv4 fills in what is zero
//! (identification, source) and recomputes the header's sum; IPv6 changes nothing.
//!
//! Whose a packet is (`meta skuid`) is who opened the socket, by the file it is (`nft_meta_get_eval_skugid` looks at
//! `f_cred->fsuid`): so a thread that has that number for files alone opens one, and needs no account of the machine.

use std::net::{IpAddr, SocketAddr};

use nix::unistd::{Uid, setfsuid};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::LabError;
use super::netns::Netns;

/// Raw sockets of both families in one namespace.
#[derive(Debug)]
pub struct Sender {
    v4: Socket,
    v6: Socket,
}

impl Sender {
    /// Sockets in a namespace, bound to a device (or, without one, following its routes); `priority` is what nft
    /// calls `meta priority`.
    ///
    /// # Errors
    /// When the system refuses one.
    pub fn open(netns: &Netns, device: Option<&str>, priority: u32) -> Result<Self, LabError> {
        let open = |domain| -> std::io::Result<Socket> {
            // 255 is IPPROTO_RAW.
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(255)))?;
            if let Some(device) = device {
                socket.bind_device(Some(device.as_bytes()))?;
            }
            socket.set_broadcast(true)?;
            socket.set_priority(priority)?;
            // Nothing is meant to be read; what arrives is not kept.
            socket.set_recv_buffer_size(1)?;
            Ok(socket)
        };
        let what = || format!("cannot open a raw socket on {}", device.unwrap_or("any device"));
        netns.within(|| {
            let v4 = open(Domain::IPV4).map_err(LabError::system(what()))?;
            v4.set_multicast_loop_v4(false).map_err(LabError::system(what()))?;
            let v6 = open(Domain::IPV6).map_err(LabError::system(what()))?;
            v6.set_multicast_loop_v6(false).map_err(LabError::system(what()))?;
            Ok(Self { v4, v6 })
        })
    }

    /// The same of a user.
    ///
    /// # Errors
    /// When the system refuses one, or to be that user: a user namespace may not have the number.
    pub fn open_as(netns: &Netns, device: Option<&str>, user: u32) -> Result<Self, LabError> {
        let opened = std::thread::scope(|scope| {
            let done = scope.spawn(|| become_user(user).then(|| Self::open(netns, device, 0)));
            done.join().ok().flatten()
        });
        let refused = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        opened.ok_or_else(|| LabError::system(format!("cannot send as user {user}"))(refused()))?
    }

    /// Sends one whole packet towards `dst`. A filter of the same machine that drops it is no error: then it
    /// was sent, and came to the hook.
    ///
    /// # Errors
    /// What the system says: it may be the packet's fault, so it is no [`LabError`].
    pub fn send(&self, dst: IpAddr, packet: &[u8]) -> std::io::Result<()> {
        let socket = if dst.is_ipv4() { &self.v4 } else { &self.v6 };
        let to = SockAddr::from(SocketAddr::new(dst, 0));
        // The kernel has no room for a moment when a device's queue is full.
        for _ in 0..100 {
            match socket.send_to(packet, &to) {
                Err(e) if e.raw_os_error() == Some(nix::errno::Errno::ENOBUFS as i32) => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                // NF_DROP in output comes back as EPERM (`nf_hook_slow`).
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return Ok(()),
                other => return other.map(|_| ()),
            }
        }
        Err(std::io::Error::from_raw_os_error(nix::errno::Errno::ENOBUFS as i32))
    }
}

/// Whether packets can be sent as a user here: in a user namespace of somebody without rights there is root alone.
#[must_use]
pub fn may_be(user: u32) -> bool {
    std::thread::scope(|scope| scope.spawn(|| become_user(user)).join().unwrap_or(false))
}

/// Takes a user's number for files, for this thread, which then ends. The call tells what it was and no error (setfsuid(2)).
fn become_user(user: u32) -> bool {
    let user = Uid::from_raw(user);
    setfsuid(user);
    setfsuid(user) == user
}
