//! Members that hang on a firewall by a tunnel reach each other through it (S77): a real `tun` device.

use fwc::lab::netns::Netns;

use crate::common::{artifact, compiled};
use crate::device::{Kind, device};
use crate::kernel;

/// Of what each pair of members sends over the tunnel, whether it comes back out of it; before the ruleset is loaded, and after; and
/// whether anybody is told of a way that is shorter.
const TUNNEL: &str = r#"
def syn(src, dst, port):
    six = ':' in src
    family = socket.AF_INET6 if six else socket.AF_INET
    ends = socket.inet_pton(family, src) + socket.inet_pton(family, dst)
    tcp = struct.pack('!HHIIBBHHH', 40000, port, 1, 0, 0x50, 2, 65535, 0, 0)
    sum_ = folded(ends + struct.pack('!II' if six else '!HH', *((20, 6) if six else (6, 20))) + tcp)
    tcp = tcp[:16] + struct.pack('!H', sum_) + tcp[18:]
    if six:
        return struct.pack('!IHBB', 6 << 28, 20, 6, 64) + ends + tcp
    head = struct.pack('!BBHHHBBH', 0x45, 0, 40, 1, 0, 64, 6, 0) + ends
    return head[:10] + struct.pack('!H', folded(head)) + head[12:] + tcp

def within(seconds):
    came = []
    until = time.time() + seconds
    while time.time() < until:
        if select.select([fd], [], [], 0.05)[0]:
            came.append(os.read(fd, 2000))
    return came

def is_from(packet, src):
    if ':' in src:
        return packet[0] >> 4 == 6 and packet[8:24] == socket.inet_pton(socket.AF_INET6, src)
    return packet[0] >> 4 == 4 and packet[12:16] == socket.inet_aton(src)

def is_redirect(packet):
    if packet[0] >> 4 == 6:
        return packet[6] == 58 and packet[40] == 137
    return packet[9] == 1 and packet[20] == 5

def ask():
    words = []
    for sent in sys.argv[2:]:
        src, dst, port = sent.split(',')
        within(0.05)
        os.write(fd, syn(src, dst, int(port)))
        came = within(0.5)
        back = any(is_from(packet, src) for packet in came)
        words.append(('back' if back else 'lost') + (' told' if any(map(is_redirect, came)) else ''))
    return ', '.join(words)

print(ask())
subprocess.run(['nft', '-f', '-'], input=rules, text=True, check=True)
print(ask())
"#;

const POLICY: &str = "zone road { 10.8.0.0/24, fd08::/64 }\nzone lan { 10.0.0.0/24 }\n\
     firewall fw { tun0 10.8.0.1, fd08::1 in road HUB; eth1 10.0.0.1 in lan }\n\
     host a = 10.8.0.5, fd08::5 in road\nhost b = 10.8.0.6, fd08::6 in road\n\
     allow rdp from a to b\nallow http from road to lan\n";

const SENT: [&str; 4] =
    ["10.8.0.5,10.8.0.6,3389", "fd08::5,fd08::6,3389", "10.8.0.5,10.8.0.6,22", "10.8.0.6,10.8.0.5,3389"];

#[test]
fn members_reach_each_other_through_the_hub_and_its_forward_hook() {
    if !kernel() {
        return;
    }
    for (how, ruled) in [("hub", "back, back, lost, lost"), ("", "lost, lost, lost, lost")] {
        let compiled = compiled(&[("hub.fw".to_owned(), POLICY.replace("HUB", how))]);
        let rules = artifact(&compiled, "fw", "ruleset.nft");
        let netns = Netns::new().unwrap();
        let set = "ip addr add 10.8.0.1/24 dev tun0;ip addr add fd08::1/64 dev tun0 nodad;ip link set tun0 up;ip link set lo up";
        let program = device("tun0", Kind::Tun) + TUNNEL;
        let args = [&["-c", &program, set], &SENT[..]].concat();
        // As `sysctl.conf` says: forwarding, and no redirects. Of IPv6 Linux has no such parameter: the output hook stops them.
        let keys = [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")];
        netns.sysctl(&keys.map(|(key, value)| (key.to_owned(), value))).unwrap();
        let keys = ["ipv4/conf/all/send_redirects", "ipv4/conf/default/send_redirects"];
        netns.sysctl(&keys.map(|key| (key.to_owned(), "0"))).unwrap();
        let told = netns.run("timeout", &[&["60", "python3"], &args[..]].concat(), rules).unwrap();
        assert_eq!(told.lines().collect::<Vec<_>>(), ["back, back told, back, back", ruled], "{how}");
    }
}
