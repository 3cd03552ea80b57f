"""Every error that rawscan raises on purpose. Touches nothing.

A message says what is wrong, where, and what to do next; the command line prints it without a
traceback and leaves with `exit_code`.
"""

INTERRUPTED = 130
"""Exit code after SIGINT or SIGTERM: 128 + SIGINT, as shells have it."""


class RawscanError(Exception):
    """Base of all; `exit_code` is what the command line returns for it."""

    exit_code = 1


class UsageError(RawscanError):
    """The user asked for something that cannot be: a bad target, port, flag or file name."""

    exit_code = 2


class PrivilegeError(RawscanError):
    """Raw sockets need a privilege that this process lacks. Nothing was sent."""

    exit_code = 3


class DecodeError(RawscanError):
    """These bytes are no packet that rawscan can read; `cause` is short and countable."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class CaptureError(RawscanError):
    """A capture file cannot be read at all, or not any further than `offset` (in bytes)."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


class OutputError(RawscanError):
    """An output cannot be written any further; what was written before is still there."""


class LinkError(RawscanError):
    """The network would not take or give packets."""


class LabError(RawscanError):
    """The lab's namespaces could not be built or have gone away."""


class NeighbourError(LinkError):
    """Nobody on our own link answers to the target's (or the gateway's) address."""


class BusyError(LinkError):
    """The system has no room for this packet now, and may have some later."""
