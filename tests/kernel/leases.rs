//! A machine that gives leases (S81): who has no address yet asks it over a wire of their own, a `tap` device.

use fwc::lab::netns::Netns;

use crate::common::{artifact, compiled};
use crate::device::{Kind, device};
use crate::kernel;

/// Of what a client sends over the wire, whether an ordinary socket hears it, and whether what that answers, to everybody and to the address
/// that the client is given, comes back; before the ruleset is loaded, and after.
const WIRE: &str = r#"
OWN = bytes.fromhex('020000000001')
CLIENT = bytes.fromhex('020000000009')

def frame(src, dst, sport, dport):
    six = ':' in src
    family = socket.AF_INET6 if six else socket.AF_INET
    ends = socket.inet_pton(family, src) + socket.inet_pton(family, dst)
    udp = struct.pack('!HHHH', sport, dport, 12, 0) + b'asks'
    sum_ = folded(ends + (struct.pack('!II', 12, 17) if six else struct.pack('!HH', 17, 12)) + udp)
    udp = udp[:6] + struct.pack('!H', sum_) + udp[8:]
    if six:
        to = b'\x33\x33' + ends[-4:] if dst.startswith('ff') else OWN
        return to + CLIENT + b'\x86\xdd' + struct.pack('!IHBB', 6 << 28, 12, 17, 64) + ends + udp
    to = b'\xff' * 6 if dst == '255.255.255.255' else OWN
    head = struct.pack('!BBHHHBBH', 0x45, 0, 32, 1, 0, 64, 17, 0) + ends
    return to + CLIENT + b'\x08\x00' + head[:10] + struct.pack('!H', folded(head)) + head[12:] + udp

def back(family, port, dst):
    "Whether an answer to this port and address goes out by the wire."
    want = struct.pack('!H', port)
    to = socket.inet_pton(family, dst)
    until = time.time() + 0.4
    while time.time() < until:
        if select.select([fd], [], [], 0.05)[0]:
            got = os.read(fd, 2000)
            at = 14 + (40 if family == socket.AF_INET6 else 20)
            kind = b'\x86\xdd' if family == socket.AF_INET6 else b'\x08\x00'
            if got[12:14] == kind and got[at - len(to):at] == to and got[at + 2:at + 4] == want and got[at + 8:] == b'told':
                return True
    return False

def server(family, port):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'tap0')
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        group = socket.inet_pton(family, 'ff02::1:2') + struct.pack('I', socket.if_nametoindex('tap0'))
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    s.bind(('', port))
    return s

four, six = server(socket.AF_INET, 67), server(socket.AF_INET6, 547)

def tell(to):
    if ':' in to:
        s, family, port, to_ = six, socket.AF_INET6, 546, (to, 546, 0, socket.if_nametoindex('tap0'))
    else:
        s, family, port, to_ = four, socket.AF_INET, 68, (to, 68)
    try:
        s.sendto(b'told', to_)
    except PermissionError:
        return False
    return back(family, port, to)

def ask(sent):
    src, dst, sport, dport = sent.split(',')
    os.write(fd, frame(src, dst, int(sport), int(dport)))
    heard = select.select([four, six], [], [], 0.4)[0]
    for s in heard:
        s.recv(100)
    return 'heard' if heard else 'lost'

def all():
    asked = [ask(sent) for sent in sys.argv[2:]]
    told = ['told' if tell(to) else 'silent' for to in ['255.255.255.255', '10.0.1.9', '10.0.9.9', 'fe80::9']]
    print(' '.join(asked + told))

all()
subprocess.run(['nft', '-f', '-'], input=rules, text=True, check=True)
all()
"#;

const POLICY: &str = "zone lan { 10.0.1.0/24, fd01::/64 }\nzone dmz { 10.0.9.0/24 }\n\
     firewall fw { tap0 10.0.1.1, fd01::1 in lan SERVES; eth1 10.0.9.1 in dmz }\nallow http from lan to dmz\n";

const SENT: [&str; 6] = [
    "0.0.0.0,255.255.255.255,68,67",
    "10.0.1.9,10.0.1.1,68,67",
    "10.0.1.9,255.255.255.255,68,67",
    "10.0.9.9,10.0.1.1,68,67",
    "0.0.0.0,255.255.255.255,1068,67",
    "fe80::9,ff02::1:2,546,547",
];

#[test]
fn a_client_without_an_address_is_heard_and_told() {
    if !kernel() {
        return;
    }
    let serving = "heard heard heard lost lost heard told told silent told";
    let closed = "lost lost lost lost lost lost silent silent silent silent";
    for (how, ruled) in [("serves dhcp", serving), ("", closed)] {
        let compiled = compiled(&[("leases.fw".to_owned(), POLICY.replace("SERVES", how))]);
        let rules = artifact(&compiled, "fw", "ruleset.nft");
        let netns = Netns::new().unwrap();
        let wire = "ip link set lo up;ip link set tap0 address 02:00:00:00:00:01;\
                    ip addr add 10.0.1.1/24 dev tap0;ip addr add fd01::1/64 dev tap0 nodad;\
                    ip link set tap0 addrgenmode none;ip link set tap0 up;ip addr add fe80::1/64 dev tap0 nodad;\
                    ip route add 10.0.9.0/24 dev tap0;\
                    ip neigh add 10.0.1.9 lladdr 02:00:00:00:00:09 dev tap0;\
                    ip neigh add 10.0.9.9 lladdr 02:00:00:00:00:09 dev tap0;\
                    ip neigh add fe80::9 lladdr 02:00:00:00:00:09 dev tap0";
        let program = device("tap0", Kind::Tap) + WIRE;
        let args = [&["60", "python3", "-c", &program, wire], &SENT[..]].concat();
        let told = netns.run("timeout", &args, rules).unwrap();
        let open = "heard heard heard heard heard heard told told told told";
        assert_eq!(told.lines().collect::<Vec<_>>(), [open, ruled], "{how}");
    }
}
