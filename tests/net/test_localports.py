"""Source ports that nothing here uses, from forged /proc files and from the real ones."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rawscan.errors import LinkError
from rawscan.net.localports import ephemeral_ports, free_window, source_ports, used_ports

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"


def forged(folder: Path, **ports: list[int]) -> Path:
    for name, numbers in ports.items():
        address = "0" * 32 if name.endswith("6") else "0100007F"
        lines = [
            f"   {n}: {address}:{port:04X} {address}:0050 0A\n" for n, port in enumerate(numbers)
        ]
        (folder / name).write_text(HEADER + "".join(lines))
    return folder


def test_every_table_is_read(tmp_path: Path) -> None:
    proc = forged(tmp_path, tcp=[22, 561], tcp6=[8080], udp=[68, 65535], udp6=[1024])
    assert used_ports(proc) == {22, 561, 8080, 68, 65535, 1024}


def test_a_kernel_without_ipv6_has_fewer_tables(tmp_path: Path) -> None:
    assert used_ports(forged(tmp_path, tcp=[22], udp=[])) == {22}
    assert used_ports(tmp_path / "nowhere") == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("32768\t60999\n", range(32768, 61000)),
        ("1024 65535", range(1024, 65536)),
        ("nonsense", range(32768, 61000)),
        ("1 2 3", range(32768, 61000)),
        (None, range(32768, 61000)),
    ],
)
def test_ephemeral_ports(text: str | None, expected: range, tmp_path: Path) -> None:
    path = tmp_path / "range"
    if text is not None:
        path.write_text(text)
    assert ephemeral_ports(path) == expected


def test_the_window_is_the_largest_that_is_free() -> None:
    usual = range(32768, 61000)
    assert free_window(set(), usual) == range(16384, 32768)
    assert free_window({20000}, usual) == range(20000 - 16384, 20000)
    # Nowhere 8192 in a row: half of that, as high as possible.
    assert free_window({8000, 12000, 20000, 28000}, usual) == range(61440, 65536)


def test_ports_that_the_kernel_may_give_away_are_the_last_resort() -> None:
    used = set(range(1024, 65536)) - set(range(40000, 40064))
    assert free_window(used, range(32768, 61000)) == range(40000, 40064)
    everything = free_window(set(), range(1024, 65536))
    assert len(everything) == 32768 // 2


def test_no_room_is_an_error() -> None:
    with pytest.raises(LinkError, match="64 neighbouring ports"):
        free_window(set(range(1024, 65536)) - set(range(40000, 40063)), range(32768, 61000))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=lambda f: f.name)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=lambda k: k.name)
def test_a_real_socket_is_seen_and_avoided(
    family: socket.AddressFamily, kind: socket.SocketKind
) -> None:
    with socket.socket(family, kind) as taken:
        window = source_ports()
        taken.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", window[0]))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        assert window[0] in used_ports()
        assert window[0] not in source_ports()
