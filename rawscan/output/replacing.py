"""A file that takes its name only when it is whole: until then the old one stays. Writes files."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TextIO


class Replacing:
    """A text file beside `path` that is moved over it in the end.

    It lies in the same directory as a hidden file with the ending `.part`, where a killed process
    leaves it; the next one for the same name takes its place.
    """

    def __init__(self, path: Path) -> None:
        """Create the file, with the mode and, if we may, the owner of the old one."""
        self._path = path.resolve()  # what links lead to is replaced, not the link
        self._part = self._path.with_name(f".{self._path.name}.part")
        self._part.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(self._part, flags, 0o666)
        with suppress(FileNotFoundError):
            before = self._path.stat()
            with suppress(PermissionError):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
        self.stream: TextIO = os.fdopen(descriptor, "w", encoding="utf-8", newline="")

    def commit(self) -> None:
        """Give it its name."""
        self.stream.close()
        try:
            self._part.replace(self._path)
        except OSError:  # A file that is a mount point can be filled only.
            shutil.copyfile(self._part, self._path)
            self._part.unlink()

    def discard(self) -> None:
        """Leave the old file as it is."""
        self._part.unlink(missing_ok=True)
        with suppress(OSError):  # What it could not write is not wanted any more.
            self.stream.close()


def replaceable(path: Path) -> bool:
    """Can another file take this one's place without anybody's noticing but by its content?

    Not if it is a pipe or a device, has several names, is open already (as standard output, say),
    or lies where we may not create files.
    """
    if not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        return False
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and not _is_open(status)


def _is_open(status: os.stat_result) -> bool:
    for opened in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if os.path.samestat(opened.stat(), status):
                return True
    return False
