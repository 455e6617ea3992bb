"""What is wrong below the login: the key exchange, its order, lengths, what is offered (RFC 4253; strict key exchange as
OpenSSH's PROTOCOL, 1.10, says it).

Arguments: the audit log, Ana's key.
"""
import sys
import time

from wire import *

LOG, ANA = sys.argv[1:3]
ana = Key.read(ANA)
LOGIN = ["login"]
NOTHING = byte(IGNORE) + string(b"")


def offers(**names):
    """What comes of an offer: what was agreed on, or a cut."""

    def act(client):
        client.shake(**names)
        return client.service() and client.prove(ana)

    return act


def first(*payloads):
    """Packets before KEXINIT."""

    def act(client):
        client.hello()
        client.send(*payloads)
        client.exchange()
        return client.service().prove(ana)

    return act


def between(*payloads, strict=True):
    """Packets after KEXINIT, before the exchange ends: what Terrapin puts there."""

    def act(client):
        client.hello()
        client.exchange(client.kexinit(strict=strict), between=payloads)
        return client.service().prove(ana)

    return act


def last(payload):
    """A packet right before NEWKEYS."""

    def act(client):
        client.hello()
        send = client.send
        client.send = lambda *all: [send(payload) if one == byte(NEWKEYS) else None for one in all] and send(*all)
        client.exchange()
        return client.service().prove(ana)

    return act


def guessed(kex, wrong):
    """`first_kex_packet_follows`: a guess, which is not to be looked at where it is wrong (RFC 4253, 7)."""

    def act(client):
        client.hello()
        ours = client.kexinit(kex=kex, guess=1)
        client.send(ours, *([byte(KEX_INIT) + string(b"\x55" * 1_216)] if wrong else []))
        theirs = client.wait(KEXINIT)
        client.finish(ours, theirs)
        return client.service().prove(ana)

    return act


def point(data):
    """A public key that is none."""

    def act(client):
        client.hello()
        client.send(client.kexinit(), byte(KEX_INIT) + string(data))
        client.wait(KEX_REPLY)
        return "a reply"

    return act


def plain(data):
    """Bytes in place of a packet."""

    def act(client):
        client.hello()
        client.raw(data)
        client.wait(KEXINIT)
        client.receive()
        return "an answer"

    return act


def secret(data=None, spoil=None):
    """Bytes after the key exchange, or a packet that was changed on its way."""

    def act(client):
        client.shake()
        if spoil is not None:
            data_ = bytearray(client.packet(byte(SERVICE_REQUEST) + string("ssh-userauth")))
            data_[spoil] ^= 1
            client.raw(bytes(data_))
        else:
            client.raw(data)
        # What a length promises has to come before it can be found to be wrong.
        client.raw(bytes(300_000))
        client.receive()
        return "an answer"

    return act


def padded(pad, total):
    """A packet whose padding is not as it may be."""

    def act(client):
        client.hello()
        client.raw(u32(total) + byte(pad) + bytes(total - 1))
        client.wait(KEXINIT)
        client.receive()
        return "an answer"

    return act


def flood(count, again):
    """KEXINIT after KEXINIT, or whatever, before anything was agreed."""

    def act(client):
        client.hello()
        ours = client.kexinit()
        client.send(*[ours] * count) if again else client.send(ours, *[NOTHING] * count)
        client.wait(KEXINIT)
        client.receive()
        return "an answer"

    return act


def storm(count, logged_in):
    """New keys as often as somebody likes: all that comes of it is new keys, and what is open goes on."""

    def act(client):
        client.shake()
        client.service()
        if logged_in:
            assert client.prove(ana) == "success"
            number = client.opened()
            assert client.read().startswith(b"SSH-2.0")
        for _ in range(count):
            client.exchange()
        if logged_in:
            client.data(number, b"SSH-2.0-wire\r\n")
            return "goes on" if len(client.read()) > 100 else "says nothing"
        return client.prove(ana)

    return act


def half_an_exchange(client):
    """A key exchange begun by somebody logged in, and never ended: data is not taken meanwhile."""
    client.login(ana)
    number = client.opened()
    client.send(client.kexinit())
    client.send(*[byte(DATA) + u32(number) + string(b"x" * 1_000)] * 50)
    client.wait(KEXINIT)
    client.send(*[byte(DATA) + u32(number) + string(b"x" * 1_000)] * 50)
    client.receive()
    return "an answer"


def lines(text, count=1):
    def act(client):
        client.raw(text * count)
        client.hello(b"SSH-2.0-after")
        client.exchange()
        return "goes on"

    return act


def unknown(client):
    """A message that nobody knows (RFC 4253, 11.4), before the login and after it: nothing comes of it but, perhaps, that."""
    client.shake().service()
    client.send(byte(192), byte(255) + b"x", byte(9))
    assert client.prove(ana) == "success"
    client.send(byte(192), byte(255) + b"x", byte(9))
    return client.opened("10.0.2.11")


def negotiated(client):
    client.shake(compression="zlib@openssh.com,zlib,none", cipher="none," + CIPHER, mac="none,hmac-sha2-256")
    names = client.names
    bad = [name for name in sum(names, []) if name == "none" or "zlib" in name or "sha1" in name or "cbc" in name or "nist" in name]
    assert bad == ["none", "none"] and names[6] == names[7] == ["none"], bad
    return client.service().prove(ana)


