"""Ports by state, from what each scanner says."""

from __future__ import annotations

import sys
from subprocess import TimeoutExpired

import pytest

from benchmarks.rows import RunError
from benchmarks.scanners import masscan_states, nmap_states, timed

# As nmap 7.93 wrote it about the lab.
NMAP = """\
# Nmap 7.93 scan initiated as: nmap -n -Pn -sU -oG - -p1000-1059 10.98.0.2
Host: 10.98.0.2 ()\tStatus: Up
Host: 10.98.0.2 ()\tPorts: 561/open|filtered/udp//monitor///\tIgnored State: closed (59)
Host: 10.98.0.3 ()\tPorts: 561/closed/tcp//monitor///, 562/filtered/tcp//shell///
Host: 10.98.0.4 ()\tStatus: Up
Host: 10.98.0.4 ()\tStatus: Up\tIgnored State: open|filtered (2)
# Nmap done
"""
# As masscan 1.3.2 writes it; the third is a duplicate.
MASSCAN = """\
#masscan
closed tcp 561 10.99.0.1 1795000000
closed tcp 561 10.99.0.2 1795000000
closed tcp 561 10.99.0.1 1795000001
open tcp 561 10.99.0.3 1795000001
# end
"""


def test_nmaps_list() -> None:
    assert nmap_states(NMAP) == {"open|filtered": 3, "closed": 60, "filtered": 1}


def test_masscans_list() -> None:
    assert masscan_states(MASSCAN) == {"closed": 2, "open": 1}


def test_a_command_is_timed_and_read() -> None:
    took_s, output = timed([sys.executable, "-c", "print('a')"])
    assert (took_s > 0, output) == (True, "a\n")


def test_a_failure_has_its_last_words() -> None:
    with pytest.raises(RunError, match=r"^exit code 3: second$"):
        timed(["sh", "-c", "echo first >&2; echo second >&2; exit 3"])


def test_patience_ends() -> None:
    with pytest.raises(TimeoutExpired):
        timed(["sleep", "60"], patience_s=0.1)
