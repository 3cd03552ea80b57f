"""The section note: what is written is read back, and nobody else's comment is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawscan.capture.note import LATEST_S, NOTE_BYTES, NS_PER_S, SectionNote, to_ns
from rawscan.errors import CaptureError

NOTE = SectionNote(
    version="0.1.0",
    since_s=1795415451.25,
    until_s=1795415460.713036,
    complete=True,
    drops=3,
    packets=84,
    probes=("syn", "udp"),
    ports="561,T:1-1024",
)

TIMES_S = st.none() | st.floats(0, LATEST_S, exclude_max=True, allow_subnormal=False).map(
    # Doubles near 1970 are finer than a nanosecond, which is all that is written.
    lambda time_s: to_ns(time_s) / NS_PER_S
)


def test_the_json_is_what_other_programs_may_rely_on() -> None:
    text = NOTE.to_bytes()
    assert len(text) == NOTE_BYTES
    assert text.isascii()
    assert json.loads(text) == {
        "rawscan": "0.1.0",
        "directions": "both",
        "since": "2026-11-23T06:30:51.250000000Z",
        "until": "2026-11-23T06:31:00.713036060Z",
        "complete": True,
        "drops": 3,
        "dropped": None,
        "packets": 84,
        "least_tries": None,
        "probes": ["syn", "udp"],
        "ports": "561,T:1-1024",
    }


@given(
    st.builds(
        SectionNote,
        version=st.text(max_size=5),
        directions=st.sampled_from(["both", "in"]),
        since_s=TIMES_S,
        until_s=TIMES_S,
        complete=st.booleans(),
        drops=st.integers(0, 2**64 - 1),
        probes=st.lists(st.sampled_from(["syn", "udp", "ack"]), max_size=3).map(tuple),
        ports=st.text(alphabet="0123456789,-TU:é", max_size=20),
    ),
    st.integers(0, 2**64 - 1),
)
def test_round_trip(note: SectionNote, packets: int) -> None:
    note = replace(note, packets=None if note.until_s is None else packets)
    assert SectionNote.parse(note.to_bytes(600)) == note


@given(st.floats(2**30, 2**32))
def test_a_time_of_our_days_comes_back_as_the_same_double(time_s: float) -> None:
    back = SectionNote.parse(replace(NOTE, until_s=time_s).to_bytes())
    assert back is not None
    assert back.until_s == time_s


@pytest.mark.parametrize("time_s", [-1.0, float("nan"), float("inf"), LATEST_S])
def test_what_is_no_time_is_refused(time_s: float) -> None:
    with pytest.raises(ValueError, match="no time"):
        to_ns(time_s)


def test_a_rounded_up_fraction_carries_into_the_second() -> None:
    assert to_ns(1.9999999999) == 2 * NS_PER_S


def test_ports_that_do_not_fit_are_left_out_and_nothing_else() -> None:
    note = replace(NOTE, ports="561," * 100)
    assert SectionNote.parse(note.to_bytes()) == replace(NOTE, ports="")


def test_ports_stay_or_go_for_good() -> None:
    for length in range(NOTE_BYTES):
        first = replace(
            NOTE, ports="5" * length, until_s=None, complete=False, drops=0, packets=None
        )
        last = replace(
            first,
            until_s=1795415460.713036,
            complete=True,
            drops=2**64 - 1,
            dropped_s=1795415460.713036,
            packets=2**64 - 1,
        )
        kept = [SectionNote.parse(note.to_bytes()) for note in (first, last)]
        assert kept[0] is not None
        assert kept[1] is not None
        assert kept[0].ports == kept[1].ports


def test_a_note_that_fits_in_no_way_says_so() -> None:
    with pytest.raises(CaptureError, match="does not fit into 100 bytes"):
        NOTE.to_bytes(100)


def fields_with(**changes: object) -> bytes:
    fields = json.loads(NOTE.to_bytes()) | changes
    return json.dumps(
        {k: v for k, v in fields.items() if v != "gone"}, separators=(",", ":")
    ).encode()


def test_unknown_fields_are_passed_over() -> None:
    assert SectionNote.parse(fields_with(mood="fine", nested={"a": [1]})) == NOTE


def test_a_note_of_an_earlier_or_later_version_may_lack_the_fields_that_promise_nothing() -> None:
    expected = replace(NOTE, since_s=None, probes=(), ports="")
    assert SectionNote.parse(fields_with(since="gone", probes="gone", ports="gone")) == expected


@pytest.mark.parametrize(
    "comment",
    [
        b"",
        b"captured on a Tuesday",
        b"{}",
        b"[1]",
        b'{"note":1}',
        b'{"rawscan":',
        b'{"rawscan":"0.1.0"}',
        b'{"rawscan":' + b"[" * 65000,
        b'{"rawscan":\xff}',
        b'{"rawscan":' + b"9" * 5000 + b"}",
        *(
            fields_with(**{field: value})
            for field, value in [
                ("rawscan", 1),
                ("directions", None),
                ("directions", "gone"),
                ("until", "gone"),
                ("until", 5),
                ("until", "yesterday"),
                ("until", "2026-13-23T06:30:51Z"),
                ("until", "2026-11-23T06:30:51+01:00"),
                ("complete", 1),
                ("complete", "gone"),
                ("drops", -1),
                ("drops", True),
                ("drops", 1.5),
                ("drops", "gone"),
                ("packets", -1),
                ("packets", True),
                ("packets", 1.5),
                ("packets", "gone"),
                # A promise without its measure, and a measure without a promise.
                ("packets", None),
                ("until", None),
                ("probes", "syn"),
                ("probes", [1]),
                ("ports", 561),
            ]
        ),
    ],
    ids=repr,
)
def test_no_note_of_ours(comment: bytes) -> None:
    assert SectionNote.parse(comment) is None


@given(st.binary(max_size=200), st.integers(0, NOTE_BYTES))
def test_no_comment_makes_it_fail(junk: bytes, keep: int) -> None:
    SectionNote.parse(junk)
    SectionNote.parse(b'{"rawscan":' + junk)
    SectionNote.parse(NOTE.to_bytes()[:keep] + junk)
