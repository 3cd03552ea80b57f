"""Finds the programs that the lab needs, and explains why it cannot be built. Reads /proc only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rawscan.errors import LabError

PACKAGES = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "nft": "nftables"}
"""Each program, and the Debian package that has it."""

_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21  # linux/capability.h

_REFUSALS = (
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "sudo sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    ("user/max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces=10000"),
    ("user/max_net_namespaces", "0", "sudo sysctl user.max_net_namespaces=10000"),
)
"""Settings under /proc/sys, the value that forbids the lab, and what to do about it."""


def search_path() -> str:
    """PATH, and the directories for system programs that ordinary users often lack in it."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def require_tools() -> None:
    """Raise an error that names every missing program and the command that installs them."""
    missing = [name for name in PACKAGES if shutil.which(name, path=search_path()) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[name] for name in missing))
        raise LabError(
            f"the lab needs {', '.join(missing)}, not found in {search_path()}; "
            f"install with: sudo apt install {packages}"
        )


def may_make_namespaces() -> bool:
    """Whether this process may make network namespaces without a user namespace around them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            return all(effective >> bit & 1 for bit in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN))
    return False


def explain_refusal(complaint: str, sysctls: Path = Path("/proc/sys")) -> str:
    """What went wrong before the keeper ran, and what to do: for an error message.

    `complaint` is the last line that `unshare`, or a Python that could not start, has written.
    """
    if not complaint.startswith("unshare:"):
        return f"the lab's keeper ended before it began: {complaint}"
    if "failed to execute" in complaint:
        return (
            f"{complaint}: inside the lab this user may not run that Python; "
            "use one that is not in another user's directory"
        )
    remedies = [
        f"{name.replace('/', '.')} is {value}: {remedy}"
        for name, value, remedy in _REFUSALS
        if _read(sysctls / name) == value
    ]
    advice = " or ".join(remedies) or "a container or security policy may forbid user namespaces"
    return f"the lab's namespaces were refused ({complaint}); {advice}; or run it as root"


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
