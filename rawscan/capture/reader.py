"""Opens a capture file and gives out its frames. Reads files and streams; writes nothing.

Whatever has been captured before a file was cut short or damaged is given out; what could not be
read is said in `CaptureReader.error`. Only a file that is no capture at all raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import BinaryIO, Final, Literal, Protocol, Self, TypeVar

from rawscan.capture import pcap, pcapng
from rawscan.capture.batch import Chosen, Sift, choose
from rawscan.capture.blocks import SECTION_MAGIC
from rawscan.capture.note import SectionNote
from rawscan.capture.segments import Parser, can_share, read_shared
from rawscan.capture.source import CutShortError, Source
from rawscan.capture.unpack import Unpacked, name_of, packing_of
from rawscan.capture.waiting import StoppedError, WaitingStream, open_patiently, waits
from rawscan.errors import CaptureError
from rawscan.model import Frame

T = TypeVar("T")

_SNIFF_BYTES = 8
_MOST_TOLD = 4
"""So many damages of a file are told of."""

_EXPECTED = (
    "expected pcap (d4 c3 b2 a1, a1 b2 c3 d4, 4d 3c b2 a1 or a1 b2 3c 4d) or pcapng "
    "(0a 0d 0d 0a), plain or packed (gzip, zstd, xz, lz4, bzip2)"
)
_CONVERT = "convert it first: editcap -F pcapng {name} OUT.pcapng"
_FOREIGN: Final[dict[bytes, tuple[str, str]]] = {
    b"\xa1\xb2\xcd\x34": ("is in Kuznetzov's modified pcap format", _CONVERT),
    b"\x34\xcd\xb2\xa1": ("is in Kuznetzov's modified pcap format", _CONVERT),
    b"snoop\x00": ("is in the snoop format", _CONVERT),
}
"""How formats begin that are worth naming -> what it is, what to do."""


class _Parser(Parser, Protocol):
    linktypes: list[int]
    notes: list[SectionNote | None]

    def frames(self) -> Iterator[Frame]: ...

    def at(self, source: Source) -> Parser: ...

    def close(self) -> None: ...


class CaptureReader:
    """The frames of one capture file, in one pass. Close it, or use it as a context manager.

    All but `name` and `format` fill up during the pass and are final at its end:
    `linktypes` are those of the described interfaces, each once, in their order; `notes` has an
    entry for each pcapng section (None where rawscan left no note) and none for pcap; `drops`
    says, of sections with a note, when drops were noticed and how many by then; `packets` counts
    the frames given out, `bytes` their lengths on the wire. `error` says where (`offset` in bytes,
    of the unpacked file if it is packed) and why reading stopped before the file's end; `truncated`
    that this was because the file is cut short; `stopped`, which is no error, that `stop()` ended
    the wait for more. `path` is there if the file can be read once more, and `file` if it is
    packed: the source of the packed bytes.
    """

    def __init__(
        self,
        name: str,
        format: Literal["pcap", "pcapng"],
        parser: _Parser,
        owned: BinaryIO | None = None,
    ) -> None:
        self.name = name
        self.path: Path | None = None
        self.file: Source | None = None
        self.format = format
        self.linktypes = parser.linktypes
        self.notes = parser.notes
        self.drops = parser.drops
        self.packets = 0
        self.bytes = 0
        self.truncated = False
        self.stopped = False
        self.error: CaptureError | None = None
        self._owned = owned
        self._parser = parser
        self._frames = self._safely(self._counted())

    def __iter__(self) -> Iterator[Frame]:
        """The frames not yet given out: a second loop goes on where the first stopped."""
        return self._frames

    def chosen(self, sift: Sift, jobs: int = 1) -> Iterator[Chosen]:
        """All frames in parts, of which only those are given out that `sift` chooses.

        The same frames, counts and errors as from a loop over the reader, many times as fast, and
        faster yet with several processes (`jobs`). Frames bear their numbers in the file.
        """
        return self._safely(self._sifted(sift, jobs))

    def again(self, sift: Sift, jobs: int = 1) -> Iterator[Frame]:
        """From the beginning once more, up to where this pass came to. Only with a `path`."""
        assert self.path is not None
        with open_capture(self.path, name=self.name) as reader:
            for chosen in reader.chosen(sift, jobs):
                yield from (frame for number, frame in chosen.frames if number <= self.packets)
                if reader.packets >= self.packets:
                    return

    def how_far(self) -> tuple[int, int | None]:
        """Bytes of the file that have been read, packed if they are, and how many there are."""
        size = self.path.stat().st_size if self.path is not None else None
        return (self.file or self._parser).offset, size

    def _counted(self) -> Iterator[Frame]:
        for frame in self._parser.frames():
            self.packets += 1
            self.bytes += frame.original_bytes
            yield frame

    def _sifted(self, sift: Sift, jobs: int) -> Iterator[Chosen]:
        for chosen in self._parts(sift, jobs):
            chosen.frames = chosen.frames.after(self.packets)
            self.packets += chosen.tally.packets
            self.bytes += chosen.tally.bytes
            yield chosen

    def _parts(self, sift: Sift, jobs: int) -> Iterator[Chosen]:
        parser, path = self._parser, self.path
        size = path.stat().st_size if path and not self.file else 0
        if path is None or not can_share(size, jobs):
            return (choose(batch, sift) for batch in parser.batches())

        def reopen(offset: int) -> Parser:
            stream = path.open("rb")
            stream.seek(offset)
            return parser.at(Source(stream, self.name, base=offset))

        return read_shared(parser, reopen, size, sift, jobs)

    def _safely(self, items: Iterator[T]) -> Iterator[T]:
        """The items up to the end, or to what is wrong there, which is noted."""
        last: list[CaptureError] = []
        try:
            yield from items
        except StoppedError:
            self.stopped = True
        except CaptureError as error:
            last.append(error)
            self.truncated = isinstance(error, CutShortError)
        finally:
            self.error = _summary(self.name, [*self._parser.damages, *last])

    def close(self) -> None:
        """Close the file, if `open_capture` opened it. Nothing is given out after this."""
        self._frames = iter(())
        self._parser.close()
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        """For `with`: closes at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def open_capture(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    stop: Callable[[], bool] | None = None,
) -> CaptureReader:
    """Open a pcap or pcapng file, plain or packed; told apart by content, not by name.

    A stream (standard input) is read from where it is, need not be seekable, and is left open.
    `name` is what messages call it. While a pipe is quiet, `stop` is asked whether to go on; what
    the stream has buffered itself is then passed over. Raises `CaptureError` for what is no
    capture, of the kind `StoppedError` if it was stopped before that could be told.
    """
    if not isinstance(source, Path):
        return _open_stream(source, name or str(getattr(source, "name", "stream")), None, stop)
    name = name or str(source)
    try:
        stream = source.open("rb") if stop is None else open_patiently(source)
    except IsADirectoryError:
        raise CaptureError(f"{name}: is a directory; name the capture files in it") from None
    except OSError as error:
        raise CaptureError(f"{name}: cannot be opened: {error.strerror}") from error
    try:
        reader = _open_stream(stream, name, stream, stop)
    except BaseException:
        stream.close()
        raise
    reader.path = source if source.is_file() else None
    return reader


