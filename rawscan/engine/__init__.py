"""The scan core: decides when to send what, and when to stop waiting.

No socket, no clock, no thread: `now_s` is an argument everywhere, so tests run in no time.
"""

from rawscan.engine.core import Engine
from rawscan.engine.events import Answer, Arrivals, Book, Decided, Send, Settings
from rawscan.engine.loss import LossModel, tries_needed
from rawscan.engine.window import NOBODY, TARGET

__all__ = [
    "NOBODY",
    "TARGET",
    "Answer",
    "Arrivals",
    "Book",
    "Decided",
    "Engine",
    "LossModel",
    "Send",
    "Settings",
    "tries_needed",
]
