"""Clients whose destination takes nothing, with more on its way than is held for one connection: how long that lasts.

Arguments: the audit log, Ana's key.
"""
import socket
import sys
import threading
import time

from wire import *

LOG, ANA = sys.argv[1:3]
ana = Key.read(ANA)
listener = socket.create_server(("10.0.2.11", 7001))


def held_up():
    """Sends until nothing more is taken, and hears what is said meanwhile."""
    client = Client().login(ana)
    number = client.opened("10.0.2.11", 7001)
    client.socket.settimeout(5)
    sent = 0
    try:
        while True:
            client.data(number, bytes(32_768))
            sent += 32_768
            client.socket.setblocking(False)
            try:
                client.socket.recv(65_536)
            except BlockingIOError:
                pass
            client.socket.settimeout(5)
    except Cut:
        # Nothing is taken any more: that is what was wanted.
        pass
    return client, sent


def ends(number):
    """Seconds until the log has so many ends."""
    begun = time.monotonic()
    while open(LOG).read().count('"event":"end"') < number:
        assert time.monotonic() - begun < 400, "it does not end"
        time.sleep(0.2)
    return time.monotonic() - begun


client, sent = held_up()
print(f"a client that stays, {sent >> 20} MiB sent: ends after {ends(1):.0f} s")
client.close()
client, sent = held_up()
try:
    while client.socket.recv(65_536):
        pass
except OSError:
    pass
client.close()
print(f"a client that ends, {sent >> 20} MiB sent: ends after {ends(2):.0f} s")
