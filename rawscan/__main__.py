"""The program's beginning: `python -m rawscan`, and what the `rawscan` script calls.

It loads nothing before it can answer Ctrl-C in one line: click alone takes 0.03 s to import.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line and exit."""
    gc.set_threshold(50_000)  # modules are many objects and no garbage: 5 % of a start
    try:
        from rawscan.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("rawscan: interrupted\n")
        sys.exit(130)  # `rawscan.errors.INTERRUPTED`, which may not have been loaded
    code: object = 0
    try:
        run()
    except SystemExit as end:
        code = end.code
    with suppress(OSError):  # nobody is left to be told
        sys.stdout.flush()
        sys.stderr.flush()
    # All is closed and written. To take itself apart would cost Python another 0.02 s.
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
