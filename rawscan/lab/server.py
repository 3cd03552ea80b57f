"""The lab's `monitor` service: listens on TCP and UDP inside a host's namespace, nowhere else.

Run as `python -m rawscan.lab.server PORT ADDRESS...`. Writes "ready" once it listens, answers every
datagram (an empty one too), greets every connection, and ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
from collections.abc import Callable

GREETING = b"rawscan lab: nothing to monitor\n"


def listen(addresses: list[str], port: int) -> selectors.BaseSelector:
    """Open a TCP and a UDP socket for each address; each key's data is what serves it."""
    selector = selectors.DefaultSelector()
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        tcp = socket.create_server((address, port), family=family, backlog=128)
        udp = socket.socket(family, socket.SOCK_DGRAM)
        # Bound to the one address, so that an answer leaves from where the question went.
        udp.bind((address, port))
        serve: dict[socket.socket, Callable[[socket.socket], None]] = {tcp: greet, udp: answer}
        for sock, service in serve.items():
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, service)
    return selector


def greet(listener: socket.socket) -> None:
    """Take one connection, say who is there and hang up."""
    with contextlib.suppress(OSError):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(GREETING)


def answer(sock: socket.socket) -> None:
    """Answer one datagram, whatever is in it."""
    with contextlib.suppress(OSError):
        _, peer = sock.recvfrom(65535)
        sock.sendto(GREETING, peer)


def main() -> None:
    """Serve until standard input ends, which it does when whoever started this is gone."""
    selector = listen(sys.argv[2:], int(sys.argv[1]))
    selector.register(sys.stdin, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                key.data(key.fileobj)
            elif not os.read(key.fd, 1024):
                return


if __name__ == "__main__":
    main()
