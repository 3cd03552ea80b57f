"""The plan's firewalls as nftables rule sets. Pure text; touches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rawscan.lab.records import DROP, FAMILIES, SYN_PROXY, Action, Family, Filter, Host, Plan, Verb
from rawscan.model import Protocol

_IP = {4: "ip", 6: "ip6"}
_ICMP = {4: "icmp", 6: "icmpv6"}


def host_rules(host: Host) -> str:
    """The host's own firewall, or "" if it has none. All ports are treated alike."""
    behaviour = host.behaviour
    # Where an actor answers, the kernel must hold its tongue.
    firewall = Filter(DROP, DROP, DROP, DROP) if behaviour.answers else behaviour.firewall
    if firewall is None:
        return ""
    rules = _filter_rules(firewall, {4: "meta nfproto ipv4", 6: "meta nfproto ipv6"})
    chains = [_chain("input", "filter", rules)]
    if SYN_PROXY in (firewall.tcp4, firewall.tcp6):
        # A SYN that is not tracked is what the proxy takes.
        chains.append(_chain("prerouting", "raw", ["tcp flags syn notrack"]))
    return _table(chains)


def router_rules(plan: Plan) -> str:
    """What the router does: answer in a host's place, let packets expire, lose a share."""
    forward: list[str] = []
    prerouting: list[str] = []
    for host in plan.hosts:
        behaviour = host.behaviour
        to_host = {4: f"ip daddr {host.v4}", 6: f"ip6 daddr {host.v6}"}
        if behaviour.router_firewall is not None:
            forward += _filter_rules(behaviour.router_firewall, to_host)
        if behaviour.loss_percent:
            forward += _loss_rules(host)
        if behaviour.expires_at_router:
            prerouting += [f"{to_host[4]} ip ttl set 1", f"{to_host[6]} ip6 hoplimit set 1"]
    return _table(
        [_chain("forward", "filter", forward), _chain("prerouting", "mangle", prerouting)]
    )


def _filter_rules(filter_: Filter, matches: dict[int, str]) -> Iterator[str]:
    for family in FAMILIES:
        for protocol in Protocol:
            action = filter_.action(family, protocol)
            if action.verb is not Verb.ACCEPT:
                verdict = _verdict(action, family)
                yield f"{matches[family]} meta l4proto {protocol.value} {verdict}"


def _verdict(action: Action, family: Family) -> str:
    if action.verb is Verb.DROP:
        return "drop"
    if action.verb is Verb.DROP_SYN:
        return "tcp flags & (fin | syn | rst | ack) == syn drop"
    if action.verb is Verb.SYN_PROXY:
        return "ct state invalid,untracked synproxy"
    if action.verb is Verb.RESET:
        return "reject with tcp reset"
    # "type" is optional since nftables 1.0; with it, old versions understand the line too.
    return f"reject with {_ICMP[family]} type {action.code}"


def _loss_rules(host: Host) -> Iterator[str]:
    """Lose packets in both directions, TCP, UDP and ICMP errors alike."""
    for family in FAMILIES:
        for end in ("daddr", "saddr"):
            match = f"{_IP[family]} {end} {host.address(family)}"
            yield f"{match} numgen random mod 100 < {host.behaviour.loss_percent} drop"


def _chain(hook: str, priority: str, rules: Iterable[str]) -> str:
    # The base chain line and every rule end with a newline: nft wants one before "}".
    lines = [f"type filter hook {hook} priority {priority}; policy accept;", *rules]
    return f"\tchain {hook} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"


def _table(chains: Iterable[str]) -> str:
    return "table inet lab {\n" + "".join(chains) + "}\n"
