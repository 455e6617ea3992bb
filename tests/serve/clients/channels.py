"""What somebody who is let in may not have: destinations that are none, requests for anything else, and more than is theirs
(RFC 4254).

Arguments: the audit log, Ana's key, the server's process. It gives 40 channels to a connection. Ana may open 10.0.2.9:22 and
10.0.2.10:22, and at 10.0.2.11 the ports 7001 to 7004, behind which this program itself listens: an echo, one that never
reads, one that never stops, and nobody.
"""
import os
import signal
import socket
import struct
import sys
import threading
import time

from wire import *

LOG, ANA, PROCESS = sys.argv[1:4]
ana = Key.read(ANA)
PROHIBITED, FAILED, SHORTAGE = "refused 1", "refused 2", "refused 4"
NOT_ALLOWED, NO_ADDRESS, NO_PORT = (
    "open-refused not-allowed",
    "open-refused not-an-address",
    "open-refused no-such-port",
)
TARGET = "10.0.2.11"
ECHO, DEAF, SPRING, NOBODY = 7001, 7002, 7003, 7004


# ---- who is behind the gate


def serve(port, act):
    listener = socket.create_server((TARGET, port), backlog=256)

    def run():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=act, args=(client,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()


def echo(client):
    # To the end of what comes; then it says so, and ends.
    try:
        while data := client.recv(65_536):
            client.sendall(data)
        client.sendall(b"end")
        client.close()
    except OSError:
        pass


def deaf(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    while True:
        time.sleep(60)


def spring(client):
    try:
        while True:
            client.sendall(bytes(65_536))
    except OSError:
        pass


def memory():
    """The server's, in KiB."""
    with open(f"/proc/{PROCESS}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


# ---- what is asked for


def opens(*arguments, **named):
    return lambda client: client.login(ana).opened(*arguments, **named)


def asks(name, rest=b""):
    """A global request."""

    def act(client):
        client.login(ana).send(byte(GLOBAL_REQUEST) + string(name) + byte(1) + rest)
        return {REQUEST_FAILURE: "no", REQUEST_SUCCESS: "yes"}.get(client.wait(REQUEST_FAILURE, REQUEST_SUCCESS)[0])

    return act


def asks_on(name, rest=b""):
    """A request on a channel, which hears no and carries on."""

    def act(client):
        number = client.login(ana).opened(TARGET, ECHO)
        client.send(byte(CHANNEL_REQUEST) + u32(number) + string(name) + byte(1) + rest)
        client.data(number, b"there?")
        said = client.wait(CHANNEL_FAILURE, CHANNEL_SUCCESS, DATA)[0]
        if said == DATA:
            return "nothing"
        assert client.read() == b"there?"
        return {CHANNEL_FAILURE: "no", CHANNEL_SUCCESS: "yes"}[said]

    return act


def on_nothing(*payloads):
    """Messages on a channel that is not there; then one is opened."""

    def act(client):
        client.login(ana).send(*payloads)
        return client.opened(TARGET, 1)

    return act


def sent(client, data, number=0):
    """Data, and whether it comes back."""
    client.data(number, data)
    back = b""
    while len(back) < len(data):
        back += client.read()
        client.send(byte(WINDOW_ADJUST) + u32(number) + u32(65_536))
    return back == data


def carried(client):
    """Half a MiB there and back, 20,000 bytes at a time."""
    number = client.login(ana).opened(TARGET, ECHO)
    return "goes on" if all(sent(client, bytes([n]) * 20_000, number) for n in range(25)) else "lost"


# ---- too much


def many_refused(client):
    """10,000 destinations that are not allowed: it ends before that."""
    client.login(ana)
    try:
        for number in range(10_000):
            client.open("10.0.2.12", 22, number=number)
        while True:
            client.receive()
    except Cut:
        return "cut"


def many_opened(client):
    """10,000 that are allowed, at once and none of them closed."""
    client.login(ana)
    before, opened, refused = memory(), 0, 0
    try:
        for number in range(10_000):
            client.open(TARGET, ECHO, number=number)
            if number % 50 == 49:
                for _ in range(50):
                    answer = client.answered()
                    opened, refused = opened + isinstance(answer, int), refused + (answer == SHORTAGE)
    except Cut:
        pass
    grown = memory() - before
    return f"{opened} opened, " + ("few refused" if refused <= 1_001 else f"{refused} refused") + (
        "" if grown < 30_000 else f", {grown} KiB"
    )


def opened_and_closed(client):
    """2,000 opened and closed, one after the other."""
    client.login(ana)
    grown = []
    for count in range(2_000):
        number = client.opened(TARGET, ECHO, number=count)
        assert isinstance(number, int), number
        client.send(byte(CLOSE) + u32(number))
        client.wait(CLOSE)
        if count in (500, 1_999):
            grown.append(memory())
    return "closed" if grown[1] - grown[0] < 8_000 else f"grew {grown}"


def before_it_is_open(client):
    """Data for a channel that is not confirmed yet."""
    client.login(ana)
    client.open(TARGET, NOBODY)
    client.send(*[byte(DATA) + u32(number) + string(b"x" * 1_000) for number in range(4)])
    assert client.answered() == FAILED
    client.open(TARGET, ECHO)
    client.send(*[byte(DATA) + u32(number) + string(b"early") for number in range(6)])
    number = client.answered()
    client.data(number, b"there?")
    # What came early may be echoed too, in a message of its own.
    heard = client.read()
    while not heard.endswith(b"there?") and len(heard) < len(b"early") * 6:
        heard += client.read()
    return "after it" if heard.endswith(b"there?") else "lost"


def too_much_at_once(client):
    """More than the window, to a target that reads nothing."""
    client.login(ana)
    number, before = client.opened(TARGET, DEAF), memory()
    grown = deluge(client, number, 64 << 20)
    return "held" if grown - before < 24_000 else f"grew by {grown - before} KiB"


def deluge(client, number, most):
    """Sends without looking at the window, until it is not taken any more; the server's memory then."""
    client.socket.settimeout(2)
    try:
        for _ in range(most >> 15):
            client.data(number, bytes(32_768))
    except (Cut, socket.timeout):
        pass
    return memory()


def too_much_everywhere(client):
    """The same to as many as may be open."""
    client.login(ana)
    numbers = [client.opened(TARGET, DEAF, number=number) for number in range(40)]
    before = memory()
    client.socket.settimeout(2)
    try:
        for _ in range(50):
            for number in numbers:
                client.data(number, bytes(32_768))
    except (Cut, socket.timeout):
        pass
    grown = memory() - before
    return "held" if grown < 40_000 else f"grew by {grown} KiB"


def killed(act):
    """A client of its own process that ends as by `kill -9`, while its destination takes nothing."""

    def both(client):
        began, tell = os.pipe()
        child = os.fork()
        if child == 0:
            other = Client().login(ana)
            number = other.opened(TARGET, DEAF)
            os.write(tell, b"x")
            act(other, number)
            time.sleep(60)
        os.read(began, 1)
        time.sleep(1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "killed"

    return both


def within_the_window(client):
    """All of the window and no more, to a target that reads nothing; the same connection goes on."""
    client.login(ana)
    number, rest = client.opened(TARGET, DEAF), 0
    rest = client.window
    while rest >= 32_768:
        client.data(number, bytes(32_768))
        rest -= 32_768
    other = client.opened(TARGET, ECHO, number=1)
    assert isinstance(other, int), other
    return "goes on" if sent(client, b"there?", other) else "lost"


def never_reads(client):
    """A client that takes nothing of what never stops, with a window of 4 GiB."""
    client.login(ana)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    before = memory()
    client.open(TARGET, SPRING, window=2**32 - 1, most=2**31)
    time.sleep(4)
    grown = memory() - before
    return "held" if grown < 24_000 else f"grew by {grown} KiB"


def no_window(client):
    """A window of nothing: nothing is sent."""
    client.login(ana)
    before = memory()
    number = client.opened(TARGET, SPRING, window=0)
    client.socket.settimeout(2)
    try:
        client.read()
        return "sent"
    except AssertionError:
        pass
    grown = memory() - before
    if grown > 24_000:
        return f"grew by {grown} KiB"
    client.send(byte(WINDOW_ADJUST) + u32(number) + u32(10))
    return "held" if len(client.read()) <= 10 else "more than it may"


def window_beyond(client):
    """A window widened beyond what a number holds."""
    client.login(ana)
    number = client.opened(TARGET, ECHO)
    client.send(*[byte(WINDOW_ADJUST) + u32(number) + u32(2**32 - 1)] * 3)
    return "goes on" if sent(client, b"there?", number) else "lost"


def packets_of(most):
    """A client that says how long a packet of data may be."""

    def act(client):
        client.login(ana)
        number = client.opened(TARGET, SPRING, most=most)
        if not isinstance(number, int):
            return number
        client.socket.settimeout(2)
        try:
            return "held" if len(client.read()) <= most else "more than it may"
        except AssertionError:
            return "nothing"

    return act


def half_closed(client):
    """The client's half ends; the target's comes to its own end."""
    client.login(ana)
    number = client.opened(TARGET, ECHO)
    client.data(number, b"all")
    client.send(byte(EOF) + u32(number))
    said = b""
    while not said.endswith(b"end"):
        said += client.read()
    client.wait(EOF)
    client.send(byte(CLOSE) + u32(number))
    client.wait(CLOSE)
    return said.decode()


def after_the_end(client):
    """Data after EOF, and after CLOSE."""
    client.login(ana)
    number = client.opened(TARGET, ECHO)
    client.send(byte(EOF) + u32(number), byte(DATA) + u32(number) + string("late"), byte(CLOSE) + u32(number))
    client.send(byte(DATA) + u32(number) + string("later"), byte(CLOSE) + u32(number), byte(EOF) + u32(number))
    return "goes on" if isinstance(client.opened(TARGET, ECHO, number=1), int) else "lost"


def reset(client):
    """Ends abruptly, under load both ways."""
    client.login(ana)
    for number in range(8):
        client.opened(TARGET, SPRING, number=number, window=2**31)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return "reset"


def one_number_twice(client):
    """Two channels to which the client gives one number."""
    client.login(ana)
    first, second = client.opened(TARGET, ECHO, number=7), client.opened(TARGET, ECHO, number=7)
    client.data(second, b"there?")
    return "goes on" if first != second and client.read() == b"there?" else "lost"


def confirmed_by_the_client(client):
    """A channel that the server never asked for."""
    client.login(ana).send(byte(OPEN_CONFIRMATION) + u32(0) + u32(0) + u32(1) + u32(1))
    return client.opened(TARGET, 1)


def confirmed_again(client):
    """A channel of the client's, confirmed by itself with another window."""
    number = client.login(ana).opened(TARGET, ECHO)
    client.send(byte(OPEN_CONFIRMATION) + u32(number) + u32(99) + u32(2**32 - 1) + u32(2**32 - 1))
    return client.opened(TARGET, 1, number=1)


REFUSED = lambda what: ["login", "refused " + what]
OPENED = ["login", "open", "close connection-ended"]
BOUND = u32(0)
DISPLAY = byte(0) + string("MIT-MAGIC-COOKIE-1") + string("00") + u32(0)


def to(host, port=22, why=NO_ADDRESS):
    shown = host if isinstance(host, str) else host.decode("latin-1")
    return (f"to {shown[:40]!r}:{port}", PROHIBITED, ["login", why], opens(host, port))


CASES = [
    ("what is allowed", "goes on", OPENED, carried),
    *[
        to(host)
        for host in [
            "localhost", "s1", "gate", "", " ", "*", "10.0.2.9.", "10.0.2.9\0", "10.0.2.9\0.example.org", "10.0.2.9 ", " 10.0.2.9",
            "10.0.2.9\n", "10.0.2.09", "010.0.2.9", "012.0.2.9", "0xa.0.2.9", "0x0a000209", "167772681", "01200001011", "10.521",
            "10.0.521", "10.0.2.9/32", "10.0.2.9:22", "[10.0.2.9]", "[::ffff:10.0.2.9]", "fe80::1%lo", "::ffff:10.0.2.9%lo", "10.0.2.9%lo",
            "１０.0.2.9", "10。0。2。9", "10.0.2.-9", "10.0.2.256", "10.0.2", "ssh://10.0.2.9", "10.0.2.9,10.0.2.11", "/run/x",
            'a"}\n{"event":"open","to":"10.0.2.11:22"}', "\x1b[2J\x1b[31mana", "\u202e9.2.0.01", "x" * 250_000,
        ]
    ],
    *[
        to(host, why=NOT_ALLOWED)
        for host in [
            "127.0.0.1", "127.1.2.3", "0.0.0.0", "255.255.255.255", "10.0.1.5", "10.0.2.5", "10.0.2.12", "169.254.169.254", "224.0.0.1",
            "::", "::1", "::ffff:10.0.2.9", "::ffff:127.0.0.1", "64:ff9b::a00:209", "2002:a00:209::", "fd00:ec2::254",
        ]
    ],
    *[to(host, why="open-refused another-spelling") for host in ["::10.0.2.9", "0:0::1", "2001:DB8::9", "64:ff9b::10.0.2.9"]],
    to("10.0.2.9", 80, NOT_ALLOWED),
    to("10.0.2.11", 22, NOT_ALLOWED),
    to("169.254.169.254", 80, NOT_ALLOWED),
    to("10.0.1.5", 2222, NOT_ALLOWED),
    *[to("10.0.2.9", port, NO_PORT) for port in (0, 65_536, 65_558, 2**31 + 22, 2**32 - 1)],
    ("to text that is none", "cut", ["login"], opens(b"10.0.2.9\xff\xfe")),
    ("to a host that is cut off", "cut", ["login"], opens(rest=u32(1_000) + b"10.0.2.9")),
    ("to a host with a rest", "cut", ["login"], opens(rest=string("10.0.2.9") + u32(22) + string("") + u32(0) + b"more")),
    ("to nobody", FAILED, ["login", "open", "close connect-failed"], opens(TARGET, NOBODY)),
    ("a session", PROHIBITED, REFUSED("session"), opens(kind="session", rest=b"")),
    ("x11", PROHIBITED, REFUSED("x11"), opens(kind="x11", rest=string("10.0.2.9") + u32(22))),
    ("forwarded-tcpip", PROHIBITED, REFUSED("forwarded-tcpip"), opens(kind="forwarded-tcpip")),
    (
        "direct-streamlocal",
        PROHIBITED,
        REFUSED("direct-streamlocal"),
        opens(kind="direct-streamlocal@openssh.com", rest=string("/run/x") + string("") + u32(0)),
    ),
    (
        "forwarded-streamlocal",
        PROHIBITED,
        ["login"],
        opens(kind="forwarded-streamlocal@openssh.com", rest=string("/run/x") + string("")),
    ),
    ("tun", "refused 3", ["login"], opens(kind="tun@openssh.com", rest=u32(1) + u32(0))),
    ("an agent", PROHIBITED, ["login"], opens(kind="auth-agent@openssh.com", rest=b"")),
    ("a kind that nobody knows", "refused 3", ["login"], opens(kind="x" * 1_000, rest=b"")),
    ("-R 0", "no", REFUSED("tcpip-forward"), asks("tcpip-forward", string("") + u32(0))),
    ("-R 2222", "no", REFUSED("tcpip-forward"), asks("tcpip-forward", string("0.0.0.0") + u32(2222))),
    ("-R 2^32-1", "no", REFUSED("tcpip-forward"), asks("tcpip-forward", string("::") + u32(2**32 - 1))),
    ("no -R", "no", REFUSED("cancel-tcpip-forward"), asks("cancel-tcpip-forward", string("10.0.1.5") + u32(2222))),
    ("-R of a socket", "no", REFUSED("streamlocal-forward"), asks("streamlocal-forward@openssh.com", string("/run/x"))),
    (
        "no -R of a socket",
        "no",
        REFUSED("cancel-streamlocal-forward"),
        asks("cancel-streamlocal-forward@openssh.com", string("/run/x")),
    ),
    ("host keys", "no", ["login"], asks("hostkeys-prove-00@openssh.com", string("x"))),
    ("a request that nobody knows", "no", ["login"], asks("x" * 1_000)),
    *[
        (f"{name} on a channel", "no", ["login", "open", "refused " + what, "close connection-ended"], asks_on(name, rest))
        for name, what, rest in [
            ("shell", "shell", b""),
            ("exec", "exec", string("id")),
            ("subsystem", "subsystem", string("sftp")),
            ("env", "env", string("LD_PRELOAD") + string("x")),
            ("pty-req", "pty", string("xterm") + u32(80) + u32(24) + u32(0) * 2 + string(b"\0")),
            ("x11-req", "x11", DISPLAY),
            ("auth-agent-req@openssh.com", "agent", b""),
            ("window-change", "window-change", u32(1) * 4),
        ]
    ],
    (
        "a signal on a channel",
        "nothing",
        ["login", "open", "refused signal", "close connection-ended"],
        asks_on("signal", string("KILL")),
    ),
    ("a request on a channel that nobody knows", "no", OPENED, asks_on("x" * 100)),
    (
        "a request on no channel",
        PROHIBITED,
        ["login", NOT_ALLOWED],
        on_nothing(byte(CHANNEL_REQUEST) + u32(9) + string("exec") + byte(1) + string("id")),
    ),
    (
        "data, windows and ends on no channel",
        PROHIBITED,
        ["login", NOT_ALLOWED],
        on_nothing(
            byte(DATA) + u32(9) + string("x"),
            byte(EXTENDED_DATA) + u32(9) + u32(1) + string("x"),
            byte(WINDOW_ADJUST) + u32(9) + u32(2**32 - 1),
            byte(EOF) + u32(9),
            byte(CLOSE) + u32(9),
        ),
    ),
    ("a channel that the server did not ask for", "cut", ["login"], confirmed_by_the_client),
    ("a channel confirmed by its client", PROHIBITED, ["login", "open", NOT_ALLOWED, "close connection-ended"], confirmed_again),
    ("one number twice", "goes on", OPENED, one_number_twice),
    ("10,000 destinations that are not allowed", "cut", ["login", NOT_ALLOWED, "end too-many-refusals"], many_refused),
    (
        "10,000 that are",
        "40 opened, few refused",
        ["login", "open", "open-refused too-many-channels", "close connection-ended", "end too-many-refusals"],
        many_opened,
    ),
    ("2,000 opened and closed", "closed", ["login", "open", "close closed"], opened_and_closed),
    ("data before it is open", "after it", ["login", "open", "close connect-failed", "close connection-ended"], before_it_is_open),
    ("more than the window, and nobody reads", "held", OPENED, too_much_at_once),
    ("more than any window, and nobody reads", "held", OPENED, too_much_everywhere),
    ("killed, while nobody reads", "killed", OPENED, killed(lambda client, number: client.data(number, bytes(32_768)))),
    ("killed under load, while nobody reads", "killed", OPENED, killed(lambda client, number: deluge(client, number, 64 << 20))),
    ("all of the window, and nobody reads", "goes on", OPENED, within_the_window),
    ("a client that reads nothing", "held", OPENED, never_reads),
    ("a window of nothing", "held", OPENED, no_window),
    ("a window beyond 2^32", "goes on", OPENED, window_beyond),
    ("packets of 1 byte", "held", OPENED, packets_of(1)),
    ("packets of 0 bytes", "cut", ["login"], packets_of(0)),
    ("packets of 2^32-1 bytes", "held", OPENED, packets_of(2**32 - 1)),
    ("half of it closed", "allend", ["login", "open", "close closed"], half_closed),
    ("data after the end", "goes on", ["login", "open", "close closed", "close connection-ended"], after_the_end),
    ("an abrupt end under load", "reset", OPENED, reset),
]

for port, act in [(ECHO, echo), (DEAF, deaf), (SPRING, spring)]:
    serve(port, act)
table(LOG, CASES)
