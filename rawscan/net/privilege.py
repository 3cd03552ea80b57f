"""What to tell a user who may not open raw sockets. Reads nothing but where Python lies."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote

from rawscan.errors import PrivilegeError


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
