"""Scapy's link over real kernels, in namespaces of its own."""

from __future__ import annotations

import pytest

from tests.net.apart import run

pytestmark = pytest.mark.netns

OPEN = "from rawscan.net.scapylink import ScapyLink\n"


@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_loopback_answers(target: str) -> None:
    found = run(
        OPEN
        + f"""
link = ScapyLink()
sent = link.send(*probe({target!r}))
frames = []
end = time.monotonic() + 3
while not any("RST" in str(decode_frame(f).body) for f in frames) and time.monotonic() < end:
    frames += link.receive(0.1)
answers = [f for f in frames if "RST|ACK" in str(decode_frame(f).body)]
print(json.dumps([sent.linktype, [f.linktype for f in answers][:1],
                  abs(answers[0].time_s - time.time()) < 5, link.drops(), link.close()]))
"""
    )
    assert found == [101, [101], True, 0, None]


def test_a_neighbour_that_does_not_answer_is_no_silence() -> None:
    found = run(
        OPEN
        + """
device()
from scapy.config import conf
conf.ifaces.reload()  # Scapy has read the routes before there was any
conf.route.resync()
link = ScapyLink()
print(json.dumps([error_of(link.send, *probe("10.9.0.7", source="10.9.0.1"))]))
"""
    )
    ((kind, text),) = found
    assert kind == "NeighbourError"
    assert "nobody answers for 10.9.0.7" in text


def test_refusals_are_errors_of_ours() -> None:
    bare = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    kind, text = run(OPEN + "print(json.dumps(error_of(ScapyLink)))", *bare)
    assert kind == "PrivilegeError"
    assert "setcap" in text
    kind, _ = run(OPEN + "print(json.dumps(error_of(ScapyLink, 'no0')))")
    assert kind == "LinkError"
