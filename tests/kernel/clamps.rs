//! What is forwarded by a leg that `clamps mss` (S82): connections over veths of different MTU, whose sockets are asked what they were told.

use fwc::lab::netns::Netns;

use crate::common::{artifact, compiled};
use crate::kernel;

/// A client and a server, each in a namespace of its own behind the firewall's: the size of segments that each was told of by the other, over
/// both families. Only the firewall's end of the server's wire has the smaller MTU: both are told 1460 where nobody lowers it.
const ENDS: &str = r#"
import ctypes, os, signal, socket, subprocess, sys
signal.alarm(50)
rules = sys.stdin.read()

def run(line):
    subprocess.run(line, shell=True, check=True, stdout=subprocess.DEVNULL)

def end(body):
    "A process in a namespace of its own, told by a line that its wire is there."
    (told, tell), (ready, done) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(40)
        assert ctypes.CDLL(None).unshare(0x40000000) == 0
        os.write(done, b'.')
        os.read(told, 1)
        body()
        os._exit(0)
    os.read(ready, 1)
    return pid, tell

def wire(net):
    run(f'ip link set lo up; ip addr add 10.0.{net}.2/24 dev e0; ip addr add fd0{net}::2/64 dev e0 nodad; ip link set e0 up')
    run(f'ip route add default via 10.0.{net}.1; ip -6 route add default via fd0{net}::1')
    # A time stamp in each segment would be taken off.
    run('echo 0 > /proc/sys/net/ipv4/tcp_timestamps')

def size(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)

(come, came), (hear, heard) = os.pipe(), os.pipe()

def server():
    wire(2)
    listener = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True)
    os.write(came, b'.')
    for _ in range(2):
        one, _ = listener.accept()
        os.write(heard, b'%d ' % size(one))
        one.close()

def client():
    wire(1)
    for to in ['10.0.2.2', 'fd02::2']:
        one = socket.create_connection((to, 80), 10)
        os.write(heard, b'%d ' % size(one))
        # In turn: the server says its own before the next.
        assert one.recv(1) == b''

(c, tell_c), (s, tell_s) = end(client), end(server)
run(f'ip link add lan0 type veth peer name e0 netns {c}; ip link add wan0 mtu 1400 type veth peer name e0 mtu 1500 netns {s}')
for name, net in [('lan0', 1), ('wan0', 2)]:
    run(f'ip addr add 10.0.{net}.1/24 dev {name}; ip addr add fd0{net}::1/64 dev {name} nodad; ip link set {name} up')
subprocess.run(['nft', '-f', '-'], input=rules, text=True, check=True)
os.write(tell_s, b'.')
os.read(come, 1)
os.write(tell_c, b'.')
for pid in [c, s]:
    assert os.waitpid(pid, 0)[1] == 0
told = sorted(map(int, os.read(hear, 100).split()), reverse=True)
print(*told)
subprocess.run(['nft', 'list', 'ruleset'], check=True)
"#;

const POLICY: &str = "zone lan { 10.0.1.0/24, fd01::/64 }\nzone wan { 10.0.2.0/24, fd02::/64 }\n\
     firewall fw { lan0 10.0.1.1, fd01::1 in lan LAN; wan0 10.0.2.1, fd02::1 in wan WAN }\n\
     allow http from lan to wan\n";

#[test]
fn both_ends_are_told_what_the_path_takes_and_never_more() {
    if !kernel() {
        return;
    }
    for (lan, wan, told) in [
        ("", "", "1460 1460 1440 1440"),
        ("", "clamps mss", "1360 1360 1340 1340"),
        // Its own wire takes 1500, and the path does not.
        ("clamps mss", "", "1360 1360 1340 1340"),
        ("", "clamps mss to 1300", "1300 1300 1300 1300"),
        ("", "clamps mss to 9000", "1460 1460 1440 1440"),
        ("clamps mss to 1350", "clamps mss", "1350 1350 1340 1340"),
    ] {
        let policy = POLICY.replace("LAN", lan).replace("WAN", wan);
        let compiled = compiled(&[("clamps.fw".to_owned(), policy)]);
        let rules = artifact(&compiled, "fw", "ruleset.nft");
        let netns = Netns::new().unwrap();
        let keys = [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")];
        netns.sysctl(&keys.map(|(key, value)| (key.to_owned(), value))).unwrap();
        let out = netns.run("timeout", &["60", "python3", "-c", ENDS], rules).unwrap();
        let (first, listed) = out.split_once('\n').unwrap();
        assert_eq!(first, told, "{lan} {wan}");
        let host = compiled.site.host_named("fw").unwrap();
        let listed = fwc::verify::HostRules::listed(listed).unwrap();
        assert!(fwc::verify::Against::new(&compiled.site, host).report(&listed).holds(), "{lan} {wan}");
    }
}
