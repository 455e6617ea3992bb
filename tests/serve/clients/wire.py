"""A client of SSH that says what it is told, at whatever time: RFC 4253, 4252 and 4254 by hand, over aes-gcm alone.

Tables of cases (`logins.py`, `transport.py`, `channels.py`) are run by `table`: a case is a name, what the client sees, what
the audit log has to say, and a function that does it. A line is printed for each; one that is not as said ends in WRONG.
"""
import hashlib
import json
import os
import socket
import struct
import sys
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

GATE = ("10.0.1.5", 2222)
OFFICE = "10.0.1.77"
CIPHER = "aes128-gcm@openssh.com"
STRICT = "kex-strict-c-v00@openssh.com"
RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, SERVICE_REQUEST, SERVICE_ACCEPT, EXT_INFO = 1, 2, 3, 4, 5, 6, 7
KEXINIT, NEWKEYS, KEX_INIT, KEX_REPLY = 20, 21, 30, 31
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS, USERAUTH_PK_OK = 50, 51, 52, 60
GLOBAL_REQUEST, REQUEST_SUCCESS, REQUEST_FAILURE = 80, 81, 82
OPEN, OPEN_CONFIRMATION, OPEN_FAILURE, WINDOW_ADJUST, DATA, EXTENDED_DATA = 90, 91, 92, 93, 94, 95
EOF, CLOSE, CHANNEL_REQUEST, CHANNEL_SUCCESS, CHANNEL_FAILURE = 96, 97, 98, 99, 100


class Cut(Exception):
    """The server ended the connection."""


def string(data):
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">I", len(data)) + data


def u32(number):
    return struct.pack(">I", number)


def byte(number):
    return bytes([number])


def mpint(data):
    number = int.from_bytes(data, "big")
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big") if number else b"")


class Reader:
    def __init__(self, data):
        self.rest = data

    def take(self, count):
        taken, self.rest = self.rest[:count], self.rest[count:]
        assert len(taken) == count, "the server's packet is too short"
        return taken

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def string(self):
        return self.take(self.u32())


class Side:
    """One direction, encrypted."""

    def __init__(self, key, iv):
        self.aead, self.fixed, self.count = AESGCM(key), iv[:4], int.from_bytes(iv[4:], "big")

    def nonce(self):
        nonce = self.fixed + self.count.to_bytes(8, "big")
        self.count = (self.count + 1) % 2**64
        return nonce


