"""An individual lab for each student: the basic one with its addresses dealt anew. Pure.

The word decides the deal, so student and teacher come to the same lab without a file between them.
Names and notes are left out, since they would tell what there is to find.
"""

from __future__ import annotations

from random import Random

from rawscan.lab.plan import BASIC, host_of
from rawscan.lab.records import Plan, Presence

_NUMBERS = range(10, 90)
_ELSEWHERE = Presence.ABSENT_FROM_SCANNER_LINK
"""On the scanner's own link, where there is nothing to choose an address from."""


def individual(word: str) -> Plan:
    """The lab of whoever has this word."""
    random = Random(f"lab of {word}")
    here = [host for host in BASIC.hosts if host.behaviour.presence is not _ELSEWHERE]
    numbers = sorted(random.sample(_NUMBERS, len(here)))
    random.shuffle(here)
    return Plan(
        tuple(
            host_of(number, f"host-{number}", host.behaviour, "", host.expected)
            for host, number in zip(here, numbers, strict=True)
        )
    )


def word_of(student: str, class_word: str) -> str:
    """What a student's lab and quiz are derived from: case and spaces do not matter."""
    return f"{class_word.strip().lower()}/{' '.join(student.lower().split())}"
