"""What to tell a user who may not open raw sockets. Reads where Python lies, and /proc."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote

from rawscan.errors import PrivilegeError

_CAP_NET_RAW = 13  # linux/capability.h


def may_open_raw_sockets(status: Path = Path("/proc/self/status")) -> bool:
    """Whether this process has CAP_NET_RAW (proc(5), `CapEff`), without trying it."""
    try:
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return bool(int(fields["CapEff"], 16) >> _CAP_NET_RAW & 1)
    except (OSError, KeyError, ValueError):
        return False


def missing_privilege() -> PrivilegeError:
    """The one error for it. Capabilities sit on files, and a virtualenv's python is a link."""
    interpreter = Path(sys.executable).resolve()
    return PrivilegeError(
        "raw sockets need root or the capability CAP_NET_RAW; nothing was sent. Either\n"
        f"  run it with sudo:            sudo {_this_program()} ...\n"
        "  or give it to this Python:   "
        f"sudo setcap cap_net_raw+ep {quote(str(interpreter))}\n"
        "  (then every script run by that Python has it; take it back with setcap -r)"
    )


def _this_program() -> str:
    """How to call this program from sudo, which has a PATH of its own."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{quote(sys.executable)} -m rawscan"
    return quote(str(program.absolute()))