class Client:
    """A connection; `shake` makes it a secret one, `login` somebody's."""

    def __init__(self, source=OFFICE, gate=GATE):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(20)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(gate)
        self.buffer = bytearray()
        self.out = self.into = self.session = None
        self.names = None

    # ---- bytes and packets

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError as why:
            raise Cut(str(why)) from None

    def fill(self, count):
        while len(self.buffer) < count:
            try:
                more = self.socket.recv(262_144)
            except socket.timeout:
                raise AssertionError("the server says nothing") from None
            except OSError as why:
                raise Cut(str(why)) from None
            if not more:
                raise Cut("end")
            self.buffer += more

    def take(self, count):
        self.fill(count)
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def packet(self, payload):
        block = 16 if self.out else 8
        extra = 1 if self.out else 5
        pad = block - (len(payload) + extra) % block
        pad += block if pad < 4 else 0
        body = byte(pad) + payload + bytes(pad)
        length = u32(len(body))
        return length + (self.out.aead.encrypt(self.out.nonce(), body, length) if self.out else body)

    def send(self, *payloads):
        """Packets, in one write."""
        self.raw(b"".join(self.packet(payload) for payload in payloads))

    def receive(self):
        """The next packet that says something; a disconnect is an end."""
        while True:
            length = self.take(4)
            size = struct.unpack(">I", length)[0]
            assert size < 300_000, "the server's packet is too long"
            if self.into:
                body = self.into.aead.decrypt(self.into.nonce(), self.take(size + 16), length)
            else:
                body = self.take(size)
            payload = body[1 : len(body) - body[0]]
            if payload[0] == DISCONNECT:
                raise Cut("disconnect")
            if payload[0] == GLOBAL_REQUEST:
                # keepalive@openssh.com
                Reader(payload[1:]).string()
                self.send(byte(REQUEST_FAILURE))
            elif payload[0] not in (IGNORE, DEBUG, EXT_INFO):
                return payload

    def wait(self, *kinds):
        """The next packet of one of these kinds."""
        while True:
            payload = self.receive()
            if payload[0] in kinds:
                return payload

    # ---- key exchange

    def hello(self, version=b"SSH-2.0-wire"):
        self.version = version
        self.raw(version + b"\r\n")
        while b"\n" not in self.buffer:
            self.fill(len(self.buffer) + 1)
        line, _, rest = bytes(self.buffer).partition(b"\n")
        self.buffer = bytearray(rest)
        self.server_version = line.rstrip(b"\r")

    def kexinit(self, kex=None, key="ssh-ed25519", cipher=CIPHER, mac="hmac-sha2-256", compression="none", guess=0, strict=True):
        kex = kex or "curve25519-sha256"
        if strict and self.session is None:
            kex += "," + STRICT
        lists = [kex, key, cipher, cipher, mac, mac, compression, compression, "", ""]
        return byte(KEXINIT) + os.urandom(16) + b"".join(map(string, lists)) + byte(guess) + u32(0)

    def exchange(self, ours=None, between=(), reply=None):
        """Sends KEXINIT and goes on to NEWKEYS; `between` are packets after KEXINIT."""
        ours = ours or self.kexinit()
        self.send(ours)
        for payload in between:
            self.send(payload)
        theirs = self.wait(KEXINIT)
        self.names = [name.decode().split(",") for name in lists(theirs)]
        self.finish(ours, theirs)

    def finish(self, ours, theirs):
        secret = x25519.X25519PrivateKey.generate()
        public = secret.public_key().public_bytes(*RAW)
        self.send(byte(KEX_INIT) + string(public))
        reply = Reader(self.wait(KEX_REPLY)[1:])
        host, theirs_public, signature = reply.string(), reply.string(), reply.string()
        shared = mpint(secret.exchange(x25519.X25519PublicKey.from_public_bytes(theirs_public)))
        parts = [self.version, self.server_version, ours, theirs, host, public, theirs_public]
        digest = hashlib.sha256(b"".join(map(string, parts)) + shared).digest()
        host, signature = Reader(host), Reader(signature)
        assert host.string() == signature.string() == b"ssh-ed25519"
        self.host_key = host.string()
        ed25519.Ed25519PublicKey.from_public_bytes(self.host_key).verify(signature.string(), digest)
        self.session = self.session or digest
        key = lambda letter, count: hashlib.sha256(shared + digest + letter + self.session).digest()[:count]
        bits = 32 if CIPHER.startswith("aes256") else 16
        self.send(byte(NEWKEYS))
        self.out = Side(key(b"C", bits), key(b"A", 12))
        self.wait(NEWKEYS)
        self.into = Side(key(b"D", bits), key(b"B", 12))

    def shake(self, **names):
        self.hello()
        self.exchange(self.kexinit(**names))
        return self

    # ---- login

    def service(self):
        self.send(byte(SERVICE_REQUEST) + string("ssh-userauth"))
        self.wait(SERVICE_ACCEPT)
        return self

    def ask(self, method, rest=b"", user="ana", service="ssh-connection"):
        """A request to be let in, and the answer: `success`, `pk-ok`, or `failure` with the methods."""
        self.send(byte(USERAUTH_REQUEST) + string(user) + string(service) + string(method) + rest)
        return self.answer()

    def answer(self):
        said = self.wait(USERAUTH_FAILURE, USERAUTH_SUCCESS, USERAUTH_PK_OK, UNIMPLEMENTED)
        if said[0] == USERAUTH_FAILURE:
            return "failure " + Reader(said[1:]).string().decode()
        return {USERAUTH_SUCCESS: "success", USERAUTH_PK_OK: "pk-ok", UNIMPLEMENTED: "unimplemented"}[said[0]]

    def offer(self, key, name=None, **who):
        return self.ask("publickey", byte(0) + string(name or key.name) + string(key.blob), **who)

    def prove(self, key, name=None, blob=None, signer=None, user="ana", session=None, signature=None):
        """A signed request; whatever is said otherwise is a lie."""
        name, blob, signer = name or key.name, blob or key.blob, signer or key
        rest = byte(1) + string(name) + string(blob)
        request = byte(USERAUTH_REQUEST) + string(user) + string("ssh-connection") + string("publickey") + rest
        signed = signature or signer.sign(string(session or self.session) + request)
        self.send(request + string(signed))
        return self.answer()

    def login(self, key, user="ana"):
        self.shake().service()
        assert self.prove(key, user=user) == "success"
        return self

    # ---- channels

    def open(self, host="10.0.2.9", port=22, kind="direct-tcpip", number=0, window=2_097_152, most=32_768, rest=None):
        if rest is None:
            rest = string(host) + u32(port) + string(OFFICE) + u32(1)
        self.send(byte(OPEN) + string(kind) + u32(number) + u32(window) + u32(most) + rest)

    def opened(self, *arguments, **named):
        """Opens, and waits for the answer: the server's number of the channel, or why not."""
        self.open(*arguments, **named)
        return self.answered()

    def answered(self):
        said = self.wait(OPEN_CONFIRMATION, OPEN_FAILURE, UNIMPLEMENTED)
        reader = Reader(said[1:])
        if said[0] == OPEN_CONFIRMATION:
            reader.u32()
            number, self.window, self.most = reader.u32(), reader.u32(), reader.u32()
            return number
        reader.u32()
        return "refused " + str(reader.u32())

    def data(self, number, data):
        self.send(byte(DATA) + u32(number) + string(data))

    def read(self):
        """The next data."""
        reader = Reader(self.wait(DATA)[1:])
        reader.u32()
        return reader.string()

    def close(self):
        self.socket.close()


