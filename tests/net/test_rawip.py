"""The raw IP link over real kernels, in namespaces of its own; its patience over fake sockets."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

import pytest

from rawscan.net.rawip import RawIpLink, _arrival_s
from tests.net.apart import run

OPEN = "from rawscan.net.rawip import RawIpLink\n"
BARE = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


@pytest.mark.netns
@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_loopback_answers(target: str) -> None:
    found = run(
        OPEN
        + f"""
link = RawIpLink()
before = time.time()
sent = [link.send(*probe({target!r}, kind)) for kind in (ProbeKind.SYN, ProbeKind.UDP)]
frames = wait(link, 4)
print(json.dumps({{
    "sent": [[f.linktype, f.original_bytes == len(f.data), before <= f.time_s] for f in sent],
    "seen": [str(decode_frame(f).body) for f in frames],
    "order": [f.time_s for f in frames] == sorted(f.time_s for f in frames),
    "times": [abs(f.time_s - time.time()) < 5 for f in frames],
    "types": sorted({{f.linktype for f in frames}}),
    "drops": link.drops()}}))
"""
    )
    assert found["sent"] == [[101, True, True]] * 2
    assert (found["types"], found["order"], found["drops"]) == ([101], True, 0)
    assert all(found["times"])
    # What arrives at loopback are the two probes themselves, and the kernel's two answers.
    assert len([body for body in found["seen"] if "RST|ACK" in body]) == 1
    assert len([body for body in found["seen"] if body.startswith("Icmp(")]) == 1
    assert len(found["seen"]) == 4


@pytest.mark.netns
def test_one_ip_version_alone() -> None:
    found = run(
        OPEN
        + """
link = RawIpLink(versions=(4,))
RawIpLink(versions=(6,)).send(*probe("::1", ProbeKind.UDP))  # what nobody listens for
link.send(*probe("127.0.0.1", ProbeKind.UDP))
print(json.dumps([str(decode_frame(frame).source) for frame in wait(link, 3)]))
"""
    )
    assert found == ["127.0.0.1"] * 2


@pytest.mark.netns
def test_what_leaves_is_not_taken_for_an_arrival() -> None:
    found = run(
        OPEN
        + """
device()
link, far_end = RawIpLink("d0"), RawIpLink("d1")
for ours, theirs in (("10.9.0.1", "10.9.0.7"), ("fd09::1", "fd09::7")):
    neighbour = f"neigh add {theirs} lladdr 02:00:00:00:00:07 dev d0"
    subprocess.run(["ip", *neighbour.split()], check=True)
    link.send(*probe(theirs, ProbeKind.UDP, ours))
probes = lambda frames: len([f for f in frames if "Udp" in str(decode_frame(f).body)])
print(json.dumps([probes(wait(far_end, 2)), probes(link.receive(0))]))
"""
    )
    assert found == [2, 0]


@pytest.mark.netns
def test_bound_to_an_interface_it_hears_no_other() -> None:
    found = run(
        OPEN
        + """
device()
bound, free = RawIpLink("d0"), RawIpLink()
free.send(*probe("127.0.0.1"))
heard = len(wait(free, 2))
print(json.dumps([heard, len(bound.receive(0))]))
"""
    )
    assert found == [2, 0]


@pytest.mark.netns
def test_refusals_are_named_and_leave_nothing_open() -> None:
    found = run(
        OPEN
        + """
count = lambda: len(os.listdir("/proc/self/fd"))
before = count()
errors = [error_of(RawIpLink, "no0")]
after_refusal = count()
link = RawIpLink()
errors += [error_of(link.send, *probe(t, source="127.0.0.1" if "." in t else "::1"))
           for t in ("192.0.2.1", "2001:db8::1")]
opened = count()
link.close()
print(json.dumps([errors, [n - before for n in (after_refusal, opened, count())]]))
"""
    )
    errors, counts = found
    assert [kind for kind, _ in errors] == ["LinkError"] * 3
    assert "interface 'no0'" in errors[0][1]
    assert "cannot send to 192.0.2.1: Network is unreachable" in errors[1][1]
    assert "cannot send to 2001:db8::1: Network is unreachable" in errors[2][1]
    assert counts[0] == counts[2] == 0
    assert counts[1] >= 4


@pytest.mark.netns
def test_no_privilege() -> None:
    code = OPEN + 'print(json.dumps([error_of(RawIpLink), len(os.listdir("/proc/self/fd"))]))'
    (kind, text), descriptors = run(code, *BARE)
    assert kind == "PrivilegeError"
    assert "setcap" in text
    assert descriptors <= 4


@pytest.mark.netns
def test_drops_are_counted_and_add_up() -> None:
    """A receive buffer for a few packets, and thousands of them."""
    found = run(
        "import rawscan.net.rawip as module\nmodule._RECEIVE_BYTES = 2048\n"
        + """
link = module.RawIpLink()
plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def flood():
    for _ in range(500):
        plain.sendto(bytes(1000), ("127.0.0.1", 9))
    return link.drops()
print(json.dumps([link.drops(), flood(), link.drops(), flood()]))
"""
    )
    none, first, again, second = found
    assert none == 0
    assert first > 100
    assert again == first  # the kernel sets its own counter back
    assert second > first + 100


@pytest.mark.netns
def test_an_interface_that_goes_down_is_survived() -> None:
    found = run(
        OPEN
        + """
device()
link = RawIpLink("d0")
subprocess.run(["ip", "link", "set", "d0", "down"], check=True)
print(json.dumps([len(link.receive(0.2)), len(link.receive(0))]))
"""
    )
    assert found == [0, 0]


class FullQueue:
    """A socket that refuses `times` times."""

    def __init__(self, number: int, times: int) -> None:
        self.number, self.times, self.calls = number, times, 0

    def sendto(self, packet: bytes, address: tuple[object, ...]) -> None:
        self.calls += 1
        if self.calls <= self.times:
            raise OSError(self.number, "refused")


def send(queue: Any) -> None:
    RawIpLink._send_patiently(queue, b"x", ("127.0.0.1", 0))


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.EAGAIN])
def test_a_full_queue_is_waited_for_but_not_for_ever(number: int) -> None:
    queue = FullQueue(number, 3)
    send(queue)
    assert queue.calls == 4
    with pytest.raises(OSError, match=r"no room.*try a lower --rate"):
        send(FullQueue(number, 10**6))


def test_other_refusals_are_final() -> None:
    queue = FullQueue(errno.EPERM, 1)
    with pytest.raises(OSError, match="refused"):
        send(queue)
    assert queue.calls == 1


def test_time_of_arrival_is_the_kernels() -> None:
    stamp = struct.pack("ll", 1_700_000_000, 250_000_000)
    other = (socket.IPPROTO_IP, 35, bytes(16))
    assert _arrival_s([other, (socket.SOL_SOCKET, 35, stamp)]) == 1_700_000_000.25
