"""The scan core: decides when to send what, and when to stop waiting.

No socket, no clock, no thread: `now_s` is an argument everywhere, so tests run in no time.
"""

from rawscan.engine.core import Decided, Engine, Send, Settings
from rawscan.engine.loss import LossModel, confidence, tries_needed

__all__ = ["Decided", "Engine", "LossModel", "Send", "Settings", "confidence", "tries_needed"]