FAR = "cut"
CASES = [
    ("what is usual", "success", LOGIN, offers()),
    ("no strict exchange", "success", LOGIN, offers(strict=False)),
    ("compression and nothing, offered beside what is usual", "success", LOGIN, negotiated),
    ("compression alone", FAR, None, offers(compression="zlib@openssh.com,zlib")),
    ("no cipher", FAR, None, offers(cipher="none")),
    ("no cipher at all", FAR, None, offers(cipher="")),
    ("cbc", FAR, None, offers(cipher="aes256-cbc,3des-cbc,arcfour")),
    ("ctr without a mac", FAR, None, offers(cipher="aes256-ctr", mac="none")),
    ("ctr with sha1", FAR, None, offers(cipher="aes256-ctr", mac="hmac-sha1,hmac-md5")),
    ("ctr with a mac before encryption", FAR, None, offers(cipher="aes256-ctr", mac="hmac-sha2-256")),
    ("no key exchange", FAR, None, offers(kex="none")),
    ("key exchange of 1024 bits", FAR, None, offers(kex="diffie-hellman-group1-sha1")),
    ("key exchange with sha1", FAR, None, offers(kex="diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1")),
    ("key exchange on nist curves", FAR, None, offers(kex="ecdh-sha2-nistp256")),
    ("a host key of sha1", FAR, None, offers(key="ssh-rsa,ssh-dss")),
    ("a certified host key", FAR, None, offers(key="ssh-ed25519-cert-v01@openssh.com")),
    ("IGNORE before KEXINIT, strict", FAR, None, first(NOTHING)),
    ("IGNORE after KEXINIT, strict", FAR, None, between(NOTHING)),
    ("DEBUG after KEXINIT, strict", FAR, None, between(byte(DEBUG) + byte(0) + string("x") + string(""))),
    ("UNIMPLEMENTED after KEXINIT, strict", FAR, None, between(byte(UNIMPLEMENTED) + u32(0))),
    ("EXT_INFO after KEXINIT, strict", FAR, None, between(byte(EXT_INFO) + u32(0))),
    ("a message that nobody knows after KEXINIT, strict", FAR, None, between(byte(192))),
    ("IGNORE before NEWKEYS, strict", FAR, None, last(NOTHING)),
    ("UNIMPLEMENTED before NEWKEYS, strict", FAR, None, last(byte(UNIMPLEMENTED) + u32(0))),
    ("NEWKEYS twice", FAR, None, last(byte(NEWKEYS))),
    ("NEWKEYS first", FAR, None, first(byte(NEWKEYS))),
    (
        "a login before the keys",
        FAR,
        None,
        between(byte(USERAUTH_REQUEST) + string("ana") + string("ssh-connection") + string("none")),
    ),
    ("SUCCESS before the keys", FAR, None, between(byte(USERAUTH_SUCCESS))),
    ("a guess that is wrong", "success", LOGIN, guessed("curve25519-sha256", True)),
    ("a wrong guess among more", "success", LOGIN, guessed("curve25519-sha256@libssh.org,curve25519-sha256", True)),
    # What is sent next counts as the guess: the exchange never goes on.
    ("a wrong guess that does not follow", FAR, ["end login-grace-time"], guessed("curve25519-sha256", False)),
    ("a point of order one", FAR, None, point(bytes(32))),
    ("a point of low order", FAR, None, point(b"\x01" + bytes(31))),
    ("a point too short", FAR, None, point(bytes(31))),
    ("a point too long", FAR, None, point(b"\x09" * 100_000)),
    ("no point", FAR, None, point(b"")),
    ("a length of 0", FAR, None, plain(bytes(64))),
    ("a length of 1", FAR, None, plain(u32(1) + bytes(64))),
    ("a length of 2^32-1", FAR, None, plain(u32(2**32 - 1) + bytes(64))),
    ("a length of 2^31", FAR, None, plain(u32(2**31) + bytes(64))),
    ("a length of 1 MiB", FAR, None, plain(u32(1 << 20) + bytes(1 << 20))),
    ("padding longer than its packet", FAR, None, padded(255, 12)),
    ("all of it padding", FAR, None, padded(11, 12)),
    ("no padding", FAR, None, padded(0, 12)),
    ("after the keys, a length of 0", FAR, None, secret(bytes(4))),
    ("after the keys, a length of 2^32-1", FAR, None, secret(u32(2**32 - 1))),
    ("after the keys, a length that is no block", FAR, None, secret(u32(17) + bytes(33))),
    ("after the keys, a bit of the length", FAR, None, secret(spoil=3)),
    ("after the keys, a bit of the text", FAR, None, secret(spoil=7)),
    ("after the keys, a bit of the tag", FAR, None, secret(spoil=-1)),
    ("10,000 KEXINIT", FAR, None, flood(10_000, True)),
    ("10,000 IGNORE during the exchange", FAR, None, flood(10_000, False)),
    ("new keys 100 times before the login", "success", LOGIN, storm(100, False)),
    ("new keys 300 times, with a channel", "goes on", ["login", "open", "close connection-ended"], storm(300, True)),
    ("half an exchange, and data", FAR, ["login", "open", "close connection-ended"], half_an_exchange),
    ("a line before the version", FAR, None, lines(b"hello\r\n")),
    ("lines without end before the version", FAR, None, lines(b"hello\r\n", 20_000)),
    ("a line without end", FAR, None, lines(b"hello", 20_000)),
    ("an old version", FAR, None, lines(b"SSH-1.5-x\r\n")),
    ("messages that nobody knows", "refused 1", ["login", "open-refused not-allowed"], unknown),
]

table(LOG, CASES)
