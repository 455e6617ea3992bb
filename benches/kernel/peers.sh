#!/bin/sh
# What firewalld and shorewall make of their own files, without installing or starting them on this machine.
#
#   benches/kernel/peers.sh fetch            their Debian packages, unpacked into target/bench-peers
#   benches/kernel/peers.sh make DIR         DIR/firewalld/, DIR/shorewall/ to DIR/firewalld.nft, DIR/shorewall.save, and
#                                            what that took, user and system seconds, to DIR/NAME.cpu
#
# They run in a mount and a network namespace of their own, over a copy of the system that ends with them.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
tree=$here/target/bench-peers
packages="firewalld python3-firewall python3-nftables shorewall shorewall-core iptables libip4tc2 libip6tc2 libxtables12
libnetfilter-conntrack3 libnfnetlink0 python3-dbus python3-gi gir1.2-glib-2.0 libgirepository-1.0-1 python3-cap-ng libdbus-1-3
libcap-ng0 ipset libipset13"

case $1 in
fetch)
    mkdir -p "$tree/debs"
    (cd "$tree/debs" && apt-get download -qq $packages)
    for package in "$tree"/debs/*.deb; do dpkg-deb -x "$package" "$tree/root"; done
    rm -r "$tree/debs"
    # On a machine with one /usr these are links there.
    for folder in bin sbin lib; do
        if [ -d "$tree/root/$folder" ]; then
            mkdir -p "$tree/root/usr/$folder"
            cp -a "$tree/root/$folder/." "$tree/root/usr/$folder/"
            rm -r "${tree:?}/root/$folder"
        fi
    done
    ;;
make)
    exec unshare --mount --net "$0" inside "$(cd "$2" && pwd)"
    ;;
inside)
    dir=$2
    space=$dir/space
    mkdir -p "$space"
    mount -t tmpfs tmpfs "$space"
    mkdir "$space/whole" "$space/upper" "$space/work"
    cp -a "$tree/root" "$space/lower"
    mount -t overlay overlay -o "lowerdir=$space/lower:/,upperdir=$space/upper,workdir=$space/work" "$space/whole"
    mount -t proc proc "$space/whole/proc"
    mkdir -p "$space/whole/peers"
    mount --bind "$dir" "$space/whole/peers"
    for zone in 0 1; do
        ip link add "eth$zone" type veth peer name "peer$zone"
        ip addr add "10.$zone.0.1/16" dev "eth$zone"
        ip link set "eth$zone" up
    done
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/usr/lib/python3/dist-packages
    chroot "$space/whole" /bin/bash -eu -c '
        TIMEFORMAT="%U %S"
        mkdir -p /var/log /var/lib/shorewall /var/lock /run/shorewall
        cp -r /peers/firewalld/. /etc/firewalld/
        # It loads what it makes: there is no doing one without the other.
        { time /usr/bin/python3 -c "from firewall.core.fw import Firewall; Firewall().start()" >/dev/null 2>&1; } 2>/peers/firewalld.cpu
        nft list ruleset >/peers/firewalld.nft
        nft flush ruleset
        cp /peers/shorewall/* /etc/shorewall/
        sed -i "s/^STARTUP_ENABLED=.*/STARTUP_ENABLED=Yes/; s/^IP_FORWARDING=.*/IP_FORWARDING=Keep/" /etc/shorewall/shorewall.conf
        for name in iptables iptables-restore iptables-save; do ln -sf xtables-nft-multi /usr/sbin/$name; done
        { time shorewall compile /etc/shorewall /tmp/shorewall.sh >/dev/null 2>&1; } 2>/peers/shorewall.cpu
        sh /tmp/shorewall.sh start >/dev/null 2>&1 || true
        iptables-save >/peers/shorewall.save
    '
    ;;
restore)
    export LD_LIBRARY_PATH="$tree/root/usr/lib/$(uname -m)-linux-gnu"
    export XTABLES_LIBDIR="$LD_LIBRARY_PATH/xtables"
    exec "$tree/root/usr/sbin/xtables-nft-multi" iptables-restore "$2"
    ;;
esac
