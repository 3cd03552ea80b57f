"""Which capture files are meant: files, directories of them, patterns, and standard input.

Looks at directories; opens nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import BinaryIO

from rawscan.errors import CaptureError

Source = Path | BinaryIO | CaptureError
"""What is to be read, or what is wrong with it."""

_FORMATS = (".pcap", ".pcapng", ".cap")
_PACKINGS = (".gz", ".zst", ".xz", ".lz4", ".bz2")
ENDINGS = (*_FORMATS, *(name + packing for name in _FORMATS for packing in _PACKINGS))


def sources(names: Sequence[str], stop: Callable[[], bool] = lambda: False) -> Iterator[Source]:
    """Files as named, the captures in directories by name, and standard input for `-`.

    `*`, `?`, `[...]` and `**` are taken as the shell does, where no file has that very name. What
    is wrong with a name comes in its place, as the error that it is.
    """
    for name in names:
        path = Path(name)
        if name == "-":
            yield sys.stdin.buffer
        elif path.is_dir():
            yield from _captures_in(path, stop)
        elif has_magic(name) and not path.exists():
            yield from _matching(name, stop)
        else:
            yield path


def _matching(pattern: str, stop: Callable[[], bool]) -> Iterator[Source]:
    names = sorted(glob(pattern, recursive=True))  # noqa: PTH207  # Path.glob takes hidden files too
    if not names:
        yield CaptureError(f"{pattern}: no file is named like that")
    for path in map(Path, names):
        if path.is_dir():
            yield from _captures_in(path, stop)
        else:
            yield path


def _captures_in(directory: Path, stop: Callable[[], bool]) -> Iterator[Source]:
    found: list[Path] = []
    failures: list[OSError] = []
    for folder, _, names in os.walk(directory, onerror=failures.append):
        if stop():  # the tree may be a whole system's
            return
        for path in (Path(folder, name) for name in names if name.endswith(ENDINGS)):
            try:
                found += [path] if path.is_file() else []
            except OSError as error:
                failures.append(error)
    for failure in failures:
        yield CaptureError(f"{failure.filename}: cannot be looked into: {failure.strerror}")
    yield from sorted(found)
    if not found and not failures:
        yield CaptureError(
            f"{directory}: holds no file that ends in {' '.join(_FORMATS)},"
            f" nor in one of them and {' '.join(_PACKINGS)}"
        )
