"""What the lab says when it cannot be built. No network."""

from __future__ import annotations

from pathlib import Path

import pytest

from rawscan.errors import LabError
from rawscan.lab import tools


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "search_path", lambda: "/nowhere")
    with pytest.raises(LabError, match=r"needs unshare, nsenter, ip, nft") as caught:
        tools.require_tools()
    assert "sudo apt install util-linux iproute2 nftables" in str(caught.value)


def test_programs_are_found_outside_an_ordinary_users_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    tools.require_tools()
    assert "/usr/sbin" in tools.search_path().split(":")


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("kernel/unprivileged_userns_clone", "0", "unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "0", "max_user_namespaces=10000"),
        ("user/max_net_namespaces", "0", "max_net_namespaces=10000"),
    ],
)
def test_a_refusal_names_the_setting_that_forbids(
    tmp_path: Path, setting: str, value: str, remedy: str
) -> None:
    path = tmp_path / setting
    path.parent.mkdir(parents=True)
    path.write_text(value + "\n")
    message = tools.explain_refusal("unshare: Operation not permitted", tmp_path)
    assert "Operation not permitted" in message
    assert f"sudo sysctl {setting.replace('/', '.').partition('.')[0]}.{remedy}" in message
    path.write_text("7\n")
    assert remedy not in tools.explain_refusal("unshare: Operation not permitted", tmp_path)


def test_other_failures_are_not_called_refusals() -> None:
    message = tools.explain_refusal("unshare: failed to execute /root/python: Permission denied")
    assert "another user's directory" in message
    assert "sysctl" not in message
    message = tools.explain_refusal("ModuleNotFoundError: No module named 'rawscan'")
    assert "No module named 'rawscan'" in message
    assert "refused" not in message
