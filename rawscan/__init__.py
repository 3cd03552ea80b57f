"""rawscan: tells open, closed and filtered apart, live and in captures, and says why.

The public calls are `rawscan.scan()`, `rawscan.analyse()` for one capture and `analyse_all()` for
many, `rawscan.dataframe()` for what they found, and the records in `rawscan.model` and
`rawscan.findings`.
Importing this package opens nothing and loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawscan.analysis import analyse, analyse_all
    from rawscan.output.frames import dataframe
    from rawscan.scanner import scan

__all__ = ["__version__", "analyse", "analyse_all", "dataframe", "scan"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the public calls when they are first asked for (PEP 562): Scapy takes its time."""
    from importlib import import_module

    home = {
        "analyse": "rawscan.analysis",
        "analyse_all": "rawscan.analysis",
        "dataframe": "rawscan.output.frames",
        "scan": "rawscan.scanner",
    }.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
