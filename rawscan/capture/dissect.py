"""What Wireshark says of the frames in a capture file: a second opinion, independent of `wire`.

Runs tshark through pyshark, and reads the file by it alone. The only module that imports pyshark.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from rawscan.errors import CaptureError
from rawscan.model import Flags, IPAddress

_PREFERENCES: Final = {
    "tcp.relative_sequence_numbers": "FALSE",
    # Each frame by itself, as rawscan sees it.
    "ip.defragment": "FALSE",
    "ipv6.defragment": "FALSE",
    "tcp.desegment_tcp_streams": "FALSE",
}
_EXIT_S: Final = 10.0
"""How long tshark may take to leave once it has closed its output."""

_TCP, _UDP = 6, 17
# Where each header of IPv6 says what comes next (AH has a name of its own).
_NEXT: Final = (".nxt", "ah.next_header")


@dataclass(frozen=True, slots=True)
class Dissection:
    """One frame, in Wireshark's words. What the frame does not have, or was cut off, is None.

    In a tunnel, all but `frame_number`, `layers` and `expert` are of the innermost IP packet, and
    `outer` is what carries it. `seq` and `ack` are the numbers on the wire. `protocol` is IANA's
    number, of what comes after IPv6's extension headers. The `quoted` fields are of the packet
    inside an ICMP error. `expert` are Wireshark's own remarks.
    """

    frame_number: int
    layers: tuple[str, ...]
    source: IPAddress | None = None
    destination: IPAddress | None = None
    protocol: int | None = None
    sport: int | None = None
    dport: int | None = None
    flags: Flags | None = None
    seq: int | None = None
    ack: int | None = None
    icmp_version: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    quoted_source: IPAddress | None = None
    quoted_destination: IPAddress | None = None
    quoted_protocol: int | None = None
    quoted_sport: int | None = None
    quoted_dport: int | None = None
    quoted_seq: int | None = None
    expert: tuple[str, ...] = ()
    outer: Dissection | None = None


def dissect(path: Path, *, display_filter: str | None = None) -> Generator[Dissection, None, None]:
    """Give out the frames of a capture file that pass Wireshark's `display_filter`.

    tshark starts with the first frame asked for, and is gone when the iteration ends, whether it
    was finished, closed early or failed. Raises `CaptureError` where there is no tshark, for what
    it cannot read, and, after the frames before the damage, for what it cannot read any further.
    Not to be called inside a running asyncio loop.
    """
    tshark = shutil.which("tshark")
    if tshark is None:
        raise CaptureError("dissection needs tshark, which is not here: apt install tshark")
    if not path.is_file():
        raise CaptureError(f"{path}: is no file that tshark can read")
    return _dissections(path, tshark, display_filter)


def _dissections(
    path: Path, tshark: str, display_filter: str | None
) -> Generator[Dissection, None, None]:
    # A loop of our own: pyshark would else take the thread's, and change how all children of the
    # process are waited for.
    loop = asyncio.new_event_loop()
    try:
        capture = _capture_class()(
            path.absolute(),  # "-" alone would mean standard input
            keep_packets=False,
            display_filter=display_filter,
            tshark_path=tshark,  # else pyshark lets a config.ini in the current folder name it
            override_prefs=_PREFERENCES,
            eventloop=loop,
        )
        with closing(capture), closing(iter(capture)) as packets:
            for packet in packets:
                yield _dissection(packet)
        if capture.exit_code:
            raise CaptureError(f"{path}: {capture.complaint}")
    except OSError as error:
        raise CaptureError(f"{path}: cannot be dissected: {error.strerror or error}") from error
    finally:
        loop.close()


def _capture_class() -> type[Any]:
    """pyshark's reader, but for how it ends."""
    from pyshark import FileCapture

    class Capture(FileCapture):  # type: ignore[misc]  # pyshark has no types
        """Lets tshark finish. pyshark kills it as soon as its output ends, which hides its fate."""

        exit_code: int | None = None

        def __init__(self, *args: Any, **options: Any) -> None:
            self._said: deque[str] = deque(maxlen=20)
            super().__init__(*args, **options)

        @property
        def complaint(self) -> str:
            """The last thing that tshark said of itself."""
            said = [line for line in self._said if line.startswith("tshark:")] or [*self._said]
            return said[-1] if said else f"tshark: left with exit code {self.exit_code}"

        async def _handle_process_stderr_forever(self, stderr: asyncio.StreamReader) -> None:
            async for line in stderr:
                if text := line.decode(errors="replace").strip():
                    self._said.append(text)

        async def _cleanup_subprocess(self, process: asyncio.subprocess.Process) -> None:
            # The moment lets asyncio notice that it has left already: never kill a process number
            # that has been given to somebody else since.
            patience_s = _EXIT_S if self._eof_reached else 0.01
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), patience_s)
            if process.returncode is None:
                process.kill()
            # asyncio calls a process gone when its pipes have ended, and nobody reads this one.
            while process.stdout is not None and await process.stdout.read(1 << 16):
                pass
            await process.wait()
            self.exit_code = process.returncode

    return Capture


