"""Where tools disagree: each claim, held against the real tool in a lab made for it."""

from __future__ import annotations

import re
import shutil
import signal as signals
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from xml.etree import ElementTree

import pytest

from rawscan.lab.build import Lab
from rawscan.lab.plan import host_of
from rawscan.lab.records import Action, Behaviour, Filter, Host, Plan, Presence, Verb
from rawscan.lab.tools import search_path
from rawscan.model import ProbeKind, ReplyKind
from rawscan.rules import BY_ID, RULES, Rule
from rawscan.teach.departures import DEPARTURES, NOTHING, Departure, departures_from

_FLAGS = {"syn": "-sS", "udp": "-sU", "ack": "-sA"}
_VERSIONS = {
    "nmap": (["nmap", "--version"], r"Nmap version ([\d.]+)"),
    "masscan": (["masscan", "--version"], r"Masscan version ([\d.]+)"),
    "zmap": (["zmap", "--version"], r"zmap ([\d.]+)"),
}
TRIES = 3
"""The receivers of masscan and zmap begin now and then too late for the answer; three times is no
accident any more."""
PORT_UNREACHABLE = Action(Verb.ICMP, "port-unreachable")


def test_every_departure_is_from_a_row_and_no_two_are_the_same() -> None:
    assert {departure.rule for departure in DEPARTURES} <= set(BY_ID)
    assert len({(d.rule, d.tool) for d in DEPARTURES}) == len(DEPARTURES) > 30
    assert departures_from(BY_ID["syn-rst"]) == ()


def test_what_is_said_of_the_tool_differs_from_what_the_rule_says() -> None:
    for departure in DEPARTURES:
        rule = BY_ID[departure.rule]
        assert departure.says != f"{rule.state.value if rule.state else None} {rule.reason}"


def signal(rule: Rule) -> str:
    """The reply of this row as an actor is told it."""
    return f"{rule.reply.name.lower()}:{rule.type}/{rule.codes[0] if rule.codes else 0}"


def departing() -> list[Rule]:
    return [rule for rule in RULES if departures_from(rule)]


@cache
def plan() -> Plan:
    """A host for each reply that is departed from; none, and a firewall, for what is no actor's."""
    ours = [r for r in departing() if r.reply >= ReplyKind.ICMP and r.from_target is None]
    signals = {signal(rule) for rule in ours}
    hosts = [
        host_of(100 + index, f"says-{index}", Behaviour(answers=(answer,)), answer, ())
        for index, answer in enumerate(sorted(signals - {"icmp:3/3"}))
    ]
    firewall = Filter(*[PORT_UNREACHABLE] * 4)
    hosts.append(host_of(99, "firewall", Behaviour(firewall=firewall), "icmp:3/3", ()))
    hosts.append(host_of(97, "behind", Behaviour(router_firewall=firewall), "other icmp:3/3", ()))
    absent = Behaviour(presence=Presence.ABSENT_FROM_SCANNER_LINK)
    hosts.append(host_of(98, "absent", absent, "no-neighbour", ()))
    return Plan(tuple(hosts))


def host_for(rule: Rule) -> Host:
    wanted = "no-neighbour" if rule.reply is ReplyKind.NO_NEIGHBOUR else signal(rule)
    wanted = f"other {wanted}" if rule.from_target is False else wanted
    (host,) = (host for host in plan().hosts if host.note == wanted)
    return host


@pytest.fixture(scope="module")
def zoo() -> Iterator[Lab]:
    with Lab.up(plan()) as lab:
        yield lab


def version(tool: str) -> str | None:
    command, pattern = _VERSIONS[tool]
    if shutil.which(tool, path=search_path()) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else None


def nmap(zoo: Lab, rule: Rule) -> str:
    family = 6 if rule.reply is ReplyKind.ICMP6 else 4
    target = str(host_for(rule).address(6 if family == 6 else 4))
    command = ["nmap", "-n", "-Pn", "-p561", "--max-retries", "1", "--reason", "-oX", "-"]
    command += [_FLAGS[rule.probe.value], *(["-6"] if family == 6 else []), target]
    done = zoo.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    port = ElementTree.fromstring(done.stdout).find(".//port/state")
    if port is None:
        return NOTHING
    return f"{port.get('state')} {port.get('reason')}"


