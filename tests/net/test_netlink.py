"""Our netlink messages against pyroute2 and `ip`, in a namespace with a bit of everything."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

import pytest

from rawscan.errors import LinkError
from rawscan.net import netlink
from rawscan.net.netlink import Flow, Netlink
from tests.net.cable import Peer, call, ip

FAMILIES = (socket.AF_INET, socket.AF_INET6)
TARGETS = (
    "10.7.0.9",
    "10.7.0.255",
    "10.7.0.1",
    "192.0.2.5",
    "198.51.100.7",
    "fd07::9",
    "2001:db8::1",
)


def furnish() -> None:
    ip(
        "addr add 10.7.0.1/24 brd 10.7.0.255 dev near",
        "addr add fd07::1/64 dev near nodad",
        "addr add 10.66.0.1 peer 10.66.0.2 dev near",
        "route add 192.0.2.0/24 via 10.7.0.9 mtu lock 1400",
        "route add 198.51.100.0/24 via inet6 fd07::9 dev near",
        "route add 203.0.113.0/24 nexthop via 10.7.0.8 nexthop via 10.7.0.9",
        "route add unreachable 10.99.0.0/16 table 99",
        "route add 2001:db8::/32 via fd07::9",
        "rule add to 10.99.3.0/24 lookup 99",
        "rule add from 10.98.0.0/16 lookup 99",
        "route add blackhole 10.99.4.0/24 table 98",
        "rule add fwmark 7 lookup 98",
        "neigh add 10.7.0.9 lladdr 02:00:00:00:00:09 dev near nud permanent",
        "neigh add 10.7.0.8 lladdr 02:00:00:00:00:08 dev near nud stale",
        "neigh add 10.7.0.7 dev near nud failed",
        "neigh add fd07::9 lladdr 02:00:00:00:00:19 dev near nud reachable",
    )


def ours() -> dict[str, Any]:
    with Netlink() as kernel:
        return {
            "links": [asdict(each) | {"mac": each.mac.hex(":")} for each in kernel.interfaces()],
            "neighbours": sorted(
                [each.interface, str(each.address), each.mac.hex(":"), each.state]
                for family in FAMILIES
                for each in kernel.neighbours(family)
                if not each.address.is_multicast  # these come and go by themselves
            ),
            "addresses": sorted(
                [each.interface, str(each.address), each.prefix_length]
                for family in FAMILIES
                for each in kernel.addresses(family)
            ),
            "routes": [sorted(map(list, kernel.route_prefixes(family))) for family in FAMILIES],
            "rules": [sorted(map(list, kernel.rule_prefixes(family))) for family in FAMILIES],
            "gets": [
                [r.type, r.interface, str(r.source), str(r.gateway), r.mtu]
                for r in (kernel.route(ip_address(target)) for target in TARGETS)
            ],
        }


def theirs() -> dict[str, Any]:
    """The same by pyroute2, which the program itself would take too long to import."""
    from pyroute2 import IPRoute

    def prefix(message: Any, name: str) -> list[int]:
        address = message.get_attr(name)
        return [int(ip_address(address)) if address else 0, message["dst_len"]]

    def get(kernel: Any, target: str) -> list[Any]:
        (route,) = kernel.route("get", dst=target)
        via = route.get_attr("RTA_VIA")
        gateway = via["addr"] if via else route.get_attr("RTA_GATEWAY")
        metrics = route.get_attr("RTA_METRICS")
        source, oif = route.get_attr("RTA_PREFSRC"), route.get_attr("RTA_OIF")
        mtu = metrics.get_attr("RTAX_MTU") if metrics else None
        return [route["type"], oif, str(source), str(gateway), mtu]

    with IPRoute() as kernel:
        return {
            "links": [
                {
                    "index": link["index"],
                    "name": link.get_attr("IFLA_IFNAME"),
                    "type": link["ifi_type"],
                    "flags": link["flags"],
                    "mac": link.get_attr("IFLA_ADDRESS"),
                    "mtu": link.get_attr("IFLA_MTU"),
                }
                for link in kernel.get_links()
            ],
            "neighbours": sorted(
                [n["ifindex"], n.get_attr("NDA_DST"), n.get_attr("NDA_LLADDR") or "", n["state"]]
                for family in FAMILIES
                for n in kernel.get_neighbours(family=family)
                if not ip_address(n.get_attr("NDA_DST")).is_multicast
            ),
            "addresses": sorted(
                [a["index"], a.get_attr("IFA_LOCAL") or a.get_attr("IFA_ADDRESS"), a["prefixlen"]]
                for family in FAMILIES
                for a in kernel.get_addr(family=family)
            ),
            "routes": [
                sorted(prefix(r, "RTA_DST") for r in kernel.get_routes(family=family))
                for family in FAMILIES
            ],
            "rules": [
                sorted(prefix(r, "FRA_DST") for r in kernel.get_rules(family=family))
                for family in FAMILIES
            ],
            "gets": [get(kernel, target) for target in TARGETS],
        }


def both() -> list[dict[str, Any]]:
    with Peer("near"):
        furnish()
        return [ours(), theirs()]


@pytest.mark.netns
def test_the_kernel_tells_us_what_it_tells_pyroute2() -> None:
    own, reference = call(both)
    assert own == reference
    assert ["10.66.0.1", 32] in [line[1:] for line in own["addresses"]]
    # The comparison is of something: a static route, a rule's prefix, a neighbour in each family.
    assert [int(ip_address("203.0.113.0")), 24] in own["routes"][0]
    assert [int(ip_address("10.99.3.0")), 24] in own["rules"][0]
    assert {line[1] for line in own["neighbours"]} >= {"10.7.0.9", "fd07::9"}
    assert [line[4] for line in own["gets"]] == [None, None, None, 1400, None, None, None]
    assert own["gets"][4][3] == "fd07::9"


def kinds() -> dict[str, Any]:
    with Peer("near"), Netlink() as kernel:
        furnish()
        multipath = {
            target: kernel.is_multipath(ip_address(target))
            for target in ("203.0.113.5", "192.0.2.5")
        }
        errors = {}
        for target, flow in (
            ("10.99.3.1", Flow()),
            ("8.8.8.8", Flow()),
            ("10.7.0.9", Flow(source=ip_address("10.1.2.3"))),
            ("10.99.4.1", Flow(mark=7)),
        ):
            with pytest.raises(OSError) as caught:  # noqa: PT011
                kernel.route(ip_address(target), flow)
            errors[target] = caught.value.errno
        labels = list(kernel.label_prefixes())
        return {"multipath": multipath, "errors": errors, "labels": len(labels)}


@pytest.mark.netns
def test_refusals_and_routes_with_several_ways() -> None:
    found = call(kinds)
    assert found["multipath"] == {"203.0.113.5": True, "192.0.2.5": False}
    assert found["errors"] == {
        "10.99.3.1": errno.EHOSTUNREACH,
        "8.8.8.8": errno.ENETUNREACH,
        "10.7.0.9": errno.ENETUNREACH,  # not with an address that is not ours
        "10.99.4.1": errno.EINVAL,
    }
    assert found["labels"] > 5  # net/ipv6/addrlabel.c has nine to begin with


def many_routes() -> list[int]:
    with Peer("near"), Netlink() as kernel:
        ip("addr add 10.7.0.1/24 dev near")
        ip(*(f"route add 172.{16 + n // 256}.{n % 256}.0/24 via 10.7.0.9" for n in range(3000)))
        prefixes = list(kernel.route_prefixes(socket.AF_INET))
        return [len(prefixes), len(set(prefixes)), len(kernel.interfaces())]


@pytest.mark.netns
def test_a_dump_of_many_messages_is_read_to_its_end_and_leaves_nothing_behind() -> None:
    total, different, interfaces = call(many_routes)
    # 3,000 and the link's own, and local, broadcast and loopback entries
    assert total == different == 3000 + 1 + 2 + 3
    assert interfaces == 2


def message(kind: int, sequence: int, body: bytes, flags: int = 0) -> bytes:
    return netlink._HEADER.pack(16 + len(body), kind, flags, sequence, 0) + body


class FakeSocket:
    """Gives out prepared answers; the numbers of the questions are known beforehand."""

    def __init__(self, *answers: tuple[bytes, int]) -> None:
        self.answers = list(answers)

    def send(self, data: bytes) -> int:
        return len(data)

    def recvfrom(self, _: int) -> tuple[bytes, tuple[int, int]]:
        if not self.answers:
            raise TimeoutError
        data, sender = self.answers.pop(0)
        return data, (sender, 0)


def kernel_that_says(*answers: tuple[bytes, int]) -> Netlink:
    kernel = Netlink()
    kernel.close()
    kernel._socket = FakeSocket(*answers)  # type: ignore[assignment]
    return kernel


ROUTE_10 = bytes([2, 8, 0, 0, 0, 0, 0, 0]) + bytes(4) + b"\x08\x00\x01\x00\x0a\x00\x00\x00"
DONE = bytes(4)


def test_only_the_kernels_answers_to_the_last_question_count() -> None:
    kernel = kernel_that_says(
        (message(24, 1, ROUTE_10), 4711),  # another process
        (message(24, 7, ROUTE_10), 0),  # another question
        (message(24, 1, ROUTE_10, flags=2) + message(3, 1, DONE), 0),
    )
    assert list(kernel.route_prefixes(socket.AF_INET)) == [(10 << 24, 8)]


def test_a_dump_that_changed_meanwhile_is_asked_for_again() -> None:
    broken = message(24, 1, ROUTE_10, flags=0x10) + message(3, 1, DONE)
    whole = message(3, 2, DONE)
    kernel = kernel_that_says((broken, 0), (whole, 0))
    assert list(kernel.route_prefixes(socket.AF_INET)) == []


def test_a_dump_that_never_settles_is_an_error() -> None:
    answers = [(message(3, n, DONE, flags=0x10), 0) for n in range(1, 9)]
    with pytest.raises(LinkError, match="change faster"):
        list(kernel_that_says(*answers).route_prefixes(socket.AF_INET))


def test_a_route_that_wraps_packets_says_so() -> None:
    route = bytes([2, 32, 0, 0, 254, 3, 0, 1]) + bytes(4)
    mpls = b"\x08\x00\x15\x00\x01\x00\x00\x00" + b"\x0c\x00\x16\x80" + bytes(8)  # nested
    for attributes, encapsulated in ((b"", False), (mpls, True)):
        kernel = kernel_that_says((message(24, 1, route + attributes), 0))
        assert kernel.route(ip_address("10.0.0.1")).encapsulated is encapsulated


def test_a_silent_kernel_is_an_error() -> None:
    with pytest.raises(LinkError, match="does not answer"):
        list(kernel_that_says().route_prefixes(socket.AF_INET))


def test_errors_carry_the_kernels_number() -> None:
    refused = message(2, 1, (-errno.EACCES).to_bytes(4, sys.byteorder, signed=True) + bytes(16))
    with pytest.raises(PermissionError) as caught:
        kernel_that_says((refused, 0)).route(ip_address("10.0.0.1"))
    assert caught.value.strerror == os.strerror(errno.EACCES)


def test_damaged_messages_do_not_hang() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EBADMSG)):
        list(kernel_that_says((bytes(16), 0)).route_prefixes(socket.AF_INET))


def test_pyroute2_is_not_imported() -> None:
    code = "import rawscan.net.nexthop, sys; sys.exit('pyroute2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
