"""Exit codes are a promise to scripts."""

from __future__ import annotations

import pytest

from rawscan import errors
from rawscan.errors import RawscanError

CODES = {"UsageError": 2, "PrivilegeError": 3}
KINDS = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, RawscanError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_exit_codes(kind: type[RawscanError]) -> None:
    assert kind.exit_code == CODES.get(kind.__name__, 1)
    assert str(kind("what is wrong")) == "what is wrong"


def test_errors_carry_what_is_asked_of_them() -> None:
    assert errors.DecodeError("empty packet").cause == "empty packet"
    assert errors.CaptureError("cut", 7).offset == 7
    assert errors.CaptureError("cut").offset is None
    assert issubclass(errors.NeighbourError, errors.LinkError)
