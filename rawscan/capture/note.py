"""The section note: what rawscan says about its own recording, as a comment in the file.

It stands in the Section Header Block's opt_comment (pcapng draft, section 3.5) as one JSON object
padded with spaces to a fixed width, so that it can be patched in place. Bytes only; touches
nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import floor
from typing import Any, TypeVar

from rawscan.errors import CaptureError

NOTE_BYTES = 440
NS_PER_S = 10**9
LATEST_S = 253_402_300_800
"""The year 10000 begins here, and with it what RFC 3339 cannot write."""

_T = TypeVar("_T")
_WORST_S = 1.000000001
_WORST_COUNT = 2**64 - 1
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class SectionNote:
    """What can be trusted about one section of a recording.

    `directions` is "both" when probes and replies crossed the tap. Nothing is missing between
    `since_s` and `until_s` (seconds since the Unix epoch; None: not known, the recorder may have
    died) but `drops` frames that the kernel dropped,
    the first of them before `dropped_s`. `complete` says that the scan came to its
    end. `ports` is the port spec that was asked, "" when it is not known or did not fit.
    In one that does not, silence of fewer than `least_tries` tries means nothing.
    `packets` is how many the section holds, None as long as `until_s` is: the note outlives
    editcap and a filtering tshark, and so tells a section that has lost some.
    """

    version: str
    directions: str = "both"
    since_s: float | None = None
    until_s: float | None = None
    complete: bool = False
    drops: int = 0
    dropped_s: float | None = None
    packets: int | None = None
    least_tries: int | None = None
    probes: tuple[str, ...] = ()
    ports: str = ""

    def to_bytes(self, width: int = NOTE_BYTES) -> bytes:
        """The note as exactly `width` bytes of ASCII JSON.

        `ports` is left out when it does not fit. Whether it fits depends on the fields that never
        change only, so a note keeps or loses it for good, not from one patch to the next.
        """
        for note in (self, replace(self, ports="")):
            widest = replace(
                note,
                until_s=_WORST_S,
                complete=False,
                drops=_WORST_COUNT,
                dropped_s=_WORST_S,
                packets=_WORST_COUNT,
            )
            if len(widest._json()) <= width:
                return note._json().ljust(width)
        raise CaptureError(
            f"the note about this recording does not fit into {width} bytes: "
            f"shorten the version ({self.version!r}) or the list of probes {self.probes!r}"
        )

    def _json(self) -> bytes:
        fields = {
            "rawscan": self.version,
            "directions": self.directions,
            "since": _rfc3339(self.since_s),
            "until": _rfc3339(self.until_s),
            "complete": self.complete,
            "drops": self.drops,
            "dropped": _rfc3339(self.dropped_s),
            "packets": self.packets,
            "least_tries": self.least_tries,
            "probes": self.probes,
            "ports": self.ports,
        }
        return json.dumps(fields, separators=(",", ":")).encode("ascii")

    @classmethod
    def parse(cls, comment: bytes) -> SectionNote | None:
        """The note in a section comment, or None when this is somebody else's comment.

        Unknown fields are passed over. A field that a promise hangs on (`directions`, `until`,
        `complete`, `drops`, `packets`) must be there and make sense: half a note is no note.
        """
        # The first character is looked at so that a foreign comment costs no JSON parsing.
        if not comment.startswith(b'{"rawscan":'):
            return None
        try:
            fields = json.loads(comment)
            return cls._from_fields(fields)
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> SectionNote:
        packets, probes = fields["packets"], fields.get("probes", [])
        tries = fields.get("least_tries")
        until_s = _seconds(fields["until"])
        if (packets is None) != (until_s is None):
            raise ValueError("what is promised until then is promised of so many packets")
        return cls(
            version=_of(str, fields["rawscan"]),
            directions=_of(str, fields["directions"]),
            since_s=_seconds(fields.get("since")),
            until_s=until_s,
            complete=_of(bool, fields["complete"]),
            drops=_count(fields["drops"]),
            dropped_s=_seconds(fields.get("dropped")),
            packets=None if packets is None else _count(packets),
            least_tries=None if tries is None else _count(tries),
            probes=tuple(_of(str, probe) for probe in _of(list, probes)),
            ports=_of(str, fields.get("ports", "")),
        )


def to_ns(time_s: float) -> int:
    """Seconds since the Unix epoch as the nearest whole nanosecond.

    The whole seconds are split off first: multiplying the lot by a thousand million would round
    away the nanoseconds. A double holds the present day to about 240 ns, so this loses nothing,
    and `ns / NS_PER_S` gives the same double back.
    """
    if not 0 <= time_s < LATEST_S:
        raise ValueError(f"{time_s} s is no time from 1970 to 9999")
    seconds = floor(time_s)
    return seconds * NS_PER_S + round((time_s - seconds) * NS_PER_S)


def _rfc3339(time_s: float | None) -> str | None:
    """RFC 3339, UTC, nine digits of fraction: enough for the same double to be read back."""
    if time_s is None:
        return None
    seconds, ns = divmod(to_ns(time_s), NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09}Z"


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no RFC 3339 time in UTC")
    whole = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    fraction_ns = int((match[2] or "").ljust(9, "0"))
    return (int(whole.timestamp()) * NS_PER_S + fraction_ns) / NS_PER_S


def _count(value: Any) -> int:
    if isinstance(value, bool) or _of(int, value) < 0:
        raise ValueError(f"{value!r} is no count")
    return int(value)


def _of(kind: type[_T], value: Any) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
