//! A leg that is a tunnel with room for several ends: somebody is told of `hub` (S77), and nothing is refused for it.

use super::common::{file, kernel};
use super::world::{World, said};

#[test]
fn a_tunnel_with_several_ends_that_is_no_hub_is_remarked() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    for (name, net, own, how, told) in [
        ("plain", "10.9.3.0/24", "10.9.3.1", "", true),
        ("hub", "10.9.3.0/24", "10.9.3.1", " hub", false),
        ("pair", "10.9.3.0/30", "10.9.3.1", "", false),
        ("peers", "10.9.3.8/32, 10.9.3.9/32, 10.9.3.1/32", "10.9.3.1", "", true),
    ] {
        let tunnel = [
            "tuntap add dev tun0 mode tun".to_owned(),
            format!(
                "addr add {own}/{} dev tun0",
                net.split_once('/').map_or("24", |(_, l)| l.split(',').next().unwrap())
            ),
            "link set tun0 up".to_owned(),
        ];
        world.fw.ip(&tunnel).unwrap();
        let with = text
            .replace("zone dmz {", &format!("zone road {{ {net} }}\nzone dmz {{"))
            .replace("    eth2 ", &format!("    tun0 {own} in road{how}\n    eth2 "));
        world.build(name, &with);
        let done = said(&world.done(&["apply", world.path(name).to_str().unwrap()]));
        let remark =
            "remark: `tun0` has no link-layer addresses, and there is room for several at its other end";
        assert_eq!(done.contains(remark), told, "{name}: {done}");
        assert!(!done.contains("`eth1` has no link-layer"), "{name}: {done}");
        world.fw.ip(&["link del tun0".to_owned()]).unwrap();
    }
}
