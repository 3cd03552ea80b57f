"""What would have changed the verdict: neighbours by hand, and for every row what must hold."""

from __future__ import annotations

import pytest

from rawscan.rules import RULES, Rule
from rawscan.teach.otherwise import otherwise


@pytest.mark.parametrize(
    ("rule", "nearest", "ids"),
    [
        # Each by the table in DESIGN: the other sender first, then the other replies.
        ("udp-port-unreach", "the same, but from somebody else",
         {"udp-port-unreach-other", "udp-no-response", "udp-response"}),
        ("udp-port-unreach-v6-other", "the same, but from the target itself",
         {"udp-port-unreach-v6", "udp-no-response", "udp-response"}),
        ("ack-rst", "no answer, after waiting long enough",
         {"ack-no-response", "ack-port-unreach"}),
        ("syn-rst", "no answer, after waiting long enough",
         {"syn-no-response", "syn-syn-ack", "syn-split-handshake"}),
    ],
)  # fmt: skip
def test_by_hand(rule: str, nearest: str, ids: set[str]) -> None:
    (row,) = (each for each in RULES if each.id == rule)
    found = otherwise(row)
    assert found[0].change == nearest
    assert ids <= {each.rule.id for each in found}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_change_is_one_of_the_same_probe_to_another_state(rule: Rule) -> None:
    found = otherwise(rule)
    assert found
    for each in found:
        assert each.rule.probe is rule.probe
        assert each.rule.state not in (None, rule.state)