_TRICKLE = """
import socket, sys, time
for _ in range(300):
    socket.socket(type=socket.SOCK_DGRAM).sendto(b"", (sys.argv[1], 9))
    time.sleep(0.1)
"""
"""Some traffic: masscan's receiver looks at the clock only when a packet wakes it up."""


def masscan(zoo: Lab, rule: Rule) -> str:
    target = host_for(rule).v4
    command = ["masscan", f"{target}", "-p561", "--rate", "100", "--retries", "2", "--wait", "2",
               "--show", "closed", "--interface", "eth0", "--router-mac", router_mac(zoo),
               "-oG", "-"]  # fmt: skip
    trickle = zoo.popen([sys.executable, "-c", _TRICKLE, str(zoo.plan.scanner(4))], host="behind")
    try:
        for _ in range(TRIES):
            done = zoo.run(command, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            found = re.search(r"Ports: 561/(\w+)/tcp", done.stdout)
            if found:
                return found[1]
    finally:
        trickle.kill()
    return NOTHING


def _run_zmap(zoo: Lab, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run it, again where it aborts: 2.1.1 does so now and then when it has a single target.

    ("constraint_lookup_index: Assertion `index < con->root->count' failed", before it sends.)
    """
    for _ in range(20):
        done = zoo.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode != -signals.SIGABRT:
            break
    return done


def zmap(zoo: Lab, rule: Rule) -> str:
    module = {"syn": ["tcp_synscan"], "udp": ["udp", "--probe-args=text:x"]}[rule.probe.value]
    target = host_for(rule).v4
    command = ["zmap", "-M", *module, "-p", "561", "-i", "eth0", "-G", router_mac(zoo), "-r", "10",
               "-c", "1", "--blacklist-file=/dev/null", "--output-filter=success=1 || success=0",
               "-f", "saddr,classification", "-O", "csv", "-q", f"{target}/32"]  # fmt: skip
    # Of ICMP errors about its UDP probes it misses every second one.
    for _ in range(4 * TRIES if rule.probe is ProbeKind.UDP else TRIES):
        done = _run_zmap(zoo, command)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == "saddr,classification"
        if len(lines) > 1:
            return str(lines[1]).partition(",")[2]
    return NOTHING


@pytest.mark.netns
@pytest.mark.peer
def test_what_prints_nothing_would_print_something(zoo: Lab) -> None:
    """The command lines work: what these tools do listen to, they print."""
    closed = BY_ID["syn-port-unreach"]
    for tool, ask, rule, says in (
        ("masscan", masscan, closed, "closed"),
        ("zmap", zmap, BY_ID["udp-port-unreach-other"], "icmp-unreach"),
        ("nmap", nmap, closed, "filtered port-unreach"),
    ):
        if version(tool):
            assert ask(zoo, rule) == says


def router_mac(zoo: Lab) -> str:
    router = str(zoo.plan.router(4))
    send = f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('{router}', 9))"
    zoo.run([sys.executable, "-c", send])
    show = ["ip", "neigh", "show", router]
    for _ in range(100):
        shown = zoo.run(show, capture_output=True, text=True).stdout
        found = re.search(r"lladdr (\S+)", shown)
        if found:
            return found[1]
    pytest.fail(f"the router has no hardware address: {shown}")


@pytest.mark.netns
@pytest.mark.peer
@pytest.mark.parametrize("departure", DEPARTURES, ids=lambda d: f"{d.tool}-{d.rule}")
def test_the_tool_says_so(departure: Departure, zoo: Lab) -> None:
    installed = version(departure.tool)
    if installed is None:
        pytest.skip(f"{departure.tool} is not installed")
    if installed != departure.version:
        pytest.skip(f"{departure.tool} {installed} is not the version that was looked at")
    rule = BY_ID[departure.rule]
    ask = {"nmap": nmap, "masscan": masscan, "zmap": zmap}[departure.tool]
    said = ask(zoo, rule)
    assert said.startswith(departure.says), said
