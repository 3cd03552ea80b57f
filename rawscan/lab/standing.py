"""A lab that stays up between commands: `up`, `find`, `down`. One for each user.

The warden, a process of its own, builds the lab and holds it; when it ends, however it ends, the
keeper takes the lab down. One file, in the user's runtime directory, says who the warden is. It is
believed only if that very process still runs, so a file that a crash has left harms nobody.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawscan.errors import LabError
from rawscan.lab.build import BUILD_TIMEOUT_S, Door, Lab, module_environment
from rawscan.lab.records import Plan

_DOWN_TIMEOUT_S = 15.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Standing:
    """A lab that is up: its name, the way in, its hosts and their addresses, and its warden."""

    name: str
    door: Door
    hosts: tuple[tuple[str, str, str, str], ...]
    warden: int


def runtime_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the file is: $XDG_RUNTIME_DIR/rawscan, or a directory of this user's own in /tmp."""
    place = Path(environment.get("XDG_RUNTIME_DIR", ""))
    if place.is_absolute() and place.is_dir():
        return place / "rawscan"
    return Path(tempfile.gettempdir()) / f"rawscan-{os.getuid()}"


def up(name: str, plan: Plan) -> Standing:
    """Build a lab that stays up. Raises `LabError` if one is up, or it cannot be built."""
    standing = find()
    if standing is not None:
        raise LabError(f"the lab {standing.name!r} is up already; `rawscan lab down` takes it down")
    _own_directory()
    warden = subprocess.Popen(
        [sys.executable, "-P", "-m", "rawscan.lab.standing", str(_file()), name],
        env=module_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    said = _hand_over(warden, pickle.dumps(plan))
    standing = find()
    if standing is None:
        _tidy(_file())
        raise LabError(said.decode(errors="replace").strip() or "the lab's warden ended at once")
    return standing


def _hand_over(warden: subprocess.Popen[bytes], plan: bytes) -> bytes:
    """Give the plan to the warden, and read what it says until it has nothing more to say."""
    assert warden.stdin is not None
    assert warden.stdout is not None
    with contextlib.suppress(BrokenPipeError), warden.stdin:
        warden.stdin.write(plan)
    said, deadline = b"", time.monotonic() + BUILD_TIMEOUT_S
    with warden.stdout:
        while True:
            left_s = max(deadline - time.monotonic(), 0)
            if not select.select([warden.stdout], [], [], left_s)[0]:
                warden.kill()
                raise LabError(f"the lab was not up after {BUILD_TIMEOUT_S:.0f} s")
            piece = os.read(warden.stdout.fileno(), 4096)
            if not piece:
                return said
            said += piece


def find() -> Standing | None:
    """The lab that is up; None if none is. A file that nobody stands behind is removed."""
    try:
        data = json.loads(_file().read_text())
        mine = _file().stat().st_uid == os.getuid()
        standing = Standing(
            name=data["name"],
            door=Door(data["keeper"], data["namespaces"], data["user_namespace"]),
            hosts=tuple(tuple(host) for host in data["hosts"]),
            warden=data["warden"],
        )
        alive = mine and _mark_of(standing.warden) == data["mark"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError):
        alive = False
    if not alive:
        _tidy(_file())
        return None
    return standing


def down() -> bool:
    """Take the lab down and wait until it is; False if none was up."""
    standing = find()
    if standing is None:
        return False
    os.kill(standing.warden, signal.SIGTERM)
    if not _gone(standing.warden):
        os.kill(standing.warden, signal.SIGKILL)  # the keeper notices, and takes the lab down
        _gone(standing.warden)
    if not _gone(standing.door.keeper):
        raise LabError(f"the lab's keeper, process {standing.door.keeper}, does not end")
    _tidy(_file())
    return True


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + _DOWN_TIMEOUT_S
    while _mark_of(pid) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _mark_of(pid: int) -> str | None:
    """What tells this process from a later one with its number; None if it has ended.

    The boot, and the time at which the process started (proc(5), field 22 of stat).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{_BOOT.read_text().strip()} {fields[19]}"


def _file() -> Path:
    return runtime_directory() / "lab.json"


def _own_directory() -> None:
    """Make the directory; it must be this user's, or others could lead us into their namespaces."""
    place = runtime_directory()
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        status = place.stat(follow_symlinks=False)
    except OSError as error:
        raise LabError(f"{place}: {error.strerror}; set XDG_RUNTIME_DIR to another place") from None
    if status.st_uid != os.getuid() or not place.is_dir():
        raise LabError(f"{place} belongs to somebody else; set XDG_RUNTIME_DIR to another place")


def _tidy(path: Path) -> None:
    """Remove the file and, if that was all in it, the directory."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def _note(name: str, lab: Lab) -> dict[str, Any]:
    door = lab.door
    return {
        "name": name,
        "keeper": door.keeper,
        "namespaces": dict(door.namespaces),
        "user_namespace": door.user_namespace,
        "hosts": [[h.name, str(h.v4), str(h.v6), h.note] for h in lab.plan.hosts],
        "warden": os.getpid(),
        "mark": _mark_of(os.getpid()),
    }


def main() -> int:
    """Be the warden: build the lab, say so in the file, hold it until told to end."""
    path, name = Path(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with Lab.up(pickle.load(sys.stdin.buffer)) as lab:
            fresh = path.with_suffix(".new")
            try:
                fresh.write_text(json.dumps(_note(name, lab)))
                fresh.replace(path)
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                lab.wait()
            finally:
                fresh.unlink(missing_ok=True)
                _tidy(path)
    except (LabError, OSError) as error:
        print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
