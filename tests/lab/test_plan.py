"""The plan is whole and does not contradict itself. No network."""

from __future__ import annotations

import pytest

from rawscan.lab.plan import BASIC, LOSS_PERCENT, REJECT_REASONS, Expected, Host, Presence, Verb
from rawscan.lab.records import FAMILIES, Family
from rawscan.model import Protocol, State

EVERY_HOST = pytest.mark.parametrize("host", BASIC.hosts, ids=lambda host: host.name)


def expected(name: str, family: Family, protocol: Protocol) -> tuple[State, str, str | None]:
    found = BASIC.expected(BASIC.host(name).address(family), protocol)
    return found.state, found.reason, found.responder


def test_names_and_addresses_are_unique() -> None:
    names = [host.name for host in BASIC.hosts]
    addresses = [
        *BASIC.targets(),
        *(BASIC.scanner(family) for family in FAMILIES),
        *(BASIC.router(family) for family in FAMILIES),
        *(BASIC.lan.address(family, 1) for family in FAMILIES),
    ]
    assert len(set(names)) == len(names)
    assert len(set(addresses)) == len(addresses)


@EVERY_HOST
def test_every_host_expects_something_for_both_families_and_protocols(host: Host) -> None:
    asked = [(each.family, each.protocol) for each in host.expected]
    assert sorted(asked, key=str) == [
        (4, Protocol.TCP),
        (4, Protocol.UDP),
        (6, Protocol.TCP),
        (6, Protocol.UDP),
    ]


@EVERY_HOST
def test_every_host_is_on_the_link_that_it_should_be_on(host: Host) -> None:
    on_link = host.behaviour.presence is Presence.ABSENT_FROM_SCANNER_LINK
    network = BASIC.scanner_link if on_link else BASIC.lan
    assert host.v4 in network.v4
    assert host.v6 in network.v6
    # a student should see at once that the two addresses belong together
    assert str(host.v4).rpartition(".")[2] == str(host.v6).rpartition(":")[2]


@EVERY_HOST
def test_every_host_has_one_sentence_for_a_student(host: Host) -> None:
    assert host.note.endswith(".")
    assert ". " not in host.note
    assert len(host.note) <= 100


@EVERY_HOST
def test_silence_has_no_responder_and_answers_have_one(host: Host) -> None:
    for each in host.expected:
        assert (each.responder is None) == (each.reason == "no-response")


def test_every_behaviour_is_there() -> None:
    behaviours = [host.behaviour for host in BASIC.hosts]
    assert {each.presence for each in behaviours} == set(Presence)
    assert any(each.listens for each in behaviours)
    assert any(each.expires_at_router for each in behaviours)
    assert [each.loss_percent for each in behaviours if each.loss_percent] == [LOSS_PERCENT]
    assert sum(each.default_icmp_limit for each in behaviours) == 1
    filters = [each.firewall for each in behaviours if each.firewall]
    assert {each.tcp4.verb for each in filters} == {Verb.DROP, Verb.RESET, Verb.ICMP}
    in_its_place = [each.router_firewall for each in behaviours if each.router_firewall]
    assert {each.tcp6.verb for each in in_its_place} == {Verb.RESET, Verb.ICMP}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("protocol", Protocol)
def test_every_code_of_the_table_is_sent_by_some_host(family: Family, protocol: Protocol) -> None:
    sent = {
        host.behaviour.firewall.action(family, protocol).code
        for host in BASIC.hosts
        if host.behaviour.firewall
    }
    assert sent - {"", "frag-needed"} == set(REJECT_REASONS[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_port_unreachable_closes_udp_only_from_the_target_itself(family: Family) -> None:
    tcp, udp = Protocol.TCP, Protocol.UDP
    filtered = State.FILTERED
    assert expected("port-unreachable", family, tcp) == (filtered, "port-unreach", "target")
    assert expected("port-unreachable", family, udp) == (State.CLOSED, "port-unreach", "target")
    assert expected("router-port-unreach", family, tcp) == (filtered, "port-unreach", "router")
    assert expected("router-port-unreach", family, udp) == (filtered, "port-unreach", "router")


def test_every_state_that_these_probes_can_give_is_expected_somewhere() -> None:
    states = {each.state for _, _, each in BASIC.claims()}
    assert states == set(State) - {State.UNFILTERED, State.CLOSED_FILTERED}


def test_responder_is_an_address() -> None:
    named = {
        (each.responder, each.family): BASIC.responder(target, each)
        for host, target, each in BASIC.claims()
        if host.name in ("drop", "closed", "expired", "dead-onlink")
    }
    found = {key: str(address) for key, address in named.items()}
    assert found == {
        (None, 4): "None",
        (None, 6): "None",
        ("target", 4): "10.56.1.11",
        ("target", 6): "fd56:1::11",
        ("router", 4): "10.56.0.1",
        ("router", 6): "fd56::1",
        ("scanner", 4): "10.56.0.2",
        ("scanner", 6): "fd56::2",
    }


def test_lookups() -> None:
    host = BASIC.host("open")
    assert BASIC.host(host.v6) is host
    assert isinstance(BASIC.expected(host.v4, Protocol.UDP), Expected)
    assert len(BASIC.targets()) == 2 * len(BASIC.targets(4)) == 2 * len(BASIC.hosts)
    assert len(list(BASIC.claims())) == 4 * len(BASIC.hosts)
    with pytest.raises(KeyError, match="nobody"):
        BASIC.host("nobody")
    with pytest.raises(KeyError):
        BASIC.expected(BASIC.router(4), Protocol.TCP)


def test_only_living_hosts_have_a_namespace() -> None:
    names = BASIC.namespaces()
    assert names[:2] == ("scanner", "router")
    assert set(names[2:]) == {host.name for host in BASIC.hosts} - {"dead-onlink", "dead-routed"}
