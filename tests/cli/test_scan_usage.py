"""Mistakes on `rawscan scan`'s command line: each is named, and none has any effect."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.story import RAWSCAN, apart, rawscan

pytestmark = pytest.mark.netns

# Arguments, and what the message must say. {tmp} is an empty directory.
MISTAKES = {
    "no target": ([], ["target"]),
    "bad address": (["10.0.0.999"], ["octet 999", "'10.0.0.999'", "column 8", "10.0.0.1-20"]),
    "bad prefix": (["10.0.0.0/33"], ["33", "'10.0.0.0/33'"]),
    "second target": (["127.0.0.1", "1.2.3.4.5"], ["argument 2", "'1.2.3.4.5'"]),
    "link-local with zone": (["fe80::1%lo"], ["--interface", "'fe80::1%lo'"]),
    "name": (["no-such-host.invalid"], ["'no-such-host.invalid'", "cannot be resolved"]),
    "bad port": (["127.0.0.1", "-p", "99999"], ["ports", "99999", "65535"]),
    "port range": (["127.0.0.1", "-p", "20-10"], ["ports", "'20-10'"]),
    "unknown service": (["127.0.0.1", "-p", "nonsense"], ["'nonsense'", "service"]),
    "no probe kinds": (["127.0.0.1", "--no-syn", "--no-udp"], ["--no-syn", "--ack"]),
    "no ports left": (["127.0.0.1", "-p", "U:53", "--no-udp"], ["nothing to send"]),
    "ending": (["127.0.0.1", "-o", "{tmp}/x.foo"], ["-o {tmp}/x.foo", "'.foo'", ".jsonl"]),
    "no ending": (["127.0.0.1", "-o", "{tmp}/x"], ["-o {tmp}/x", ".jsonl"]),
    "-o nowhere": (["127.0.0.1", "-o", "{tmp}/no/x.csv"], ["{tmp}/no/x.csv", "No such file"]),
    "--write-pcap nowhere": (
        ["127.0.0.1", "--write-pcap", "{tmp}/no/x.pcapng"],
        ["{tmp}/no/x.pcapng", "No such file"],
    ),
    "interface": (["127.0.0.1", "--interface", "no0"], ["--interface no0", "there is lo"]),
    "foreign source": (["127.0.0.1", "--source-ip", "192.0.2.7"], ["--source-ip 192.0.2.7"]),
    "no source": (["127.0.0.1", "--source-ip", "here"], ["--source-ip 'here'"]),
    "payload form": (["127.0.0.1", "--udp-payload", "hello"], ["'hello'", "text:hello"]),
    "payload kind": (["127.0.0.1", "--udp-payload", "b64:aGk="], ["'b64:aGk='", "hex:"]),
    "payload hex": (["127.0.0.1", "--udp-payload", "hex:0g"], ["hex", "'0g'"]),
    "payload odd": (["127.0.0.1", "--udp-payload", "hex:012"], ["hex", "'012'"]),
    "payload file": (["127.0.0.1", "--udp-payload", "file:{tmp}/no"], ["{tmp}/no", "No such"]),
    "payload size": (["127.0.0.1", "--udp-payload", "text:" + "x" * 65508], ["65508", "65507"]),
    "excluded": (["127.0.0.1", "--exclude", "127.0.0.0/8"], ["excludes cover all"]),
    "bad exclude": (["127.0.0.1", "--exclude", "10.0.0.999"], ["octet 999"]),
    "no list": (["-iL", "{tmp}/no"], ["{tmp}/no", "No such file"]),
    "no exclude file": (["127.0.0.1", "--exclude-file", "{tmp}/no"], ["{tmp}/no", "No such"]),
    "rate": (["127.0.0.1", "--rate", "0"], ["--rate"]),
    "rate nan": (["127.0.0.1", "--rate", "nan"], ["--rate", "'nan'"]),
    "retries": (["127.0.0.1", "--max-retries", "16"], ["--max-retries", "15"]),
    "confidence": (["127.0.0.1", "--confidence", "1"], ["--confidence"]),
    "confidence nan": (["127.0.0.1", "--confidence", "nan"], ["--confidence", "'nan'"]),
    "exclude torn": (
        ["127.0.0.1", "--exclude", "127.0.0.2,3,127.0.0.7"],
        ["--exclude, column 10", "white space"],
    ),
    "shard of no order": (["127.0.0.1", "--shard", "1/2"], ["--shard 1/2 needs --seed"]),
    "host rate": (["127.0.0.1", "--max-host-rate", "0"], ["--max-host-rate", "'0'"]),
    "strangers": (
        ["8.8.8.0/24", "9.9.9.9", "10.0.0.0/8"],
        ["257 of the targets are outside private and local networks", "add --yes", "--dry-run"],
    ),
    "strangers in shards": (
        ["2600::/119", "--shard", "1/9", "--seed", "1"],
        ["512 of the targets", "add --yes"],
    ),
    "nobodies": (
        ["224.0.0.0/4", "0.0.0.0", "127.255.255.255", "ff02::1"],
        ["no target is left", "reserved, multicast or broadcast", "--include-reserved"],
    ),
    "nobodies, planned": (["255.255.255.255", "--dry-run"], ["255.255.255.255 is reserved"]),
    "link": (["127.0.0.1", "--link", "pigeon"], ["--link", "'pigeon'", "rawip"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str, tmp_path: Path) -> None:
    arguments, words = (
        [each.replace("{tmp}", str(tmp_path)) for each in part] for part in MISTAKES[name]
    )
    done = rawscan(None, "scan", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    message = " ".join(done.stderr.split())
    assert [word for word in words if word not in message] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"127.0.0.1\n10.0.0.999\n", ["list.txt", "line 2", "octet 999"]),
        (b"127.0.0.1\n\xff\xfe\n", ["list.txt", "no text"]),
        (b"# nothing but a comment\n", ["name a target"]),
    ],
)
def test_mistakes_in_a_list_are_named(data: bytes, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    done = rawscan(None, "scan", "-iL", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert [word for word in words if word not in done.stderr] == []


BAD_OUTPUTS = (["-o", "{tmp}/bad.foo"], ["-o", "{tmp}/no/x.csv"], ["-o", "{tmp}"])


@pytest.mark.parametrize("bad", BAD_OUTPUTS, ids=" ".join)
def test_one_bad_output_leaves_the_good_ones_alone(bad: list[str], tmp_path: Path) -> None:
    """Nothing that an earlier scan has written is lost to a mistake on the command line."""
    earlier = {tmp_path / name: name for name in ("old.jsonl", "old.pcapng")}
    for path, text in earlier.items():
        path.write_text(text)
    good = ["-o", str(tmp_path / "old.jsonl"), "--write-pcap", str(tmp_path / "old.pcapng")]
    done = rawscan(None, "scan", "127.0.0.1", *good, *(b.format(tmp=tmp_path) for b in bad))
    assert (done.returncode, done.stdout) == (2, "")
    assert {path: path.read_text() for path in earlier} == earlier
    assert set(tmp_path.iterdir()) == set(earlier)


ONE_FILE_TWICE = {
    "outputs": (["-o", "{tmp}/old.json", "-o", "{tmp}/./old.json"], "same file as -o"),
    "recording": (["-o", "{tmp}/old.json", "--write-pcap", "{tmp}/link"], "same file as -o"),
    "list": (["-iL", "{tmp}/old.json", "-o", "{tmp}/old.json"], "which is to be read"),
    "excludes": (["--exclude-file", "{tmp}/link", "-o", "{tmp}/old.json"], "which is to be read"),
    "payload": (["--udp-payload", "file:{tmp}/link", "-o", "{tmp}/old.json"], "to be read"),
}


@pytest.mark.parametrize("name", ONE_FILE_TWICE)
def test_no_output_takes_the_place_of_another_file(name: str, tmp_path: Path) -> None:
    """By whatever name: through a link it is the same file."""
    old = tmp_path / "old.json"
    old.write_text("127.0.0.9\n")
    (tmp_path / "link").symlink_to(old)
    arguments, message = ONE_FILE_TWICE[name]
    done = rawscan(None, "scan", "127.0.0.1", *(each.format(tmp=tmp_path) for each in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert old.read_text() == "127.0.0.9\n"


@pytest.mark.parametrize("link", ["rawip", "scapy"])
def test_no_privilege_is_explained_and_changes_nothing(link: str, tmp_path: Path) -> None:
    earlier = tmp_path / "old.jsonl"
    earlier.write_text("old")
    files = ["-o", str(earlier), "-o", str(tmp_path / "new.json")]
    files += ["--write-pcap", str(tmp_path / "new.pcapng")]
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    done = _run_bare(bare, "scan", "127.0.0.1", "--link", link, *files)
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing was sent" in done.stderr
    assert " sudo " in done.stderr
    assert "sudo setcap cap_net_raw+ep /" in done.stderr
    assert "Traceback" not in done.stderr
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("old.jsonl", "old")]


def _run_bare(prefix: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = apart([*prefix, *RAWSCAN, *arguments])
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
