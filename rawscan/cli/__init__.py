"""The command line: one thin file a command, which parses, calls and prints.

This file finds the command, loads no other, and turns errors into messages and exit codes:
0 done, 1 not finished, 2 usage, 3 no privilege, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from rawscan import __version__
from rawscan.errors import INTERRUPTED, RawscanError

_COMMANDS = {
    "scan": "Probe ports and say which state they are in, and why.",
    "pcap": "Read captures and reach the same verdicts by the same rules.",
    "explain": "Explain a verdict, a state or a rule; show the rule table.",
    "lesson": "Learn port states from first principles, in a lab of your own.",
    "quiz": "Which state is it? Questions from real exchanges.",
    "lab": "A network of real kernels and firewalls to scan, without root.",
}


class _Commands(click.Group):
    """Loads a command's module when that command is used: start-up time is a feature."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"rawscan.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Scan only what you may. Port 561 is asked when no other is named.",
)
@click.version_option(__version__, "-V", "--version", message="rawscan %(version)s")
def cli() -> None:
    """Tell open, closed and filtered apart, live and in captures, and say why."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = cli.main(arguments, prog_name="rawscan", standalone_mode=False)
        sys.stdout.flush()  # what cannot be written is to be told here
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RawscanError as error:
        click.echo(f"rawscan: {error}", err=True)
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("rawscan: interrupted", err=True)
        return INTERRUPTED
    except OSError as error:  # a full disk, mostly
        if not isinstance(error, BrokenPipeError):  # else there is nobody left to tell
            click.echo(f"rawscan: cannot go on: {error}", err=True)
        # What is still in the buffer would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0
