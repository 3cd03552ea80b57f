"""Adds to findings what Wireshark says of their frames, and of these alone. Runs tshark.

The frames are written to a temporary capture, so that the size of the one they come from costs
nothing. Removes that file, and leaves no process behind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rawscan.capture.dissect import Dissection, dissect
from rawscan.capture.extract import FrameWriter
from rawscan.errors import CaptureError
from rawscan.findings import Analysis, Finding, Notes, Session
from rawscan.model import Frame, IPAddress

MOST_FRAMES = 20_000
"""tshark through pyshark does less than a thousand a second; beyond this the rest is left out."""

_Flow = tuple[int, frozenset[tuple[IPAddress, int]]]


class Annotator:
    """Keeps the matched frames of one capture, and has tshark look at them in the end.

    Close it (`contextlib.closing`): that removes the temporary capture.
    """

    def __init__(self, most_frames: int = MOST_FRAMES) -> None:
        self._most_frames = most_frames
        self._folder = TemporaryDirectory(prefix="rawscan-")
        self._path = Path(self._folder.name, "matched.pcapng")
        self._writer = FrameWriter(self._path)
        self._numbers: list[int] = []
        self._left_out = 0

    def keep(self, frame: Frame, number: int) -> None:
        """Keep one frame; `number` is its own in the capture."""
        if len(self._numbers) >= self._most_frames:
            self._left_out += 1
            return
        self._writer.write(frame)
        self._numbers.append(number)

    def annotate(self, analysis: Analysis, stop: Callable[[], bool]) -> Analysis:
        """The same analysis with notes; `dissect_error` says if something kept it from them."""
        self._writer.close()
        found: dict[int, Dissection] = {}
        error = None
        try:
            with closing(dissect(self._path)) as dissections:
                for dissection in dissections:
                    found[self._numbers[dissection.frame_number - 1]] = dissection
                    if stop():
                        break
        except CaptureError as failure:
            error = str(failure).replace(str(self._path), f"{analysis.path}, matched frames")
        if error is None and self._left_out:
            error = f"only the first {self._most_frames} matched frames were dissected"
        flows = _by_flow(found)
        traffic = analysis.traffic
        sessions = tuple(_with_session_notes(session, flows) for session in traffic.sessions)
        return replace(
            analysis,
            findings=tuple(_with_notes(finding, found) for finding in analysis.findings),
            traffic=replace(traffic, sessions=sessions),
            dissect_error=error,
        )

    def close(self) -> None:
        """Remove the temporary capture."""
        self._writer.close()
        self._folder.cleanup()


def _with_notes(finding: Finding, found: dict[int, Dissection]) -> Finding:
    replies = (e.frame_number for e in finding.verdict.evidence if e.frame_number is not None)
    numbers = sorted({*finding.probe_frames, *replies})
    return replace(finding, notes=_notes(found[n] for n in numbers if n in found))


def _by_flow(found: dict[int, Dissection]) -> dict[_Flow, list[tuple[int, Dissection]]]:
    flows: defaultdict[_Flow, list[tuple[int, Dissection]]] = defaultdict(list)
    for number, d in found.items():
        if d.source and d.destination and d.sport is not None and d.dport is not None:
            ends = frozenset({(d.source, d.sport), (d.destination, d.dport)})
            flows[d.protocol or 0, ends].append((number, d))
    return flows


def _with_session_notes(
    session: Session, flows: dict[_Flow, list[tuple[int, Dissection]]]
) -> Session:
    ends = frozenset({(session.client, session.client_port), (session.server, session.server_port)})
    frames = flows.get((session.protocol.number, ends), [])
    mine = (d for n, d in frames if session.first_frame <= n <= session.last_frame)
    return replace(session, notes=_notes(mine))


def _notes(dissections: Iterable[Dissection]) -> Notes:
    """The protocols and remarks of some frames, each once, in their order."""
    protocols: dict[str, None] = {}
    expert: dict[str, None] = {}
    for dissection in dissections:
        protocols |= dict.fromkeys(layer.lower() for layer in dissection.layers)
        expert |= dict.fromkeys(map(_printable, dissection.expert))
    return Notes(tuple(protocols), tuple(expert))


def _printable(text: str) -> str:
    """Wireshark may quote what a packet says, and that is not to move anybody's cursor."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
