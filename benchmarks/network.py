"""The networks that are measured in: namespaces of our own, which nothing leaves.

`enter` begins the program again inside a fresh one. Everything here refuses to run elsewhere.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rawscan.lab.tools import may_make_namespaces, search_path

SOURCE, FAR_END = "10.98.0.1", "10.98.0.2"
SOURCE_MAC, FAR_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
NOBODY_MAC = "02:00:00:00:00:99"
BEHIND = "10.99.0.0/16"
"""Routed to the far end, which answers for all of it."""

_INSIDE = "RAWSCAN_BENCH_INSIDE"
_START = """
mount -t tmpfs tmpfs /run && mkdir /run/netns
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
exec "$@"
"""
_FAR = f"""
ip link set lo up
ip addr add {FAR_END}/24 dev right
ip link set right up
ip route add local {BEHIND} dev lo
"""
_LOSE = """table ip lose {{
 chain in {{ type filter hook prerouting priority -300
  ip daddr {behind} {which} drop
 }}
 chain out {{ type filter hook output priority -300
  ip saddr {behind} {which} drop
 }}
}}
"""
_HOST = """
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
ip link add eth0 type veth peer name {port} netns {pid}
ip addr add {address}/16 dev eth0
ip link set eth0 up
"""


def enter(module: str, arguments: Sequence[str]) -> None:
    """Begin again in network and mount namespaces with nothing but loopback; once there, return.

    /run is a private one, so that `ip netns` names are seen here only.
    """
    if _INSIDE in os.environ:
        require_apart({"lo"})
        return
    users = [] if may_make_namespaces() else ["--user", "--map-root-user"]
    command = ["unshare", *users, "--net", "--mount", "--", "sh", "-ec", _START, "sh"]
    environment = {**os.environ, "PATH": search_path(), _INSIDE: "1"}
    os.execvpe("unshare", [*command, sys.executable, "-m", module, *arguments], environment)


def require_apart(interfaces: set[str]) -> None:
    """End the program unless exactly these interfaces are there: the host's would be more."""
    there = {name for _, name in socket.if_nameindex()}
    if there != interfaces:
        sys.exit(f"not in a network namespace of its own: {sorted(there)}")


@dataclass(frozen=True, slots=True)
class Wire:
    """A veth pair that is up: `left` is ours, `right` lies with the far end, a Linux as it comes.

    `far_pid` is a process that lives there.
    """

    far_pid: int

    @property
    def at_far(self) -> list[str]:
        """What goes before a command that is to run at the far end."""
        return ["nsenter", f"--net=/proc/{self.far_pid}/ns/net", "--"]

    def arrived(self) -> int:
        """How many frames have come to the far end."""
        for line in Path(f"/proc/{self.far_pid}/net/dev").read_text().splitlines():
            name, _, counters = line.partition(":")
            if name.strip() == "right":
                return int(counters.split()[1])
        raise RuntimeError("there is no interface 'right'")

    def lose(self, percent: int) -> None:
        """Lose so much of what goes to and of what comes from `BEHIND`; 100 is silence."""
        which = "" if percent == 100 else f"numgen random mod 100 < {percent}"
        rules = _LOSE.format(behind=BEHIND, which=which) if percent else ""
        command = [*self.at_far, "nft", "-f", "-"]
        subprocess.run(command, input=f"flush ruleset\n{rules}", text=True, check=True)

    @contextmanager
    def murmur(self) -> Iterator[None]:
        """Ten broadcast datagrams a second from the far end, that nobody answers."""
        script = (
            "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
            "while True: s.sendto(b'', ('10.98.0.255', 9)); time.sleep(0.1)"
        )
        process = subprocess.Popen([*self.at_far, sys.executable, "-Sc", script])
        try:
            yield
        finally:
            process.kill()
            process.wait()


@contextmanager
def wire() -> Iterator[Wire]:
    """Build the veth pair and the far end, and take them down."""
    require_apart({"lo"})
    hold = ["unshare", "--net", "sh", "-c", "echo; exec cat"]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as far:
        assert far.stdout is not None
        far.stdout.readline()  # it is in its namespace now
        built = Wire(far.pid)
        try:
            _ip(
                f"link add left address {SOURCE_MAC} type veth"
                f" peer name right address {FAR_MAC} netns {far.pid}",
                f"addr add {SOURCE}/24 dev left",
                "link set left up",
            )
            subprocess.run([*built.at_far, "sh", "-ec", _FAR], check=True)
            _ip(f"route add default via {FAR_END}")
            yield built
        finally:
            _ip("link del left")
            far.kill()


@contextmanager
def hosts(count: int) -> Iterator[list[str]]:
    """So many Linux hosts on one bridge, a namespace each, with limits of their own; addresses."""
    require_apart({"lo"})
    addresses = [f"10.97.{1 + i // 250}.{1 + i % 250}" for i in range(count)]
    names = [f"host{i}" for i in range(count)]
    _ip(*(f"netns add {name}" for name in names))
    _ip("link add bridge type bridge", "addr add 10.97.0.1/16 dev bridge", "link set bridge up")
    try:
        for name, address in zip(names, addresses, strict=True):
            script = _HOST.format(port=name, pid=os.getpid(), address=address)
            command = ["nsenter", f"--net=/run/netns/{name}", "--", "sh", "-ec", script]
            subprocess.run(command, check=True)
        _ip(*(f"link set {name} master bridge up" for name in names))
        yield addresses
    finally:
        _ip("link del bridge", *(f"link del {name}" for name in names))
        _ip(*(f"netns del {name}" for name in names))


def _ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)
