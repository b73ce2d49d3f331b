"""Confines the calling process by rules that it cannot remove.

There are four layers, each useful also if another one is missing: resource limits, an account without rights, Landlock
for files and signals, and seccomp for the other system calls.
"""

import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter

from workers.sandbox import calls, files, identity

Part = Literal["landlock", "seccomp"]
PARTS: Final[tuple[Part, ...]] = ("landlock", "seccomp")

MAX_OPEN_FILES: Final = 4096
MAX_THREADS: Final = 512
"""The limit for a job with an account of its own, in addition to ``THREADS_PER_CORE``. TensorFlow on 2 cores starts
11."""
THREADS_PER_CORE: Final = 16
MAX_THREADS_OF_A_SHARED_ACCOUNT: Final = 8192
"""The limit for jobs in the account of the worker: the kernel counts the threads of all its jobs and workers
together."""
OOM_SCORE: Final = "600"
"""When memory runs out, the kernel kills a job before a worker, whose score is 0."""


@dataclass(frozen=True)
class Confinement:
    """The rules for one process.

    Attributes:
        folder: the only folder that the process may write to.
        parts: the parts of the kernel that must be used. ``enter`` fails if one is missing.
        uid: the account that the process changes to, which needs root; None: it keeps its account.
        file_bytes: the largest file that the process may write; None: no limit.
    """

    folder: str
    parts: tuple[Part, ...] = PARTS
    uid: int | None = None
    file_bytes: int | None = None

    def to_json(self) -> str:
        """Return the rules as one argument of a command line."""
        return _AS_JSON.dump_json(self).decode()

    @staticmethod
    def from_json(text: str) -> "Confinement":
        """Return the rules that ``to_json`` wrote."""
        return _AS_JSON.validate_json(text)


_AS_JSON: TypeAdapter[Confinement] = TypeAdapter(Confinement)


def enter(confinement: Confinement) -> None:
    """Apply the rules to this process permanently. Call it while there is one thread: rules apply to the caller only.

    Raises:
        OSError, RuntimeError: a requested part is missing; see ``why_missing``.
    """
    # libseccomp is looked up now, while files can be opened
    use_seccomp = calls.prepare_filter() if "seccomp" in confinement.parts else None
    files.import_packages()
    _limit(confinement)
    readable = files.readable()
    _change_account(confinement, readable)
    if "landlock" in confinement.parts:
        files.restrict(Path(confinement.folder), readable)
    if use_seccomp is not None:
        use_seccomp()


def _change_account(confinement: Confinement, readable: tuple[Path, ...]) -> None:
    if confinement.uid is not None:
        hidden = not files.reachable_by_others((*readable, Path(confinement.folder, "file")))
        identity.change_account(confinement.uid, reads_all=hidden)
    elif os.getuid() == 0:
        identity.drop_capabilities()


def _limit(confinement: Confinement) -> None:
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    own_account = confinement.uid is not None
    threads = MAX_THREADS + THREADS_PER_CORE * (os.cpu_count() or 1)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_NPROC: threads if own_account else MAX_THREADS_OF_A_SHARED_ACCOUNT,
        resource.RLIMIT_FSIZE: confinement.file_bytes,
    }
    for kind, limit in limits.items():
        if limit is not None:
            hard = resource.getrlimit(kind)[1]
            least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (least, least))


def why_missing(part: Part) -> str | None:
    """Return why a part cannot be used on this machine, for the operator; None if it can."""
    try:
        if part == "landlock":
            files.abi_version()
        else:
            calls.prepare_filter()
    except (OSError, RuntimeError, ImportError) as fault:
        return str(fault)
    return None
