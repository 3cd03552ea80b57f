"""What the tests of teaching share: every capture there is, and the cases in it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rawscan.errors import CaptureError
from rawscan.ports import parse_ports
from rawscan.teach.case import Case, cases_in

ROOT = Path(__file__).parents[2]
CAPTURES = ROOT / "captures"
SHARED = ROOT.parent / "shared" / "captures"
"""Real captures, which are not part of the program; without them the tests do what they can."""

FILES = tuple(
    path
    for place in (CAPTURES, SHARED)
    for path in sorted(place.rglob("*"))
    if path.suffix in (".pcap", ".pcapng", ".gz")
)
PORTS = "561"


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case of every capture."""
    found: list[Case] = []
    for path in FILES:
        try:
            found += cases_in(path, parse_ports(PORTS))
        except CaptureError:
            continue
    return tuple(found)