def _open_stream(
    stream: BinaryIO, name: str, owned: BinaryIO | None, stop: Callable[[], bool] | None
) -> CaptureReader:
    live = stop is not None and waits(stream)
    source = Source(WaitingStream(stream, name, stop) if live and stop else stream, name)
    if not source.more():
        raise CaptureError(f"{name}: is empty (0 bytes); {_EXPECTED}", offset=0)
    source.need(_SNIFF_BYTES)
    packing = packing_of(source.peek(_SNIFF_BYTES))
    file = source if packing is not None else None
    if packing is not None:
        source = _unpacked(source, packing)
    magic = source.peek(4)
    if magic in pcap.MAGICS:
        reader = CaptureReader(name, "pcap", pcap.PcapParser(source), owned)
    elif magic == SECTION_MAGIC:
        reader = CaptureReader(name, "pcapng", pcapng.PcapngParser(source), owned)
    else:
        raise _no_capture(source)
    reader.file = file
    return reader


def _unpacked(source: Source, packing: bytes) -> Source:
    """The source of what is packed in `source`."""
    name, packer = source.name, name_of(packing)
    try:
        unpacked = Unpacked(source.read, packing)
    except ImportError as error:
        raise CaptureError(
            f"{name}: is packed with {packer}, and the Python package for that is not there "
            f"({error}); unpack it first: {packer} -dk {quote(name)}",
            offset=0,
        ) from error
    source = Source(unpacked, name, "byte (unpacked)")
    if not source.more():
        raise CaptureError(f"{name}: is a {packer} file of nothing; {_EXPECTED}", offset=0)
    source.need(_SNIFF_BYTES)
    return source


def _summary(name: str, errors: list[CaptureError]) -> CaptureError | None:
    """All that was wrong with a file, in one error: that of its first."""
    if len(errors) < 2:
        return errors[0] if errors else None
    shown = [str(error).removeprefix(f"{name}: ") for error in errors]
    if len(shown) > _MOST_TOLD:
        shown[_MOST_TOLD - 1 : -1] = [f"{len(shown) - _MOST_TOLD} more of that kind"]
    return CaptureError(f"{name}: {'; '.join(shown)}", errors[0].offset)


def _no_capture(source: Source) -> CaptureError:
    """Say what the file is instead, as far as its first bytes tell."""
    head = source.peek(_SNIFF_BYTES)
    for magic, (what, remedy) in _FOREIGN.items():
        if head.startswith(magic):
            todo = remedy.format(name=quote(source.name))
            return CaptureError(f"{source.name}: {what}; {todo}", offset=0)
    packed = "" if source.unit == "byte" else " once unpacked"
    return CaptureError(
        f"{source.name}: is no capture that rawscan reads: it begins with {head.hex(' ')}{packed}; "
        f"{_EXPECTED}; other capture formats: {_CONVERT.format(name=quote(source.name))}",
        offset=0,
    )
