"""The ladder, drawn: two of them compared line by line with drawings made by hand."""

from __future__ import annotations

import pytest

from rawscan.rules import BY_ID
from rawscan.teach.case import example_of
from rawscan.teach.ladder import draw, ladder_of

# Drawn by hand from `tshark -r captures/rules/FILE -T fields -e tcp.seq_raw -e tcp.ack_raw`.
CLOSED = """\
                asker                                target
                  |                                     |
  0.000 ms #1     | SYN seq=4155523016 ttl=64           |
                  |------------------------------------>|
                  |                                     |
  0.800 ms #2     | RST+ACK seq=0 ack=4155523017 ttl=57 |
                  |<------------------------------------|
                  | = ack 4155523017 = seq of #1 plus   |
                  |   1: it answers #1                  |
                  |                                     |
asker: 192.0.2.2
target: 198.51.100.5"""

ROUTER = """\
                asker             another            target
                  |                  |                  |
  0.000 ms #1     | UDP 24720->561 empty ttl=64         |
                  |----------------->|                  |
                  |                  |                  |
  0.800 ms #2     | ICMP 3/3 port-unreach ttl=64        |
                  |<-----------------|                  |
                  | = quotes the ports of #1, 24720 and |
                  |   561                               |
                  | = sent from 192.0.2.1, not the      |
                  |   target's address                  |
                  |                  |                  |
asker: 192.0.2.2
another: 192.0.2.1
target: 198.51.100.5"""


@pytest.mark.parametrize(
    ("rule", "drawing"), [("syn-rst", CLOSED), ("udp-port-unreach-other", ROUTER)]
)
def test_drawn_by_hand(rule: str, drawing: str) -> None:
    case = example_of(BY_ID[rule], 4)
    assert case is not None
    assert "\n".join(draw(ladder_of(case), 60)) == drawing


def test_a_probe_that_never_left_reaches_nobody() -> None:
    case = example_of(BY_ID["syn-no-arp-response"], 4)
    assert case is not None
    probe, complaint = ladder_of(case).rungs
    assert (probe.receiver, complaint.sender, complaint.receiver) == (None, 0, 0)
    assert "the probe never left" in complaint.notes[-1]


def test_what_follows_in_the_same_conversation_stands_beside() -> None:
    case = example_of(BY_ID["ack-one-way"], 4)
    assert case is not None
    assert [rung.kind for rung in ladder_of(case).rungs].count("beside") == 0
