"""How fast probes leave: rawscan's fast links beside masscan and zmap, into one veth pair.

Makes a network namespace of its own and sends only there. Every sender runs alone, pinned to one
core, and is killed when it has been measured; the rate is that of the frames which arrive at the
other end, counted by the kernel from another core. The frames bear a MAC address that is not the
sink's, so the sink's kernel drops them at once and the sender is what is measured. Runs alternate,
A B C D A B C D ...: on a shared machine only the ratios within one round mean something. Where
other programs compete for the core, frames per second of its time say more than frames per second.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawscan.errors import RawscanError
from rawscan.lab.tools import may_make_namespaces, search_path
from rawscan.net.framesender import FrameSender
from rawscan.net.xdp import XdpSender

ROUNDS = 5
WARM_FRAMES, WINDOW_S, START_S = 100_000, 1.5, 10.0
SOURCE, TARGETS, GATEWAY = "10.98.0.1", "11.0.0.0/8", "02:00:00:00:00:99"
FRAME_BYTES = 58  # Ethernet, IPv4, TCP with the MSS option

SENDERS: dict[str, Callable[[int, int], FrameSender | XdpSender]] = {
    "packet": lambda batch, stride: FrameSender("left", batch, stride),
    "packet-bypass": lambda batch, stride: FrameSender("left", batch, stride, bypass_qdisc=True),
    "xdp": lambda batch, stride: XdpSender("left", batch, stride),
}
PEERS = {
    "masscan": [
        "masscan", TARGETS, "-p561", "--rate", "10000000", "--wait", "0", "-e", "left",
        "--adapter-ip", SOURCE, "--adapter-mac", "02:00:00:00:00:01", "--router-mac", GATEWAY,
        "-oL", "/dev/null",
    ],
    "zmap -T1": [
        "zmap", TARGETS, "-T1", "-p561", "--rate", "0", "-i", "left", "-S", SOURCE, "-G", GATEWAY,
        "-b", "/dev/null", "-o", "/dev/null", "-q", "--log-file=/dev/null",
    ],
}  # fmt: skip


def template() -> bytes:
    """A SYN probe to 0.0.0.0 whose checksum fields are zero."""
    ethernet = bytes.fromhex(GATEWAY.replace(":", "")) + bytes(6) + b"\x08\x00"
    source = socket.inet_aton(SOURCE)
    ip = struct.pack("!BBHHHBBH4s4x", 0x45, 0, 44, 0, 0, 64, 6, 0, source)
    tcp = struct.pack("!HHIIBBHHH", 40000, 561, 0, 0, 0x60, 2, 1024, 0, 0)
    return ethernet + ip + tcp + b"\x02\x04\x05\xb4"


def words(data: bytes) -> int:
    """Sum of 16-bit words (RFC 1071)."""
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def folded(sums: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The checksums of sums, as the bytes that go into a frame."""
    for _ in range(2):
        sums = (sums & np.uint64(0xFFFF)) + (sums >> np.uint64(16))
    return (sums ^ np.uint64(0xFFFF)).astype(">u2").view(np.uint8).reshape(-1, 2)


def send(link: str, batch: int, stride: int) -> None:
    """Send SYN probes to one address after the other, as a scan would, until killed."""
    frame = template()
    ip_sum = np.uint64(words(frame[14:34]))
    tcp_sum = np.uint64(words(frame[34:]) + words(frame[26:34]) + 6 + 24)
    sender = SENDERS[link](batch, stride)
    sender.buffer[:, :FRAME_BYTES] = np.frombuffer(frame, np.uint8)
    low = np.uint64(0xFFFF)
    address = np.uint64(11 << 24) + np.arange(batch, dtype=np.uint64)
    while True:
        sequence = address * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
        half = (address >> np.uint64(16)) + (address & low)
        sender.buffer[:, 24:26] = folded(ip_sum + half)
        sender.buffer[:, 30:34] = address.astype(">u4").view(np.uint8).reshape(-1, 4)
        sender.buffer[:, 38:42] = sequence.astype(">u4").view(np.uint8).reshape(-1, 4)
        sums = tcp_sum + half + (sequence >> np.uint64(16)) + (sequence & low)
        sender.buffer[:, 50:52] = folded(sums)
        sender.send(batch, FRAME_BYTES)
        address += np.uint64(batch)


