"""Whom a scan leaves in peace, and whether somebody has to agree to it first.

Asks the kernel which targets are broadcast addresses of our own networks; sends nothing. The
command line and the library's `scan()` both go through here.
"""

from __future__ import annotations

from dataclasses import dataclass

from rawscan.errors import UsageError
from rawscan.net.routes import own_broadcasts
from rawscan.politeness import ASK_ABOVE, outside, without_reserved
from rawscan.targets import TargetSet


@dataclass(frozen=True, slots=True)
class Admitted:
    """The targets that may be asked.

    `left_out` counts the named addresses that are none; `outside` the targets that are in no
    private or local network.
    """

    targets: TargetSet
    left_out: int
    outside: int

    @property
    def need_consent(self) -> bool:
        """Whether there are so many outside that somebody has to say yes."""
        return self.outside > ASK_ABOVE

    @property
    def warning(self) -> str:
        """What somebody has to agree to."""
        return (
            f"{self.outside} of the targets are outside private and local networks; scan only "
            "what is yours or whose owner has agreed"
        )

    @property
    def omission(self) -> str:
        """What was left out."""
        return f"{self.left_out} reserved, multicast or broadcast addresses are left out"


def admit(targets: TargetSet, include_reserved: bool = False) -> Admitted:
    """Leave out what is no single host's address, unless that is wanted.

    Those are the reserved and multicast ranges, and the broadcast addresses of our own networks.
    Raises `UsageError` if no target is left.
    """
    left = targets
    if not include_reserved:
        left = without_reserved(targets)
        left = without_reserved(left, map(str, own_broadcasts(left)))
    if not left:
        raise UsageError(
            f"no target is left: {_these(targets)} reserved, multicast or broadcast; to ask for "
            "such addresses nevertheless, add --include-reserved (in Python, include_reserved=True)"
        )
    return Admitted(left, targets.count - left.count, outside(left).count)


def _these(targets: TargetSet) -> str:
    if targets.count == 1:
        return f"{targets.at(0)} is"
    return f"all {targets.count} of them are"
