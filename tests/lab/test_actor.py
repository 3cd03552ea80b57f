"""An actor says what it was told to, about probes and nothing else."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from rawscan.lab.actor import answers, is_probe, is_signal
from rawscan.model import Flags, Icmp, Port, Probe, ProbeKind, Tcp, Udp
from rawscan.wire.craft import craft
from rawscan.wire.decode import decode
from rawscan.wire.replies import rst
from rawscan.wire.token import Token

ME, TARGET = ip_address("192.0.2.2"), ip_address("192.0.2.5")
ME6, TARGET6 = ip_address("2001:db8::2"), ip_address("2001:db8::5")
TOKEN = Token(b"actor", range(16384, 32768))


def probe(kind: ProbeKind, v6: bool = False, port: int = 561) -> bytes:
    source, target = (ME6, TARGET6) if v6 else (ME, TARGET)
    return craft(Probe(Port(target, port, kind), 0), source, TOKEN)


@pytest.mark.parametrize(
    ("kind", "v6", "said"),
    [
        (ProbeKind.SYN, False, ["icmp 3/7", "SYN|ACK", "RST|ACK"]),
        (ProbeKind.SYN, True, ["icmp6 1/2", "SYN|ACK", "RST|ACK"]),
        (ProbeKind.UDP, False, ["icmp 3/7", "udp"]),
    ],
)
def test_each_signal_that_fits(kind: ProbeKind, v6: bool, said: list[str]) -> None:
    data = probe(kind, v6)
    signals = ["icmp:3/7", "icmp6:1/2", "syn-ack", "rst", "udp"]
    found = []
    for answer in answers(data, decode(data), signals):
        match decode(answer).body:
            case Tcp(flags=flags) if flags is not None:
                found.append(str(Flags(flags).name))
            case Udp():
                found.append("udp")
            case Icmp() as icmp:
                name = "icmp" if icmp.version == 4 else "icmp6"
                found.append(f"{name} {icmp.type}/{icmp.code}")
    assert found == said


def test_the_answer_of_a_syn_proxy_has_window_0_and_no_options() -> None:
    data = probe(ProbeKind.SYN)
    (answer,) = answers(data, decode(data), ["syn-proxy"])
    tcp = decode(answer).body
    assert isinstance(tcp, Tcp)
    assert (tcp.window, tcp.options_bytes) == (0, 0)


def test_only_probes_to_its_own_port_and_address_are_answered() -> None:
    ours = [str(TARGET)]
    syn = probe(ProbeKind.SYN)
    assert is_probe(decode(syn), 561, ours)
    assert not is_probe(decode(syn), 562, ours)
    assert not is_probe(decode(syn), 561, ["192.0.2.6"])
    assert not is_probe(decode(rst(rst(syn))), 561, ours)


@pytest.mark.parametrize("text", ["udp", "rst", "syn-proxy", "icmp:3/13", "icmp6:4/255"])
def test_signals(text: str) -> None:
    assert is_signal(text)


@pytest.mark.parametrize(
    "text", ["", "fin", "icmp", "icmp:3", "icmp:256/1", "icmp6:9/0", "rst:3/1"]
)
def test_no_signals(text: str) -> None:
    assert not is_signal(text)
