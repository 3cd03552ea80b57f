"""What the scanner's kernel hears, told by plain sockets: independent of anything in rawscan.

Runs inside the lab's scanner namespace. `verdicts` reads [[address, port, "tcp"|"udp"], ...] as
JSON and writes what each answered: "connected", "data", "refused" (a RST), "silence", or ICMP as
[type, code, sender]. `count ADDRESS PORT N` sends N datagrams and writes how many ICMP errors came
back. `checksum ADDRESS PORT` writes the TCP checksum over a SYN+ACK from there: 0 if it is right.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import struct
import sys
import time
from ipaddress import ip_address

Answer = str | tuple[int, int, str]
RECVERR = {socket.AF_INET: (socket.SOL_IP, 11), socket.AF_INET6: (41, 25)}  # linux/in.h, in6.h
ROUNDS, ROUND_S = 9, 0.5


def ask(address: str, port: int, protocol: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family, kind)
    sock.setsockopt(*RECVERR[family], 1)
    sock.setblocking(False)
    sock.connect_ex((address, port))
    if protocol == "udp":
        sock.send(b"")
    return sock


def icmp_error(sock: socket.socket) -> Answer | None:
    """One ICMP error from the socket's error queue (struct sock_extended_err, then who sent it)."""
    try:
        _, ancillary, _, _ = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
    except BlockingIOError:
        return None
    data = ancillary[0][2]
    _, _, kind, code = struct.unpack_from("IBBB", data)
    sender = data[20:24] if sock.family == socket.AF_INET else data[24:40]
    return kind, code, str(ip_address(sender))


def hear(sock: socket.socket) -> Answer:
    """What a socket that is ready has to say."""
    said = icmp_error(sock)
    if said is not None:
        return said
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error == errno.ECONNREFUSED:
        return "refused"
    if error:
        return errno.errorcode[error]
    if sock.type == socket.SOCK_STREAM:
        return "connected"
    sock.recv(2048)
    return "data"


def verdicts(questions: list[tuple[str, int, str]]) -> list[Answer]:
    """Ask each until it answers; the silent ones again and again, so that loss does not matter."""
    answers: dict[int, Answer] = {}
    asked: dict[int, tuple[int, socket.socket]] = {}
    poller = select.poll()
    for _ in range(ROUNDS):
        for number, question in enumerate(questions):
            if number not in answers:
                sock = ask(*question)
                asked[sock.fileno()] = number, sock
                events = select.POLLOUT if question[2] == "tcp" else select.POLLIN
                poller.register(sock, events)
        end = time.monotonic() + ROUND_S
        while (left := end - time.monotonic()) > 0 and len(answers) < len(questions):
            for fd, _ in poller.poll(left * 1000):
                number, sock = asked[fd]
                answers.setdefault(number, hear(sock))
                poller.unregister(fd)
    return [answers.get(number, "silence") for number in range(len(questions))]


def count(address: str, port: int, datagrams: int) -> int:
    """Send from many sockets, as one socket's error queue is short."""
    errors = 0
    for start in range(0, datagrams, 20):
        sock = ask(address, port, "udp")
        for _ in range(min(20, datagrams - start) - 1):
            time.sleep(0.001)
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # an error would stop the next
            sock.send(b"")
        time.sleep(0.02)
        while icmp_error(sock) is not None:
            errors += 1
        sock.close()
    return errors


def checksum(address: str, port: int) -> int:
    """Sum over pseudo header and segment (RFC 9293, section 3.1): 0xffff when it is right."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.settimeout(2)
        with ask(address, port, "tcp"):
            packet = raw.recv(2048)
    segment = packet[(packet[0] & 15) * 4 :]
    pseudo = packet[12:20] + struct.pack("!HH", 6, len(segment))
    data = pseudo + segment + b"\0" * (len(segment) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def main() -> None:
    mode, *rest = sys.argv[1:]
    if mode == "verdicts":
        print(json.dumps(verdicts([tuple(question) for question in json.load(sys.stdin)])))
    elif mode == "count":
        print(count(rest[0], int(rest[1]), int(rest[2])))
    else:
        print(checksum(rest[0], int(rest[1])))


if __name__ == "__main__":
    main()