def _dissection(packet: Any) -> Dissection:
    """Join pyshark's layers into one record: each IP header begins a new packet in the last one."""
    frame = Dissection(
        int(packet.number),
        tuple(layer.layer_name for layer in packet.layers),
        expert=tuple(
            message for layer in packet.layers for message in _all(layer, "_ws.expert.message")
        ),
    )
    current = frame
    for layer in packet.layers:
        name = layer.layer_name
        if name in ("ip", "ipv6"):
            outer = None if current is frame else current
            current = replace(frame, outer=outer, **_addresses(layer))
        elif name in ("tcp", "udp"):
            current = replace(current, **_transport(layer, name))
        elif name in ("icmp", "icmpv6"):
            current = replace(current, **_icmp(layer, name))
    return current


def _addresses(layer: Any) -> dict[str, Any]:
    """Addresses and protocol of the first IP header in a layer; nothing if there is none."""
    for name in ("ip", "ipv6"):
        source, destination = _first(layer, f"{name}.src"), _first(layer, f"{name}.dst")
        if source is not None and destination is not None:
            return {
                "source": ip_address(source),
                "destination": ip_address(destination),
                "protocol": _number(layer, "ip.proto") if name == "ip" else _upper_layer(layer),
            }
    return {}


def _upper_layer(layer: Any) -> int | None:
    """What comes after IPv6 and its extension headers, of which the last in the frame knows."""
    nexts = [
        (int(field.pos), int(field.show))
        for container in layer._all_fields.values()
        for field in container.all_fields
        if field.name.endswith(_NEXT)
    ]
    return max(nexts)[1] if nexts else None


def _transport(layer: Any, name: str) -> dict[str, Any]:
    """Ports, and for TCP flags and numbers, of the first such header in a layer."""
    ports = {"sport": _number(layer, f"{name}.srcport"), "dport": _number(layer, f"{name}.dstport")}
    if name == "udp":
        return ports
    flags = _number(layer, "tcp.flags")
    return ports | {
        "flags": None if flags is None else Flags(flags & 0xFF),  # the ninth is AccECN's
        "seq": _number(layer, "tcp.seq_raw", "tcp.seq"),
        "ack": _number(layer, "tcp.ack_raw", "tcp.ack"),
    }


def _icmp(layer: Any, name: str) -> dict[str, Any]:
    """Type and code, and what the message quotes."""
    fields: dict[str, Any] = {
        "icmp_version": 4 if name == "icmp" else 6,
        "icmp_type": _number(layer, f"{name}.type"),
        "icmp_code": _number(layer, f"{name}.code"),
    }
    quoted = _addresses(layer)
    transport = {_TCP: "tcp", _UDP: "udp"}.get(quoted.get("protocol", -1))
    if transport is not None:
        quoted |= _transport(layer, transport)
    wanted = ("source", "destination", "protocol", "sport", "dport", "seq")
    return fields | {f"quoted_{key}": quoted.get(key) for key in wanted}


def _all(layer: Any, name: str) -> Iterator[str]:
    """Every value of a field in a layer, in order."""
    container = layer._all_fields.get(name)
    fields: Iterable[Any] = () if container is None else container.all_fields
    return (field.show for field in fields)


def _first(layer: Any, name: str) -> str | None:
    return next(_all(layer, name), None)


def _number(layer: Any, *names: str) -> int | None:
    """The first of these fields that is there."""
    for name in names:
        text = _first(layer, name)
        if text is not None:
            return int(text, 0)
    return None
