"""Connections that come and go: each exchanges keys, logs in, opens a destination, hears its first words and leaves. The
destination is here too, at 10.0.2.11:7001: an sshd would cost more than what is looked at.

Arguments: Ana's key, how many, how many processes at a time share them.
"""
import os
import signal
import socket
import sys

from wire import *

ana = Key.read(sys.argv[1])
count, processes = int(sys.argv[2]), int(sys.argv[3])


def some(number):
    for at in range(number, count, processes):
        client = Client().login(ana)
        # Every fourth ends without a word, as clients do that are killed.
        if at % 4:
            assert isinstance(client.opened("10.0.2.11", 7001), int)
            assert client.read() == b"hello"
        client.close()


listener = socket.create_server(("10.0.2.11", 7001), backlog=256)
greeter = os.fork()
if greeter == 0:
    while True:
        client, _ = listener.accept()
        client.sendall(b"hello")
        client.close()

children = []
for number in range(processes):
    child = os.fork()
    if child == 0:
        some(number)
        os._exit(0)
    children.append(child)
ended = [os.waitpid(child, 0)[1] for child in children]
os.kill(greeter, signal.SIGKILL)
os.waitpid(greeter, 0)
sys.exit(any(ended))
