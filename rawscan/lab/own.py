"""Labs of one's own, from a TOML file with checked fields. Reads that one file.

    name = "mine"
    about = "two hosts behind a strict router"

    [[host]]
    name = "web"
    number = 10            # 10.56.1.10 and fd56:1::10
    listens = true

    [[host]]
    name = "strict"
    number = 11
    tcp = "reject admin-prohibited"   # accept drop drop-syn reset syn-proxy, or reject CODE
    udp = "drop"
    at = "router"          # who does it: the host (as long as nothing is said) or the router

`docs/lab.md` lists every field.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from rawscan.errors import UsageError
from rawscan.lab.records import (
    ACCEPT,
    REJECT_REASONS,
    Action,
    Behaviour,
    Family,
    Filter,
    Host,
    Plan,
    Presence,
    Verb,
)
from rawscan.model import DEFAULT_PORT

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_NUMBERS = range(2, 255)
_FIREWALL_FIELDS = ("tcp", "udp", "tcp6", "udp6")
_PLAIN = [verb.value for verb in Verb if verb is not Verb.ICMP]
_HOST_ONLY = (Verb.SYN_PROXY,)
FIELDS: dict[str, type] = {
    "name": str, "number": int, "note": str, "listens": bool, "tcp": str, "udp": str, "tcp6": str,
    "udp6": str, "at": str, "loss_percent": int, "expires_at_router": bool,
    "default_icmp_limit": bool, "absent": bool, "answers": list,
}  # fmt: skip
_SIX = {
    "net-unreachable": "no-route",
    "host-unreachable": "addr-unreachable",
    "prot-unreachable": "reject-route",
    "net-prohibited": "policy-fail",
    "host-prohibited": "admin-prohibited",
}
"""The nearest ICMPv6 code, where `tcp6` and `udp6` say nothing and the name differs."""


def read_plan(path: Path) -> tuple[str, str, Plan]:
    """Name, description and plan. Raises `UsageError` that names the place and what would do."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no TOML: {error}") from None
    _check_keys(data, {"name": str, "about": str, "port": int, "host": list}, str(path))
    hosts = data.get("host", [])
    if not hosts or not all(isinstance(host, dict) for host in hosts):
        raise UsageError(f"{path}: has no [[host]] tables; a lab needs one host at least")
    port = data.get("port", DEFAULT_PORT)
    if not 0 < port <= 0xFFFF:
        raise UsageError(f"{path}: port = {port} is none; ports are 1 to 65535")
    built = tuple(_host(host, f"{path}: host {index}") for index, host in enumerate(hosts, 1))
    for field in ("name", "v4"):
        values = [getattr(host, field) for host in built]
        for value in values:
            if values.count(value) > 1:
                what = "name" if field == "name" else "number"
                raise UsageError(f"{path}: two hosts have the same {what} ({value})")
    return data.get("name", path.stem), data.get("about", ""), Plan(built, port=port)


def _check_keys(data: Mapping[str, Any], kinds: Mapping[str, Any], where: str) -> None:
    for key, value in data.items():
        if key not in kinds:
            raise UsageError(f"{where}: there is no field {key!r}; fields are {', '.join(kinds)}")
        wanted = kinds[key]
        # True is an int to Python, and not to anybody else.
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            words = {str: "a text", int: "a number", bool: "true or false", list: "a list"}
            raise UsageError(f"{where}: {key} = {value!r} must be {words[wanted]}")


def _host(data: dict[str, Any], where: str) -> Host:
    _check_keys(data, FIELDS, where)
    for needed in ("name", "number"):
        if needed not in data:
            raise UsageError(f"{where}: needs a {needed}")
    name, number = data["name"], data["number"]
    where = f"{where} ({name!r})"
    if not _NAME.fullmatch(name) or name in ("scanner", "router"):
        raise UsageError(f"{where}: a name is of a-z, 0-9 and -, and neither scanner nor router")
    if number not in _NUMBERS:
        raise UsageError(f"{where}: number = {number} is outside 2 to 254")
    lan = Plan(()).lan
    v4, v6 = lan.address(4, number), lan.address(6, number)
    assert isinstance(v4, IPv4Address)
    assert isinstance(v6, IPv6Address)
    return Host(name, v4, v6, _behaviour(data, where), data.get("note", ""), ())


def _behaviour(data: dict[str, Any], where: str) -> Behaviour:
    loss = data.get("loss_percent", 0)
    if not 0 <= loss <= 99:
        raise UsageError(f"{where}: loss_percent = {loss} is outside 0 to 99")
    at = data.get("at", "host")
    if at not in ("host", "router"):
        raise UsageError(f"{where}: at = {at!r}; the firewall is at the host or at the router")
    answers = _answers(data.get("answers", []), where)
    firewall = _firewall(data, at, where)
    if answers and (firewall or data.get("listens")):
        raise UsageError(f"{where}: where answers are scripted, no program and no firewall answers")
    absent = data.get("absent", False)
    return Behaviour(
        presence=Presence.ABSENT_FROM_LAN if absent else Presence.LAN,
        listens=data.get("listens", False),
        firewall=firewall if at == "host" else None,
        router_firewall=firewall if at == "router" else None,
        expires_at_router=data.get("expires_at_router", False),
        loss_percent=loss,
        default_icmp_limit=data.get("default_icmp_limit", False),
        answers=answers,
    )


def _answers(said: list[Any], where: str) -> tuple[str, ...]:
    if not said:
        return ()
    from rawscan.lab.actor import SIGNALS, is_signal  # with Scapy, which takes its time

    for answer in said:
        if not isinstance(answer, str) or not is_signal(answer):
            raise UsageError(f"{where}: answers: {answer!r} is none of {', '.join(SIGNALS)}")
    return tuple(said)


def _firewall(data: dict[str, Any], at: str, where: str) -> Filter | None:
    if not any(field in data for field in _FIREWALL_FIELDS):
        return None
    tcp, udp = data.get("tcp", "accept"), data.get("udp", "accept")
    actions = {
        "tcp4": _action(tcp, 4, "tcp", at, where),
        "udp4": _action(udp, 4, "udp", at, where),
        "tcp6": _action(data.get("tcp6", _six(tcp)), 6, "tcp6", at, where),
        "udp6": _action(data.get("udp6", _six(udp)), 6, "udp6", at, where),
    }
    return Filter(**actions)


def _six(words: str) -> str:
    """The same over IPv6. The proxy is there for IPv4 only."""
    if words == Verb.SYN_PROXY.value:
        return ACCEPT.verb.value
    verb, _, code = words.partition(" ")
    return f"{verb} {_SIX.get(code, code)}" if code else words


def _action(words: str, family: Family, field: str, at: str, where: str) -> Action:
    verb, _, code = words.partition(" ")
    codes = REJECT_REASONS[family]
    if verb == "reject" and code in codes:
        return Action(Verb.ICMP, code)
    tcp_only = (Verb.RESET.value, Verb.DROP_SYN.value, Verb.SYN_PROXY.value)
    if code or verb not in _PLAIN or (verb in tcp_only and not field.startswith("tcp")):
        plain = [each for each in _PLAIN if field.startswith("tcp") or each not in tcp_only]
        raise UsageError(
            f"{where}: {field} = {words!r}; right would be {', '.join(plain)}, or reject with one "
            f"of {', '.join(codes)}"
        )
    action = Action(Verb(verb))
    if action.verb in _HOST_ONLY and (at == "router" or family == 6):
        raise UsageError(f"{where}: a {verb} is at the host, and for IPv4")
    return action
