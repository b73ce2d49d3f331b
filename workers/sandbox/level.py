"""How well this machine confines jobs, measured by attacks before the first job is taken."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from secateur.errors import SandboxMissing
from workers.sandbox import files, identity
from workers.sandbox.attack import SECRET
from workers.sandbox.confinement import PARTS, Confinement, Part, why_missing

Mode = Literal["require", "prefer", "off"]

FIRST_UID: Final = 61_184
NUM_UIDS: Final = 4_336
"""The range of systemd for services without an account of their own. No user is in it."""

ATTACK_SECONDS: Final = 60.0
FULL: Final = "+".join(PARTS)


@dataclass(frozen=True)
class Sandbox:
    """The confinement of jobs on this machine.

    Attributes:
        level: for people: ``landlock+seccomp``, or the available parts and the attacks that succeeded; or ``off``.
        parts: the parts of the kernel that are used.
        weaknesses: the attacks that succeeded.
        missing: why a part of the kernel cannot be used, for each missing part.
        file_bytes: the largest file that a job may write; None: no limit.
    """

    level: str
    parts: tuple[Part, ...] = PARTS
    weaknesses: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    file_bytes: int | None = None

    def confinement(self, folder: Path, number: int) -> Confinement | None:
        """Return the rules for a child in its folder; None if the sandbox is off.

        ``number`` selects the child's account.
        """
        if self.level == "off":
            return None
        uid = FIRST_UID + (os.getpid() * 31 + number) % NUM_UIDS if identity.may_change_accounts() else None
        if "landlock" not in self.parts and not files.reachable_by_others((*files.readable(), folder / "file")):
            uid = None  # it would need the right to read all files, and only Landlock could restrict that
        return Confinement(str(folder), self.parts, uid, self.file_bytes)


def hand_over(folder: Path, confinement: Confinement | None) -> None:
    """Give a folder and its content to the child's account. Needed only if the worker is root."""
    if confinement is None or confinement.uid is None:
        return
    for parent, folders, names in os.walk(folder):
        for name in ("", *folders, *names):
            os.chown(Path(parent, name), confinement.uid, confinement.uid, follow_symlinks=False)


def prepare_sandbox(mode: Mode, scratch: Path, *, file_bytes: int | None) -> Sandbox:
    """Choose the strongest confinement that the kernel offers, and attack it.

    Args:
        mode: whether a sandbox is required, preferred or off.
        scratch: a folder for the attacks.
        file_bytes: the largest file that a job may write; None: no limit.

    Raises:
        SandboxMissing: the mode is ``require``, and a part is missing or an attack succeeded.
    """
    if mode == "off":
        return Sandbox("off", parts=())
    reasons = {part: why_missing(part) for part in PARTS}
    parts = tuple(part for part in PARTS if reasons[part] is None)
    missing = tuple(f"{part}: {why}" for part, why in reasons.items() if why is not None)
    found = Sandbox("", parts, missing=missing, file_bytes=file_bytes)
    weaknesses = succeeded_attacks(found, scratch)
    level = "+".join(parts) or "limits"
    if weaknesses:
        level += f" (weak: {', '.join(weaknesses)})"
    if mode == "require" and (weaknesses or missing):
        raise _missing(level, missing)
    return Sandbox(level, parts, weaknesses, missing, file_bytes)


def succeeded_attacks(sandbox: Sandbox, scratch: Path) -> tuple[str, ...]:
    """Run all attacks in a confined process, and return the names of those that succeed.

    Raises:
        SandboxMissing: the confined process cannot work at all.
    """
    with _surroundings(scratch) as (own, canaries):
        confinement = sandbox.confinement(own, 0)
        assert confinement is not None
        hand_over(own, confinement)
        command = [sys.executable, "-P", "-s", "-m", "workers.sandbox.attack", confinement.to_json(), str(canaries)]
        packages = str(Path(__file__).resolve().parents[2])
        done = subprocess.run(
            command,
            env={"PYTHONPATH": packages, "PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=own,
            timeout=ATTACK_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise SandboxMissing(
            f"A confined process cannot work here: {done.stderr.strip()[-300:] or f'code {done.returncode}'}",
            suggestions=["Look at docs/security.md, or set SECATEUR_SANDBOX=off where all uploads are your own."],
        )
    return tuple(json.loads(done.stdout))


@contextmanager
def _surroundings(scratch: Path) -> Iterator[tuple[Path, Path]]:
    """Create a folder for the attacker, and a folder beside it that every account may read and write."""
    with tempfile.TemporaryDirectory(prefix="attack-", dir=scratch) as folder:
        root, own, canaries = Path(folder), Path(folder, "own"), Path(folder, "canaries")
        root.chmod(0o711)
        own.mkdir(mode=0o700)
        canaries.mkdir()
        canaries.chmod(0o777)
        (canaries / SECRET).write_text("not for you")
        (canaries / SECRET).chmod(0o666)
        yield own, canaries


def _missing(level: str, missing: tuple[str, ...]) -> SandboxMissing:
    return SandboxMissing(
        f"SECATEUR_SANDBOX is require, but jobs would only be confined by {level}"
        + (f"; missing: {'; '.join(missing)}." if missing else "."),
        suggestions=[
            "Use a kernel of 5.13 or newer with Landlock switched on (CONFIG_SECURITY_LANDLOCK, lsm=landlock,...), "
            "and a container runtime that lets its calls through.",
            "Install libseccomp.so.2 (Debian and Ubuntu: apt-get install libseccomp2).",
            "Set SECATEUR_SANDBOX=prefer where every upload is your own.",
        ],
    )
