"""Every way in but a key of the policy, packet by packet (RFC 4252, RFC 8332, PROTOCOL.certkeys, PROTOCOL.u2f).

Arguments: the audit log, Ana's key, Luis' RSA key, the folder of the certificates.
"""
import os
import struct
import sys

from wire import *

LOG, ANA, LUIS, FOLDER = sys.argv[1:5]
ana, luis = Key.read(ANA), Key.read(LUIS, "rsa-sha2-512")
stranger, short = Key.new(), {bits: Key.rsa(bits) for bits in (1024, 2048)}
# C1, a right-to-left override, two ends of lines and DEL: what JSON leaves as it is.
OBEYED = "ana\x9b31m\u202e\x85\u2028\x7f"
KEYS_ALONE, NO = "login-refused keys-alone", "failure publickey"
NOT_THERE, KIND = "login-refused key-not-authorized", "login-refused key-kind-not-accepted"
TOUCH, CERTIFICATE = "login-refused security-key-touch-cannot-be-enforced", "login-refused certificates-are-not-accepted"
OTHER_USER = ["login-refused another-user-than-before", "end another-user-than-before"]


def ready(client, **names):
    return client.shake(**names).service()


def asks(method, rest=b"", **who):
    return lambda client: ready(client).ask(method, rest, **who)


def proves(key, **lies):
    return lambda client: ready(client).prove(key, **lies)


def sha1_by_another_name(name, called):
    """A signature by SHA-1 that is called otherwise, in the request or in itself."""

    def act(client):
        ready(client)
        rest = byte(1) + string(name) + string(luis.blob)
        request = byte(USERAUTH_REQUEST) + string("luis") + string("ssh-connection") + string("publickey") + rest
        signature = luis.sign(string(client.session) + request, called, "ssh-rsa")
        client.send(request + string(signature))
        return client.answer()

    return act


def pk_ok_then(other):
    """A key is accepted when it is offered, and another one signs."""

    def act(client):
        assert ready(client).offer(ana) == "pk-ok"
        return other(client)

    return act


def users_change(first, then):
    def act(client):
        ready(client)
        first(client)
        return then(client)

    return act


def certificate(name, key=ana):
    """A certificate of a file beside the keys, with its owner's true signature."""

    def act(client):
        import base64

        with open(os.path.join(FOLDER, name + "-cert.pub")) as file:
            kind, text = file.read().split(" ")[:2]
        return ready(client).prove(key, name=kind, blob=base64.b64decode(text))

    return act


def nested(client):
    """A certificate whose authority is a certificate."""
    kind = "ssh-ed25519-cert-v01@openssh.com"
    public = Reader(ana.blob)
    public.string()

    def made(authority, signer):
        body = string(kind) + string(os.urandom(32)) + string(public_key) + struct.pack(">QI", 1, 1) + string("ana")
        body += string(string("ana")) + struct.pack(">QQ", 0, 2**64 - 1) + string(b"") * 3 + string(authority)
        return body + string(signer.sign(body))

    public_key = public.string()
    inner = made(stranger.blob, stranger)
    return ready(client).prove(ana, name=kind, blob=made(inner, ana))


def dsa():
    """A DSA key; there is no more of it than its name and four numbers."""
    numbers = [b"\x7f" * 128, b"\x7f" * 20, b"\x05", b"\x07"]
    return string("ssh-dss") + b"".join(map(string, numbers))


def no_service(client):
    """Who asks to be let in before asking for the service is not heard."""
    client.shake()
    client.send(byte(USERAUTH_REQUEST) + string("ana") + string("ssh-connection") + string("none"))
    client.send(byte(SERVICE_REQUEST) + string("ssh-userauth"))
    return {SERVICE_ACCEPT: "nothing, then the service"}.get(client.receive()[0], "an answer")


def before_the_login(*payloads):
    def act(client):
        ready(client).send(*payloads)
        return client.ask("none")

    return act


def many(count, act, last="cut"):
    """The same again and again: how many were answered until it ended."""

    def all_of_them(client):
        ready(client)
        for done in range(count):
            try:
                act(client)
            except Cut:
                return f"cut after {done}"
        return "never cut"

    return all_of_them


