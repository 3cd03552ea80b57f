"""Labs of one's own: every field does what it says, and every slip is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from rawscan.errors import UsageError
from rawscan.lab.own import read_plan
from rawscan.lab.records import (
    ACCEPT,
    DROP,
    DROP_SYN,
    RESET,
    SYN_PROXY,
    Action,
    Filter,
    Plan,
    Presence,
    Verb,
)


def read(tmp_path: Path, text: str) -> Plan:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return read_plan(path)[2]


def host(tmp_path: Path, fields: str) -> Plan:
    return read(tmp_path, f'[[host]]\nname = "x"\nnumber = 9\n{fields}\n')


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "own"\nabout = "two hosts"\nport = 80\n'
        '[[host]]\nname = "web"\nnumber = 10\nlistens = true\nnote = "serves"\n'
        '[[host]]\nname = "gone"\nnumber = 254\nabsent = true\n'
    )
    name, about, plan = read_plan(path)
    assert (name, about, plan.port) == ("own", "two hosts", 80)
    web, gone = plan.hosts
    assert (str(web.v4), str(web.v6), web.note) == ("10.56.1.10", "fd56:1::10", "serves")
    assert web.behaviour.listens
    assert gone.behaviour.presence is Presence.ABSENT_FROM_LAN
    assert plan.namespaces() == ("scanner", "router", "web")


def test_names_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[host]]\nname = "x"\nnumber = 9\n')
    name, about, plan = read_plan(path)
    assert (name, about, plan.port) == ("mine", "", 561)
    assert plan.hosts[0].behaviour.firewall is None


PORT4, PORT6 = Action(Verb.ICMP, "port-unreachable"), Action(Verb.ICMP, "port-unreachable")
NET4, NET6 = Action(Verb.ICMP, "net-unreachable"), Action(Verb.ICMP, "no-route")


@pytest.mark.parametrize(
    ("fields", "filter_"),
    [
        ('tcp = "drop"', Filter(DROP, ACCEPT, DROP, ACCEPT)),
        ('tcp = "drop-syn"\nudp = "drop"', Filter(DROP_SYN, DROP, DROP_SYN, DROP)),
        ('tcp = "reset"\ntcp6 = "accept"', Filter(RESET, ACCEPT, ACCEPT, ACCEPT)),
        ('tcp = "syn-proxy"', Filter(SYN_PROXY, ACCEPT, ACCEPT, ACCEPT)),
        ('udp = "reject port-unreachable"', Filter(ACCEPT, PORT4, ACCEPT, PORT6)),
        ('udp = "reject net-unreachable"', Filter(ACCEPT, NET4, ACCEPT, NET6)),
        ('udp6 = "reject no-route"', Filter(ACCEPT, ACCEPT, ACCEPT, NET6)),
    ],
)
def test_firewalls(fields: str, filter_: Filter, tmp_path: Path) -> None:
    assert host(tmp_path, fields).hosts[0].behaviour.firewall == filter_


def test_the_router_may_answer(tmp_path: Path) -> None:
    behaviour = host(tmp_path, 'tcp = "reset"\nat = "router"\nloss_percent = 5').hosts[0].behaviour
    assert behaviour.firewall is None
    assert behaviour.router_firewall == Filter(RESET, ACCEPT, RESET, ACCEPT)
    assert behaviour.loss_percent == 5


def test_actors(tmp_path: Path) -> None:
    behaviour = host(tmp_path, 'answers = ["icmp:3/7", "icmp6:1/2", "syn-ack"]').hosts[0].behaviour
    assert behaviour.answers == ("icmp:3/7", "icmp6:1/2", "syn-ack")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ('colour = "red"', r"mine.toml: host 1: there is no field 'colour'; fields are name, numb"),
        ('listens = "yes"', r"listens = 'yes' must be true or false"),
        ("loss_percent = true", r"loss_percent = True must be a number"),
        ("loss_percent = 100", r"host 1 \('x'\): loss_percent = 100 is outside 0 to 99"),
        ('tcp = "reject"', r"tcp = 'reject'; right would be accept, drop, .* net-unreachable"),
        ('tcp = "reject no-route"', r"tcp = 'reject no-route'; right would be"),
        ('udp = "reset"', r"udp = 'reset'; right would be accept, drop, or reject with one of"),
        ('udp = "icmp"', r"udp = 'icmp'; right would be"),
        ('tcp = "drop now"', r"tcp = 'drop now'; right would be"),
        ('tcp = "syn-proxy"\nat = "router"', r"a syn-proxy is at the host, and for IPv4"),
        ('tcp6 = "syn-proxy"', r"a syn-proxy is at the host, and for IPv4"),
        ('tcp = "drop"\nat = "moon"', r"at = 'moon'; the firewall is at the host or at the router"),
        ('answers = ["icmp:3"]', r"answers: 'icmp:3' is none of udp, rst, .*icmp6:TYPE/CODE"),
        ('answers = ["icmp6:5/1"]', r"answers: 'icmp6:5/1' is none of"),
        ("answers = [3]", r"answers: 3 is none of"),
        ('answers = ["rst"]\nlistens = true', r"where answers are scripted, no program"),
    ],
)
def test_slips_of_the_pen(fields: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=complaint):
        host(tmp_path, fields)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"has no \[\[host\]\] tables; a lab needs one host"),
        ("[[host]]\nnumber = 9", r"host 1: needs a name"),
        ('[[host]]\nname = "x"', r"host 1: needs a number"),
        ('[[host]]\nname = "router"\nnumber = 9', r"a name is of a-z, 0-9 and -, and neither"),
        ('[[host]]\nname = "a b"\nnumber = 9', r"a name is of a-z"),
        ('[[host]]\nname = "x"\nnumber = 1', r"number = 1 is outside 2 to 254"),
        ('[[host]]\nname = "x"\nnumber = 9\n' * 2, r"two hosts have the same name \(x\)"),
        ('port = 0\n[[host]]\nname = "x"\nnumber = 9', r"port = 0 is none"),
        ("host = 3", r"host = 3 must be a list"),
        ("name = x\n", r"mine.toml: is no TOML: .*line 1"),
    ],
)
def test_files_that_are_no_plan(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=complaint):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nosuch.toml: cannot be read: No such file"):
        read_plan(tmp_path / "nosuch.toml")
