#!/bin/sh
# Unpacks the programs that `make bench` compares with into target/bench-tools; nothing is installed, enabled or started.
#
#   tests/tools/fetch-bench.sh
#
# z3 (the proof) and ferm (compiling) are Debian's packages of this machine's release; aerleon (compiling) is PyPI's, at the
# version of tests/tools/bench-requirements.txt. Needs apt-get, dpkg-deb, perl, python3 with venv, and the network.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
out=$here/target/bench-tools
wanted=$here/tests/tools/bench-requirements.txt
mkdir -p "$out"
for package in z3 ferm; do
    if [ -f "$out/$package.unpacked" ]; then continue; fi
    (cd "$out" && apt-get download -qq "$package" && dpkg-deb -x "$package"_*.deb . && rm "$package"_*.deb)
    touch "$out/$package.unpacked"
done
if ! [ -f "$out/python.txt" ] || ! cmp -s "$wanted" "$out/python.txt"; then
    python3 -m venv "$out/python"
    "$out/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$out/python.txt"
fi
echo "bench-tools: z3, ferm and aerleon are in target/bench-tools"
