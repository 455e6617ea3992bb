#!/bin/sh
# Installs pinned SSH clients and auditors written in Python into target/ssh-clients, a virtual environment of its own; nothing
# of the system changes.
set -eu

out=$(cd "$(dirname "$0")/../.." && pwd)/target/ssh-clients
wanted="paramiko==4.0.0 asyncssh==2.21.1 ssh-audit==3.3.0"
[ -x "$out/bin/python" ] && [ "$(cat "$out/installed" 2>/dev/null)" = "$wanted" ] && exit 0
echo "tools: installing $wanted into target/ssh-clients"
python3 -m venv "$out"
# shellcheck disable=SC2086
"$out/bin/pip" install --quiet $wanted
echo "$wanted" > "$out/installed"
