"""Through the gate by paramiko: a channel to the target, and a login over it. The key is the argument."""
import sys

import paramiko

# On a connection of its own: paramiko asks for the service again before each try, to which russh does not answer twice.
gate = paramiko.Transport(("10.0.1.5", 2222))
gate.start_client(timeout=20)
assert gate.agreed_on_strict_kex, "no strict key exchange"
try:
    gate.auth_none("ana")
    raise SystemExit("nothing was asked for")
except paramiko.BadAuthenticationType as refused:
    assert refused.allowed_types == ["publickey"], refused.allowed_types
gate.close()
gate = paramiko.Transport(("10.0.1.5", 2222))
gate.start_client(timeout=20)
gate.auth_publickey("ana", paramiko.Ed25519Key.from_private_key_file(sys.argv[1]))
channel = gate.open_channel("direct-tcpip", ("10.0.2.9", 22), ("10.0.1.77", 0), timeout=20)
target = paramiko.Transport(channel)
target.start_client(timeout=20)
target.auth_publickey("ana", paramiko.Ed25519Key.from_private_key_file(sys.argv[1]))
session = target.open_session()
session.exec_command("echo here")
print(session.makefile().read().decode())
try:
    gate.open_channel("direct-tcpip", ("10.0.2.11", 22), ("10.0.1.77", 0), timeout=20)
    raise SystemExit("it was let where it may not go")
except paramiko.ChannelException as refused:
    assert refused.code == 1, refused
for kind in ["session", "tun@openssh.com", "x11", "forwarded-tcpip", "auth-agent@openssh.com", "anything"]:
    try:
        gate.open_channel(kind, ("10.0.2.9", 22), ("10.0.1.77", 0), timeout=20)
        raise SystemExit("it opened " + kind)
    except paramiko.ChannelException:
        pass
target.close()
gate.close()
