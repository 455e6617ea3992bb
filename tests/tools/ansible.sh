#!/bin/sh
# Installs a pinned ansible-core into target/ansible, a virtual environment of its own; nothing of the system changes.
set -eu

out=$(cd "$(dirname "$0")/../.." && pwd)/target/ansible
version=2.17.7
[ -x "$out/bin/ansible-playbook" ] && "$out/bin/pip" show ansible-core 2>/dev/null | grep -qx "Version: $version" && exit 0
echo "tools: installing ansible-core $version into target/ansible"
python3 -m venv "$out"
"$out/bin/pip" install --quiet "ansible-core==$version"