def arrived() -> int:
    """How many frames have come to the sink; /proc/net/dev is this namespace's."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "right":
            return int(counters.split()[1])
    raise RuntimeError("there is no interface 'right'")


def core_s(pid: int) -> float:
    """Seconds of a core that a process has used, all its threads together (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rates(command: list[str]) -> tuple[float, float] | str:
    """Frames a second, and a second of the core, while `command` sends; or what it complains of."""
    before = arrived()
    pinned = ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(pinned, stderr=subprocess.PIPE, **options) as process:
        try:
            give_up_s = time.monotonic() + START_S
            while arrived() - before < WARM_FRAMES:
                if process.poll() is not None or time.monotonic() > give_up_s:
                    process.kill()
                    _, said = process.communicate()
                    lines: list[str] = said.decode().strip().splitlines()
                    return lines[-1] if lines else "it sent nothing"
                time.sleep(0.01)
            started, started_s, used_s = arrived(), time.perf_counter(), core_s(process.pid)
            time.sleep(WINDOW_S)
            count, elapsed_s = arrived() - started, time.perf_counter() - started_s
            return count / elapsed_s, count / max(core_s(process.pid) - used_s, 0.01)
        finally:
            process.kill()


def measure(rounds: int, variants: list[str]) -> None:
    """Print the table."""
    commands: dict[str, list[str]] = {}
    for variant in variants:
        if variant in PEERS:
            commands[variant] = PEERS[variant]
        else:
            link, batch, stride = variant.split("/")
            commands[variant] = [sys.executable, __file__, "--send", link, batch, stride]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    troubles: dict[str, str] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            if shutil.which(command[0], path=search_path()) is None:
                troubles[name] = "is missing"
                continue
            run = rates(command)
            if isinstance(run, str):
                troubles[name] = run
            else:
                found[name].append(run)
    against = " | ".join(f"x {peer}" for peer in PEERS)
    print(f"| sender | kpps | {against} | thousand a core-second | {against} |")
    print("|---" * (4 + 2 * len(PEERS) - 1) + "|")
    for name in commands:
        print(f"| {name} | {troubles.get(name) or ' | '.join(cells(found, name))} |")


def cells(found: dict[str, list[tuple[float, float]]], name: str) -> list[str]:
    """Medians of one sender's rounds, and of its ratios to each peer in the same round."""
    line = []
    for which in range(2):
        mine = [run[which] for run in found[name]]
        line.append(f"{median(mine) / 1e3:.0f} ({min(mine) / 1e3:.0f}-{max(mine) / 1e3:.0f})")
        for peer in PEERS:
            theirs = [run[which] for run in found.get(peer, [])]
            same = len(theirs) == len(mine)
            ratios = [a / b for a, b in zip(mine, theirs, strict=True)] if same else []
            line.append(f"{median(ratios):.2f}" if ratios else "-")
    return line


def enter_namespace(arguments: list[str]) -> None:
    """Begin again in a namespace that has nothing but a veth pair."""
    user = [] if may_make_namespaces() else ["--user", "--map-root-user"]
    wire = (
        "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 && "
        "ip link add left address 02:00:00:00:00:01 type veth peer name right && "
        f"ip addr add {SOURCE}/24 dev left && ip link set left up && ip link set right up && "
        'exec "$@"'
    )
    environment = {**os.environ, "PATH": search_path(), "INSIDE_NAMESPACE": "1"}
    command = ["unshare", *user, "--net", "--", "sh", "-c", wire, "sh"]
    os.execvpe("unshare", [*command, sys.executable, __file__, *arguments], environment)


def main() -> None:
    """Measure, or be what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--send", nargs=3, metavar=("LINK", "BATCH", "STRIDE"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("variants", nargs="*", help="packet/BATCH/STRIDE, xdp/..., masscan, ...")
    parsed = parser.parse_args()
    if "INSIDE_NAMESPACE" not in os.environ:
        enter_namespace(sys.argv[1:])
    names = {name for _, name in socket.if_nameindex()}
    if names != {"lo", "left", "right"}:
        sys.exit(f"not in a namespace of its own: {sorted(names)}")
    if parsed.send:
        link, batch, stride = parsed.send
        try:
            send(link, int(batch), int(stride))
        except RawscanError as error:
            sys.exit(str(error))
    measure(parsed.rounds, parsed.variants or ["packet/1024/128", "xdp/1024/128", *PEERS])


if __name__ == "__main__":
    main()