def lists(kexinit):
    reader = Reader(kexinit[17:])
    return [reader.string() for _ in range(10)]


# ---- keys


class Key:
    """A key of a file, or one made here; `name` is what a signature of it is called."""

    def __init__(self, secret, name=None):
        self.secret = secret
        public = secret.public_key()
        text = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        import base64

        self.text, self.blob = text.decode(), base64.b64decode(text.split(b" ")[1])
        self.name = name or Reader(self.blob).string().decode()

    @classmethod
    def read(cls, path, name=None):
        with open(path, "rb") as file:
            return cls(serialization.load_ssh_private_key(file.read(), None), name)

    @classmethod
    def new(cls):
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def rsa(cls, bits, name="rsa-sha2-512"):
        return cls(rsa.generate_private_key(65_537, bits), name)

    def sign(self, data, name=None, kind=None):
        """`kind`: what the signature is made by, where that is not its name."""
        name = name or self.name
        if isinstance(self.secret, rsa.RSAPrivateKey):
            by = {"ssh-rsa": hashes.SHA1, "rsa-sha2-256": hashes.SHA256, "rsa-sha2-512": hashes.SHA512}[kind or name]
            return string(name) + string(self.secret.sign(data, padding.PKCS1v15(), by()))
        return string(name) + string(self.secret.sign(data))


class Touched:
    """A security key made of software (PROTOCOL.u2f): `flags` say whether somebody touched it."""

    name = "sk-ssh-ed25519@openssh.com"

    def __init__(self, flags, application="ssh:", signs_for=None, seed=None):
        self.flags, self.signs_for = flags, signs_for or application
        self.secret = ed25519.Ed25519PrivateKey.from_private_bytes(seed or bytes(range(32)))
        public = self.secret.public_key().public_bytes(*RAW)
        self.blob = string(self.name) + string(public) + string(application)

    def sign(self, data):
        digest = lambda data: hashlib.sha256(data).digest()
        counted = byte(self.flags) + u32(7)
        signed = digest(self.signs_for.encode()) + counted + digest(data)
        return string(self.name) + string(self.secret.sign(signed)) + counted


# ---- tables


class Log:
    """The audit log, read as it grows."""

    def __init__(self, path):
        self.path, self.at = path, os.path.getsize(path)

    def more(self):
        with open(self.path, "rb") as file:
            file.seek(self.at)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.at += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line]

    def of_one(self):
        """What it says of connections until each that began has ended."""
        events, begun = [], time.monotonic()
        while True:
            events += self.more()
            count = lambda what: sum(event["event"] == what for event in events)
            if count("connect") and count("connect") == count("end"):
                return events
            if time.monotonic() - begun > 15:
                raise AssertionError("the connection does not end: " + json.dumps(events))
            time.sleep(0.005)


def says(events):
    """What the log says happened, in short: events but for beginnings, each kind once, with its reason."""
    short = []
    for event in events:
        if event["event"] in ("connect", "turned-away"):
            continue
        said = [event["event"], event.get("what", ""), event.get("reason", "")]
        text = " ".join(word for word in said if word)
        if text not in ("end client-ended", "end", "end not-logged-in") and text not in short:
            short.append(text)
    return short


def table(log, cases):
    """Runs cases; whether all are as said. A case whose log is None may leave anything but a login or a channel."""
    log, wrong = Log(log), 0
    for name, sees, logged, act in cases:
        client = Client()
        try:
            saw = act(client)
        except Cut:
            saw = "cut"
        except AssertionError as why:
            saw = f"{why}"
        client.close()
        events = log.of_one()
        wrote = says(events)
        fine = saw == sees
        if logged is None:
            fine = fine and not any(word.split(" ")[0] in ("login", "open", "close") for word in wrote)
        else:
            fine = fine and wrote == logged
        print(f"{name}: {saw}; {', '.join(wrote)}" + ("" if fine else f" WRONG, wanted: {sees}; {logged}"))
        wrong += not fine
    print(f"{len(cases)} cases")
    sys.exit(1 if wrong else 0)
