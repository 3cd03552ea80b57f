"""`Lab`: builds a plan from network namespaces, runs programs in it, and takes it down again.

Needs no root and never touches the host's network: all it makes lives in namespaces which the
`keeper` process holds. The keeper dies with this process, also by SIGKILL, and they with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from rawscan.errors import LabError
from rawscan.lab.plan import BASIC, Plan
from rawscan.lab.tools import explain_refusal, may_make_namespaces, require_tools, search_path

BUILD_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Door:
    """The way into a lab that is up, for whichever process of the same user.

    `keeper` is the process that holds the namespaces, `namespaces` says under which file numbers.
    """

    keeper: int
    namespaces: Mapping[str, int]
    user_namespace: bool

    def namespace(self, host: str) -> Path:
        """Where the network namespace of `host` can be opened; `scanner` and `router` too."""
        if host not in self.namespaces:
            names = ", ".join(self.namespaces)
            raise LabError(f"the lab has no namespace for {host!r}; it has {names}")
        return Path(f"/proc/{self.keeper}/fd/{self.namespaces[host]}")

    def argv(self, host: str, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` on `host`."""
        prefix = ["nsenter", f"--net={self.namespace(host)}"]
        if self.user_namespace:
            prefix += [f"--user=/proc/{self.keeper}/ns/user", "--preserve-credentials"]
        return [*prefix, "--", *command]

    def run(
        self, command: Sequence[str], host: str = "scanner", **options: Any
    ) -> subprocess.CompletedProcess[Any]:
        """`subprocess.run` on a host of the lab."""
        options = {"check": False, **_with_path(options)}
        return subprocess.run(self.argv(host, command), **options)  # noqa: PLW1510  (in options)


class Lab:
    """A lab that is up. Make one with `Lab.up()`, best in a `with` statement."""

    def __init__(self, plan: Plan, keeper: subprocess.Popen[bytes], user_namespace: bool) -> None:
        self.plan = plan
        self._keeper = keeper
        self._user_namespace = user_namespace
        self._namespaces: dict[str, int] = {}
        self._started: list[subprocess.Popen[Any]] = []

    @classmethod
    def up(cls, plan: Plan = BASIC) -> Lab:
        """Build the plan; return when every address, listener and firewall of it works."""
        require_tools()
        # With the privilege to do without, no user namespace: inside one, root would lose the
        # right to read other users' files, such as this program in the home of whoever used sudo.
        user_namespace = not may_make_namespaces()
        lab = cls(plan, _start_keeper(user_namespace), user_namespace)
        try:
            lab._await_keeper()
        except BaseException:  # also Ctrl-C
            lab.close()
            raise
        return lab

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._keeper.pid

    def namespace(self, host: str) -> Path:
        """Where the network namespace of `host` can be opened; `scanner` and `router` too."""
        return self.door.namespace(host)

    @property
    def door(self) -> Door:
        """The way in, for other processes as well; it leads nowhere once the lab is down."""
        if self._keeper.poll() is not None:
            raise LabError("the lab is down: its keeper has ended")
        return Door(self.pid, self._namespaces, self._user_namespace)

    def argv(self, host: str, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` on `host`."""
        return self.door.argv(host, command)

    def run(
        self, command: Sequence[str], host: str = "scanner", **options: Any
    ) -> subprocess.CompletedProcess[Any]:
        """`subprocess.run` on a host of the lab."""
        return self.door.run(command, host, **options)

    def popen(
        self, command: Sequence[str], host: str = "scanner", **options: Any
    ) -> subprocess.Popen[Any]:
        """`subprocess.Popen` on a host of the lab; killed when the lab goes down."""
        process = subprocess.Popen(self.argv(host, command), **_with_path(options))
        self._started.append(process)
        return process

    def wait(self) -> None:
        """Return when the keeper has ended, and the lab with it."""
        self._keeper.wait()

    def close(self) -> None:
        """Take the lab down, and with it every process in it. Harmless when it is down already."""
        for pipe in (self._keeper.stdin, self._keeper.stdout, self._keeper.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._keeper.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(CLOSE_TIMEOUT_S)  # killed by the keeper; this only collects it
        self._started = []

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _await_keeper(self) -> None:
        """Hand the plan over and wait for the report."""
        stdin, stdout, stderr = self._keeper.stdin, self._keeper.stdout, self._keeper.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone; what it said tells why
            stdin.write(pickle.dumps(self.plan))
            stdin.flush()
        line = _read_line(stdout)
        if not line:
            raise LabError(explain_refusal(_last_line(stderr)))
        report = json.loads(line)
        if "error" in report:
            raise LabError(f"the lab could not be built: {report['error']}")
        self._namespaces = report["namespaces"]


def _start_keeper(user_namespace: bool) -> subprocess.Popen[bytes]:
    """Start the keeper in a network namespace of its own, so that it is never in the host's."""
    command = ["unshare", "--net"]
    if user_namespace:
        command += ["--user", "--map-root-user"]
    with _own_pidfd() as watched:
        command += ["--", sys.executable, "-P", "-m", "rawscan.lab.keeper", *map(str, watched)]
        return subprocess.Popen(
            command,
            env=module_environment(),
            pass_fds=watched,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C at a terminal is for this process, which then takes the lab down in order.
            start_new_session=True,
        )


def module_environment() -> dict[str, str]:
    """Environment in which `python -P -m rawscan...` finds this very program, and system tools."""
    root = str(Path(__file__).parents[2])
    return {
        **os.environ,
        "PATH": search_path(),
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
    }


@contextlib.contextmanager
def _own_pidfd() -> Iterator[list[int]]:
    """A file that tells the keeper of this process's death, if the kernel has such (Linux 5.3).

    The pipe's end tells too, unless a forked child still holds it.
    """
    try:
        pidfd = os.pidfd_open(os.getpid())
    except OSError:
        yield []
        return
    try:
        yield [pidfd]
    finally:
        os.close(pidfd)


def _read_line(stream: IO[bytes]) -> bytes:
    ready, _, _ = select.select([stream], [], [], BUILD_TIMEOUT_S)
    if not ready:
        raise LabError(f"the lab was not up after {BUILD_TIMEOUT_S:.0f} s")
    return stream.readline()


def _last_line(stream: IO[bytes]) -> str:
    lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"


def _with_path(options: dict[str, Any]) -> dict[str, Any]:
    """Let programs in /usr/sbin be found, also for users whose PATH lacks it."""
    environment = dict(options.get("env") or os.environ)
    environment["PATH"] = os.pathsep.join([environment.get("PATH", ""), search_path()])
    return {**options, "env": environment}
