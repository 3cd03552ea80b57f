"""Two network namespaces and a cable between them, for tests of what only a real kernel decides.

`call` runs a function of a test module in a process of its own, inside a fresh namespace that
leads nowhere; there, `Peer` makes a second one at the other end of a veth pair.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.story import apart

_IN_THE_NAMESPACE = """
import importlib, json, sys
function = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
print(json.dumps(function(*json.loads(sys.argv[3]))))
"""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns inside a namespace of its own; all as JSON."""
    program = [sys.executable, "-c", _IN_THE_NAMESPACE, function.__module__, function.__name__]
    done = subprocess.run(
        apart([*program, json.dumps(arguments)]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ip(*lines: str, prefix: Iterable[str] = ()) -> None:
    """Lines for `ip -batch`; those that begin with `-6 ` are for IPv6, and come last."""
    six = [line[3:] for line in lines if line.startswith("-6 ")]
    plain = [line for line in lines if not line.startswith("-6 ")]
    for flags, batch in (([], plain), (["-6"], six)):
        done = subprocess.run(
            [*prefix, "ip", *flags, "-batch", "-"],
            input="\n".join(batch),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


def setting(name: str, value: str, prefix: Iterable[str] = ()) -> None:
    """Write /proc/sys/net/`name`."""
    write = ["sh", "-c", f"echo {value} > /proc/sys/net/{name}"]
    subprocess.run([*prefix, *write], check=True, timeout=10)


class Peer:
    """The namespace at the other end; its interface is `far`, ours has the name `near`."""

    def __init__(self, near: str) -> None:
        self._near = near
        command = ["unshare", "--net", "--", "sh", "-c", "echo ready; exec cat"]
        self._holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        self.prefix = ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--"]
        ip(f"link add {near} type veth peer name far netns {self._holder.pid}")
        for prefix in ((), self.prefix):
            for scope in ("all", "default"):
                setting(f"ipv6/conf/{scope}/accept_dad", "0", prefix)
                setting(f"ipv4/conf/{scope}/rp_filter", "0", prefix)
        self.ip("link set lo up", "link set far up")
        ip(f"link set {near} up")

    def ip(self, *lines: str) -> None:
        """Lines for `ip -batch` over there."""
        ip(*lines, prefix=self.prefix)

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._holder.stdin is not None
        # The kernel takes its time to remove a namespace; the pair goes at once.
        subprocess.run(["ip", "link", "del", self._near], check=False, timeout=10)
        self._holder.stdin.close()  # cat ends, and the namespace with it
        self._holder.wait(10)