def twice(client):
    """A second login after the first is passed over (RFC 4252, 5.1): the next answer is that of a channel."""
    assert ready(client).prove(ana) == "success"
    client.send(byte(USERAUTH_REQUEST) + string("luis") + string("ssh-connection") + string("none"))
    return client.opened("10.0.2.11")


def replayed(client):
    """A signature of another connection."""
    first = Client().shake()
    session = first.session
    first.close()
    return ready(client).prove(ana, session=session)


def in_(key, **who):
    def act(client):
        return ready(client).prove(key, **who)

    return act


INSTRUCTED = string("") + string("")
OPEN_BEFORE = byte(OPEN) + string("direct-tcpip") + u32(0) * 3 + string("10.0.2.9") + u32(22) + string("") + u32(0)

CASES = [
    ("none", NO, [], asks("none")),
    ("password", NO, [KEYS_ALONE], asks("password", byte(0) + string("its own"))),
    ("password, a new one too", NO, None, asks("password", byte(1) + string("its own") + string("new"))),
    ("password, empty", NO, [KEYS_ALONE], asks("password", byte(0) + string(""))),
    ("keyboard-interactive", NO, [KEYS_ALONE], asks("keyboard-interactive", INSTRUCTED)),
    (
        "an answer that nobody asked for",
        NO,
        [],
        lambda client: (ready(client).send(byte(61) + u32(1) + string("its own")), client.answer())[1],
    ),
    (
        "answers without end",
        NO,
        [],
        lambda client: (ready(client).send(byte(61) + u32(2**32 - 1)), client.answer())[1],
    ),
    (
        "hostbased",
        NO,
        [],
        asks("hostbased", string("ssh-ed25519") + string(ana.blob) + string("office") + string("root") + string(b"")),
    ),
    ("gssapi-with-mic", NO, [], asks("gssapi-with-mic", u32(1) + string(b"\x06\x09*\x86H\x86\xf7\x12\x01\x02\x02"))),
    ("gssapi-keyex", NO, [], asks("gssapi-keyex", string(b"x"))),
    ("a method that nobody knows", NO, [], asks("x" * 10_000)),
    ("another service", "cut", [], asks("none", service="ssh-userauth")),
    ("no service asked for", "nothing, then the service", [], no_service),
    ("a name that is no text", "cut", [], asks("none", user=b"\xff\xfe")),
    ("a name without end", NO, [], asks("none", user="a" * 200_000)),
    ("a user that would end the line", NO, [KEYS_ALONE], asks("password", byte(0) + string("x"), user='a"}\n{"event":"login"')),
    ("a user of NULs", NO, ["login-refused no-such-account"], proves(ana, user="ana\0")),
    ("a user in other letters", NO, ["login-refused no-such-account"], proves(ana, user="Ana")),
    ("a stranger's key", NO, [NOT_THERE], proves(stranger)),
    ("Ana's key for Luis", NO, [NOT_THERE], proves(ana, user="luis")),
    ("a signature of somebody else", NO, [], proves(ana, signer=stranger)),
    ("a signature of another connection", NO, [], replayed),
    ("no signature", "cut", [], proves(ana, signature=b"\0")),
    ("a signature of nothing", "cut", [], proves(ana, signature=string("ssh-ed25519") + string(b""))),
    ("PK_OK for one key, signed by another", NO, [NOT_THERE], pk_ok_then(lambda client: client.prove(stranger))),
    ("PK_OK for one key, its name signed by another", NO, [], pk_ok_then(lambda client: client.prove(ana, signer=stranger))),
    ("PK_OK for one user, signed for another", "cut", OTHER_USER, pk_ok_then(lambda client: client.prove(ana, user="luis"))),
    (
        "users that change after `none`",
        "cut",
        OTHER_USER,
        users_change(lambda client: client.ask("none", user="luis"), lambda client: client.prove(ana)),
    ),
    (
        "users that change after a password",
        "cut",
        [KEYS_ALONE, *OTHER_USER],
        users_change(
            lambda client: client.ask("password", byte(0) + string("x"), user="luis"), lambda client: client.prove(ana)
        ),
    ),
    ("RSA of 1024 bits", NO, ["login-refused rsa-key-too-short"], proves(short[1024], user="luis")),
    ("RSA of 2048 bits", NO, ["login-refused rsa-key-too-short"], proves(short[2048], user="luis")),
    ("RSA by SHA-1, as its name says", NO, [KIND], proves(luis, name="ssh-rsa", user="luis", signer=Key(luis.secret, "ssh-rsa"))),
    ("SHA-1 in a request of SHA-2-512", NO, [], sha1_by_another_name("rsa-sha2-512", "ssh-rsa")),
    ("SHA-1 called SHA-2-512", NO, [], sha1_by_another_name("rsa-sha2-512", "rsa-sha2-512")),
    ("SHA-1 called SHA-2-256", NO, [], sha1_by_another_name("rsa-sha2-256", "rsa-sha2-256")),
    ("DSA", NO, [], lambda client: ready(client).prove(ana, name="ssh-dss", blob=dsa())),
    ("a key whose name is another's", NO, [], lambda client: ready(client).prove(ana, name="ssh-rsa", blob=ana.blob)),
    (
        "a kind that nobody knows",
        "cut",
        [],
        lambda client: ready(client).prove(ana, name="ssh-ed25520", blob=string("ssh-ed25520")),
    ),
    ("a security key that nobody touched", NO, [TOUCH], proves(Touched(0))),
    ("a security key that somebody touched", NO, [TOUCH], proves(Touched(1))),
    ("a security key, touched and verified", NO, [TOUCH], proves(Touched(5))),
    ("a security key of another application", NO, [TOUCH], proves(Touched(1, "https://example.org"))),
    ("a security key that signs for another application", NO, [TOUCH], proves(Touched(1, signs_for="https://example.org"))),
    ("a certificate of nobody's authority", NO, [CERTIFICATE], certificate("user")),
    ("a certificate of a host", NO, [CERTIFICATE], certificate("host")),
    ("a certificate without names", NO, [CERTIFICATE], certificate("nameless")),
    ("a certificate with an option that nobody knows", NO, [CERTIFICATE], certificate("unknown")),
    ("a certificate for another address", NO, [CERTIFICATE], certificate("source")),
    ("a certificate with a command", NO, [CERTIFICATE], certificate("command")),
    ("a certificate that has ended", NO, [], certificate("ended")),
    ("a certificate that never ends", NO, [CERTIFICATE], certificate("forever")),
    ("a certificate of a certificate", NO, [], nested),
    ("a certificate of a key that is not let in", NO, [NOT_THERE], certificate("stranger", Key.read(FOLDER + "/stranger"))),
    ("a name that a terminal obeys", NO, [KEYS_ALONE], asks("password", byte(0) + string("x"), user=OBEYED)),
    ("a channel before the login", NO, [], before_the_login(OPEN_BEFORE)),
    (
        "a request before the login",
        NO,
        [],
        before_the_login(byte(GLOBAL_REQUEST) + string("tcpip-forward") + byte(1) + string("") + u32(0)),
    ),
    ("data before the login", NO, [], before_the_login(byte(DATA) + u32(0) + string("x"))),
    ("SUCCESS, said by the client", NO, [], before_the_login(byte(USERAUTH_SUCCESS))),
    ("passwords", "cut after 4", [KEYS_ALONE], many(50, lambda client: client.ask("password", byte(0) + string("x")))),
    ("keys offered", "cut after 4", [NOT_THERE], many(50, lambda client: client.offer(stranger))),
    (
        "one key offered and offered",
        "cut after 20",
        ["login-refused too-many-keys", "end too-many-keys"],
        many(50, lambda client: client.offer(ana)),
    ),
    ("Ana", "success", ["login"], in_(ana)),
    ("Luis, by RSA of 3072 bits", "success", ["login"], in_(luis, user="luis")),
    ("Ana, and then as somebody else", "refused 1", ["login", "open-refused not-allowed"], twice),
]

table(LOG, CASES)
