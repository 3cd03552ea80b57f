"""The shelf: where the curated captures are, in a checkout and in an installed rawscan.

Looks for folders and files; reads none of them.
"""

from __future__ import annotations

from pathlib import Path

from rawscan.rules import Rule

_HERE = Path(__file__)
_PLACES = (_HERE.parents[2] / "captures", _HERE.parent / "captures")
"""`captures/` beside the package in a checkout; a wheel carries it inside (see pyproject.toml)."""


def shelf() -> Path | None:
    """The folder with the curated captures; None if this installation has none."""
    return next((place for place in _PLACES if (place / "rules").is_dir()), None)


def capture_of(rule: Rule) -> Path | None:
    """The capture that shows this rule at work; None where there is none."""
    place = shelf()
    if place is None:
        return None
    names = (place / "rules" / f"{rule.id}{ending}" for ending in (".pcapng", ".pcap"))
    return next((name for name in names if name.is_file()), None)


def recording(topology: str) -> Path | None:
    """A scan of a lab, recorded beforehand: what lessons fall back on."""
    place = shelf()
    path = None if place is None else place / f"lab-{topology}" / "capture.pcapng"
    return path if path is not None and path.is_file() else None
