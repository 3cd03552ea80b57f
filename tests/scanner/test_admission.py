"""Whom a scan leaves in peace: reserved ranges, our own broadcast addresses; and when it asks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

import rawscan
from rawscan.errors import UsageError
from rawscan.model import Verdict
from rawscan.scanner import request as requests
from rawscan.scanner.admission import admit
from rawscan.targets import TargetSet
from tests.net.apart import run


def of(*specs: str, include_reserved: bool = False) -> tuple[int, int, int, bool]:
    found = admit(TargetSet.parse(specs), include_reserved)
    return found.targets.count, found.left_out, found.outside, found.need_consent


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        (["8.8.8.0/24"], (256, 0, 256, False)),
        (["8.8.8.0/24", "9.9.9.9"], (257, 0, 257, True)),
        (["8.8.8.0/25", "2600::/121", "2600::1:0"], (257, 0, 257, True)),  # together
        (["2600::/120"], (256, 0, 256, False)),
        (["10.0.0.0/8", "fd00::/64", "8.8.8.8"], ((1 << 24) + (1 << 64) + 1, 0, 1, False)),
        (["9.255.255.0-10.0.0.255"], (512, 0, 256, False)),
        (["223.255.255.0-224.0.0.255"], (256, 256, 256, False)),
        (["ff02::1", "::", "2600::1"], (1, 2, 1, False)),
    ],
)
def test_strangers_are_counted(specs: list[str], expected: tuple[int, int, int, bool]) -> None:
    assert of(*specs) == expected


def test_reserved_addresses_are_asked_if_wanted_and_are_strangers_then() -> None:
    assert of("224.0.0.0/23", "10.0.0.1", include_reserved=True) == (513, 0, 512, True)


@pytest.mark.parametrize("spec", ["255.255.255.255", "0.0.0.0", "ff02::1", "::", "240.0.0.0/4"])
def test_nobody_left_says_why_and_what_to_do(spec: str) -> None:
    with pytest.raises(UsageError, match=r"reserved, multicast or broadcast.*--include-reserved"):
        admit(TargetSet.parse([spec]))


@pytest.mark.netns
def test_broadcast_addresses_of_our_networks_are_left_out_and_no_others() -> None:
    found = run("""
from rawscan.scanner.admission import admit
from rawscan.targets import TargetSet
device()  # 10.9.0.1/24
for extra in ("10.8.0.1/30", "10.7.0.0/31", "10.6.0.1/32"):
    subprocess.run(["ip", "addr", "add", extra, "dev", "d0"], check=True)
specs = ["10.9.0.0/23", "10.8.0.0/29", "10.7.0.0/31", "10.6.0.1", "127.0.0.0/8"]
targets = TargetSet.parse(specs)
left = admit(targets).targets
print(json.dumps([list(map(str, targets - left)), admit(targets, True).targets == targets]))
""")
    # 10.9.1.255 ends what was asked for, not our /24; a /31 has no broadcast (RFC 3021).
    assert found == [["10.8.0.3", "10.9.0.255", "127.255.255.255"], True]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[requests.Request]:
    """What the library would have scanned; nothing is opened."""
    asked: list[requests.Request] = []

    def note(request: requests.Request) -> Iterator[Verdict]:
        asked.append(request)
        return iter(())

    monkeypatch.setattr(requests, "_verdicts", note)
    return asked


def test_the_library_needs_consent_at_once(opened: list[requests.Request]) -> None:
    with pytest.raises(UsageError, match=r"257 of the targets are outside .*consent=True"):
        rawscan.scan(["8.8.8.0/24", "9.9.9.9"])
    assert opened == []
    rawscan.scan(["8.8.8.0/24", "9.9.9.9"], consent=True)
    rawscan.scan("10.0.0.0/8")
    assert [request.targets.count for request in opened] == [257, 1 << 24]


def test_the_library_warns_of_what_it_leaves_out(opened: list[requests.Request]) -> None:
    with pytest.warns(UserWarning, match=r"2 reserved, .*include_reserved=True") as told:
        rawscan.scan(["10.0.0.1", "224.0.0.0/31"])
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rawscan.scan(["10.0.0.1", "224.0.0.0/31"], include_reserved=True)
    assert [request.targets.count for request in opened] == [1, 3]
    with pytest.raises(UsageError, match="include_reserved=True"):
        rawscan.scan("224.0.0.1")
