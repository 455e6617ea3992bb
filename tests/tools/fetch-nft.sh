#!/bin/sh
# Fetches the nft of another Debian release and unpacks it beside the build; installs nothing.
#
#   tests/tools/fetch-nft.sh RELEASE...        bullseye (0.9.8)  bookworm (1.0.6)  trixie (1.1.3)
#
# Afterwards target/nft/RELEASE/nft runs that nft, with that release's libraries and its own ld.so
# (needed where its C library is newer than this machine's). Needs apt and dpkg-deb (Debian, Ubuntu) and
# the network; apt's own lists, cache and configuration are neither read nor touched.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
arch=$(dpkg --print-architecture)

fetch() {
    release=$1
    out=$here/target/nft/$release
    [ -x "$out/nft" ] && "$out/nft" --version && return 0

    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/etc/apt.conf.d" "$work/etc/preferences.d" "$work/debs"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian $release main" >"$work/etc/sources.list"
    : >"$work/state/status"
    cat >"$work/apt.conf" <<EOF
Dir::State "$work/state";
Dir::State::status "$work/state/status";
Dir::Cache "$work/cache";
Dir::Etc "$work/etc";
Dir::Etc::sourcelist "$work/etc/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "$arch";
APT::Sandbox::User "root";
EOF
    export APT_CONFIG="$work/apt.conf"
    apt-get -qq update

    # What nft needs beyond the C library; names differ between releases (t64, gmp10…).
    packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances nftables | grep '^[a-z]' | sort -u |
        grep -E '^(nftables|libnftables|libnftnl|libmnl|libgmp|libxtables|libjansson|libreadline|libedit|libbsd|libmd|libtinfo|libc6$|libcrypt1)')
    (cd "$work/debs" && apt-get -qq download $packages)
    unset APT_CONFIG

    mkdir -p "$out/root"
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$out/root"; done

    # The release's own loader and libraries, so that neither depends on this machine's.
    loader=$(cd "$out/root" && find . \( -name 'ld-linux*.so*' -o -name 'ld-2*.so' \) | sort | head -n 1)
    libs=$(cd "$out/root" && find . -name '*.so*' -exec dirname {} \; | sort -u | sed 's|^\.|$root|' | paste -sd:)
    cat >"$out/nft" <<EOF
#!/bin/sh
root=\${0%/*}/root
exec "\$root/$loader" --library-path "$libs" "\$root/usr/sbin/nft" "\$@"
EOF
    chmod +x "$out/nft"
    rm -rf "$work"
    trap - EXIT
    "$out/nft" --version
}

[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
for release in "$@"; do fetch "$release"; done
