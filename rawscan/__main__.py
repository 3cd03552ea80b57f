"""The program's beginning: `python -m rawscan`, and what the `rawscan` script calls.

It loads nothing before it can answer Ctrl-C in one line: click alone takes 0.03 s to import.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from rawscan.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("rawscan: interrupted\n")
        sys.exit(130)  # `rawscan.errors.INTERRUPTED`, which may not have been loaded
    run()


if __name__ == "__main__":
    main()
