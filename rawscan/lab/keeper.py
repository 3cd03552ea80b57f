"""The lab's one long-lived process: makes every network namespace, holds it open, takes it down.

Run as `python -m rawscan.lab.keeper [PIDFD]` in a fresh network namespace (`build` sees to that),
so it never stands in the host's network. It reads a pickled plan from standard input, builds it,
writes one line of JSON, and waits until standard input ends or the process behind PIDFD dies. The
namespaces have no names, they live through this process's open files: when it ends, however it
ends, the kernel removes them, and nothing is left for a next run to trip over.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from rawscan.errors import LabError
from rawscan.lab import firewall, wiring
from rawscan.lab.kernel import (
    connects,
    enter,
    has_tentative_address,
    new_namespace,
    plain_checksums,
)
from rawscan.lab.records import FAMILIES, Host, Plan

PATIENCE_S = 10.0
"""For any one step; the whole lab takes a fraction of a second."""

Job = tuple[str, subprocess.Popen[str]]
"""A namespace's name, and a program that sets something up in it."""


class Keeper:
    """Builds a plan and owns its namespaces (`namespaces`: name -> open file) and services."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.namespaces: dict[str, int] = {}
        self.services: list[subprocess.Popen[bytes]] = []

    def build(self) -> None:
        """Make namespaces, cables, addresses, firewalls and services; return when all work."""
        for name in self.plan.namespaces():
            self.namespaces[name] = new_namespace()
            self._set_kernel(name)
        cables = wiring.router_batch(self.plan, self.path)
        self._finish([self._start("router", ["ip", "-batch", "-"], cables)])
        jobs = [
            self._start("scanner", ["ip", "-batch", "-"], wiring.scanner_batch(self.plan)),
            self._start("router", ["nft", "-f", "-"], firewall.router_rules(self.plan)),
        ]
        for host in self._hosts():
            batch = wiring.host_batch(self.plan, host)
            jobs.append(self._start(host.name, ["ip", "-batch", "-"], batch))
            if rules := firewall.host_rules(host):
                jobs.append(self._start(host.name, ["nft", "-f", "-"], rules))
        self._finish(jobs)
        for name in self.namespaces:
            if name != "router":  # it forwards, and what it says itself is ICMP
                self._enter(name)
                plain_checksums("eth0")
        self._serve()
        self._check()

    def _hosts(self) -> list[Host]:
        return [host for host in self.plan.hosts if host.has_namespace]

    def path(self, name: str) -> str:
        """Where other programs find a namespace."""
        return f"/proc/{os.getpid()}/fd/{self.namespaces[name]}"

    def _enter(self, name: str) -> None:
        enter(self.namespaces[name])

    def _set_kernel(self, name: str) -> None:
        """Write the kernel settings of the namespace that this process has just made."""
        for key, value in wiring.settings(self.plan, name).items():
            path = Path("/proc/sys/net") / key
            try:
                path.write_text(value + "\n")
            except FileNotFoundError:
                if key not in wiring.OPTIONAL_SETTINGS:
                    raise LabError(f"this kernel has no {path} (is IPv6 turned off?)") from None
            except OSError as error:
                raise LabError(f"cannot write {path}: {error.strerror}") from error

    def _start(self, name: str, command: list[str], text: str) -> Job:
        """Start `command` in a namespace, with `text` as its standard input."""
        self._enter(name)
        job = subprocess.Popen(
            command,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert job.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it failed early; its exit code tells
            job.stdin.write(text)
            job.stdin.flush()
        job.stdin.close()
        job.stdin = None
        return name, job

    def _finish(self, jobs: list[Job]) -> None:
        """Wait for what was started; they all ran at the same time, which is what makes it fast."""
        for name, job in jobs:
            _, stderr = job.communicate(timeout=PATIENCE_S)
            if job.returncode:
                command = shlex.join(job.args) if isinstance(job.args, list) else job.args
                raise LabError(f"{command!r} for {name!r} failed: {stderr.strip()}")

    def _serve(self) -> None:
        """Start listeners and actors, and wait for each to say that it is there."""
        for host in self._hosts():
            command = self._service(host)
            if not command:
                continue
            self._enter(host.name)
            self.services.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", *command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
        for service in self.services:
            assert service.stdout is not None
            assert service.stderr is not None
            ready, _, _ = select.select([service.stdout], [], [], PATIENCE_S)
            if not ready or service.stdout.readline() != b"ready\n":
                service.kill()
                complaint = service.stderr.read().decode(errors="replace").strip()
                raise LabError(f"the lab's listener did not start: {complaint}")

    def _service(self, host: Host) -> list[str]:
        """The module that answers on this host, and its arguments; [] if only the kernel does."""
        port, addresses = str(self.plan.port), [str(host.v4), str(host.v6)]
        if host.behaviour.answers:
            lists = ",".join(addresses), ",".join(host.behaviour.answers)
            return ["rawscan.lab.actor", port, *lists]
        return ["rawscan.lab.server", port, *addresses] if host.behaviour.listens else []

    def _check(self) -> None:
        """Look at what was built, rather than hope that it is ready."""
        for name in self.namespaces:
            self._enter(name)
            _until(lambda: not has_tentative_address(), f"IPv6 addresses of {name}")
        self._enter("router")
        _until(self._bridge_forwards, "the router's bridge")
        self._enter("scanner")
        for host in self._hosts():
            if host.behaviour.listens:
                for family in FAMILIES:
                    address = str(host.address(family))
                    _until(partial(connects, address, self.plan.port), f"{address} to answer")

    def _bridge_forwards(self) -> bool:
        listing = subprocess.run(
            ["ip", "-json", "-details", "link", "show", "master", wiring.BRIDGE],
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
        )
        ports = json.loads(listing.stdout)
        states = [port["linkinfo"]["info_slave_data"]["state"] for port in ports]
        return states == ["forwarding"] * len(self._hosts())

    def take_down(self) -> None:
        """Kill everything that runs in the lab's namespaces, whoever started it there."""
        inodes = {os.fstat(fd).st_ino for fd in self.namespaces.values()}
        spared = {os.getpid(), os.getppid()}
        for _ in range(100):  # a process may fork while we look, so look until none is found
            found = [pid for pid in _processes_in(inodes) if pid not in spared]
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                break
            time.sleep(0.01)
        for service in self.services:
            service.wait(PATIENCE_S)


def _processes_in(inodes: set[int]) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # gone, a zombie, or somebody else's
                if (entry / "ns/net").stat().st_ino in inodes:
                    found.append(int(entry.name))
    return found


def _until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        if time.monotonic() > deadline:
            raise LabError(f"waited {PATIENCE_S:.0f} s in vain for {what}")
        time.sleep(0.005)


def _wait_for_end(watched: list[int]) -> None:
    """Return when standard input ends or the watched process dies, whichever is first."""
    while True:
        ready, _, _ = select.select([0, *watched], [], [])
        if 0 not in ready or not os.read(0, 4096):
            return


def _stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> int:
    """Build, report, wait, take down."""
    watched = [int(argument) for argument in sys.argv[1:]]
    signal.signal(signal.SIGTERM, _stop)
    keeper = Keeper(pickle.load(sys.stdin.buffer))
    try:
        keeper.build()
        print(json.dumps({"namespaces": keeper.namespaces}), flush=True)
        _wait_for_end(watched)
    except (LabError, OSError, subprocess.SubprocessError) as error:
        with contextlib.suppress(OSError):
            print(json.dumps({"error": str(error)}), flush=True)
        return 1
    finally:
        keeper.take_down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
