//! A `tun` or `tap` device of a test's own, whose other end is a program of Python.

/// What comes through the device.
pub(crate) enum Kind {
    /// Packets.
    Tun,
    /// Frames.
    Tap,
}

/// The head of the program: it reads the rules from its input, makes the device (`fd`), says the lines of its first argument, parted by
/// `;`, and knows the checksum of the Internet (`folded`).
pub(crate) fn device(name: &str, kind: Kind) -> String {
    let flags = match kind {
        Kind::Tun => "0x1001",
        Kind::Tap => "0x1002",
    };
    HEAD.replace("NAME", name).replace("FLAGS", flags)
}

const HEAD: &str = r#"
import fcntl, os, select, socket, struct, subprocess, sys, time
rules = sys.stdin.read()
fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH', b'NAME', FLAGS))
for line in sys.argv[1].split(';'):
    subprocess.run(line, shell=True, check=True, stdout=subprocess.DEVNULL)

def folded(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff

"#;
