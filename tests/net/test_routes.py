"""Which way the kernel would send, asked in namespaces whose routes are known."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from rawscan.net import routes
from tests.net.apart import run

IMPORT = "from rawscan.net.routes import *\nimport rawscan.net.routes as routes\n"


@pytest.mark.netns
def test_source_and_interface_are_the_kernels_choice() -> None:
    found = run(
        IMPORT
        + """
device()
targets = ["127.0.0.1", "::1", "10.9.0.5", "10.9.0.255", "fd09::5", "192.0.2.1", "2001:db8::1"]
way = lambda t: [str(source_for(t)), way_to(t).interface]
out = {}
for text in targets:
    target = ip_address(text)
    out[text] = error_of(source_for, target) or way(target)
out["none"] = way_to(ip_address("192.0.2.1"))
out["bound"] = str(source_for(ip_address("10.9.0.5"), "d0"))
out["astray"] = error_of(source_for, ip_address("2001:db8::1"), "d0")
out["no0"] = error_of(source_for, ip_address("10.9.0.5"), "no0")
print(json.dumps(out))
"""
    )
    assert found["127.0.0.1"] == ["127.0.0.1", "lo"]
    assert found["::1"] == ["::1", "lo"]
    assert found["10.9.0.5"] == found["10.9.0.255"] == ["10.9.0.1", "d0"]
    assert found["fd09::5"] == ["fd09::1", "d0"]
    for target in ("192.0.2.1", "2001:db8::1"):
        assert found[target] == ["LinkError", f"no way to {target}: Network is unreachable"]
    assert found["none"] is None
    assert found["bound"] == "10.9.0.1"
    assert found["astray"][0] == found["no0"][0] == "LinkError"


@pytest.mark.netns
def test_the_way_has_its_gateway_and_our_source() -> None:
    found = run(
        IMPORT
        + """
device()
for line in ("addr add 10.9.0.2/24 dev d0", "route add 198.51.100.0/24 via 10.9.0.9"):
    subprocess.run(["ip", *line.split()], check=True)
def told(target, *options):
    way = way_to(ip_address(target), *options)
    return way and [way.interface, str(way.source), str(way.gateway)]
print(json.dumps([
    told("198.51.100.7"), told("10.9.0.5"), told("198.51.100.7", "d0", ip_address("10.9.0.2")),
    told("fd09::5", None, ip_address("10.9.0.2")), told("fd08::5"), told("10.9.0.5", "no0")]))
"""
    )
    assert found == [
        ["d0", "10.9.0.1", "10.9.0.9"],
        ["d0", "10.9.0.1", "None"],
        ["d0", "10.9.0.2", "10.9.0.9"],
        ["d0", "fd09::1", "None"],
        None,
        None,
    ]


@pytest.mark.netns
def test_broadcasts_are_what_the_routes_call_so() -> None:
    found = run(
        IMPORT
        + """
device()
asked = [ip_address(a) for a in ("10.9.0.0", "10.9.0.255", "10.9.1.255", "fd09::ff", "10.9.0.1")]
print(json.dumps([list(map(str, own_broadcasts(some))) for some in (asked, asked[2:])]))
"""
    )
    assert found == [["10.9.0.255"], []]


@pytest.mark.netns
def test_what_is_not_ours_is_a_usage_error() -> None:
    ours, foreign, here, nowhere = run(
        IMPORT
        + """
device()
print(json.dumps([
    [error_of(check_source, ip_address(a)) for a in ("10.9.0.1", "fd09::1", "127.0.0.9", "::1")],
    [error_of(check_source, ip_address(a)) for a in ("192.0.2.7", "2001:db8::7")],
    error_of(check_interface, "d0"), error_of(check_interface, "no0")]))
"""
    )
    assert ours == [None] * 4
    assert [kind for kind, _ in foreign] == ["UsageError"] * 2
    assert "--source-ip 192.0.2.7 is no address of this machine" in foreign[0][1]
    assert here is None
    assert nowhere[0] == "UsageError"
    assert "--interface no0" in nowhere[1]
    assert "there is lo, " in nowhere[1]
    assert ", d0" in nowhere[1]


@pytest.mark.netns
def test_the_interface_is_asked_for_without_pyroute2() -> None:
    """A whole process that imports it takes 0.1 s more, and users do not have it."""
    loaded = run(
        IMPORT
        + """
assert way_to(ip_address("127.0.0.1")).interface == "lo"
print(json.dumps([name for name in sys.modules if name.startswith("pyroute2")]))
"""
    )
    assert loaded == []


def test_names_give_every_address_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(text: str) -> tuple[Any, ...]:
        return (0, 0, 0, "", (text, 0))

    found = ["fd00::5", "10.0.0.9", "10.0.0.5", "10.0.0.9", "fe80::1%eth0"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry(each) for each in found])
    expected = ["10.0.0.5", "10.0.0.9", "fd00::5", "fe80::1"]
    assert routes.resolve("host") == [ip_address(each) for each in expected]


def test_a_name_of_nobody_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(OSError, match="not known"):
        routes.resolve("host")
