"""rawscan: tells open, closed and filtered apart, live and in captures, and says why.

The public calls are `rawscan.scan()`, `rawscan.analyse()` and the records in `rawscan.model`.
Importing this package opens nothing and loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawscan.analysis import analyse
    from rawscan.scanner import scan

__all__ = ["__version__", "analyse", "scan"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load `scan` and `analyse` when they are first asked for (PEP 562): Scapy takes its time."""
    from importlib import import_module

    home = {"analyse": "rawscan.analysis", "scan": "rawscan.scanner"}.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
