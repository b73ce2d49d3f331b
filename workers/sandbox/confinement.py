"""Puts the calling process behind rules that it cannot leave any more.

Four layers, each useful when another one is missing: limits on resources, an account without rights, Landlock for
files and signals, seccomp for everything else that the kernel offers.
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
"""Of one job that has an account of its own, besides ``THREADS_PER_CORE``. TensorFlow on 2 cores starts 11."""
THREADS_PER_CORE: Final = 16
MAX_THREADS_OF_A_SHARED_ACCOUNT: Final = 8192
"""The kernel counts all threads of an account, those of other jobs and workers too."""
OOM_SCORE: Final = "600"
"""When memory runs out, the kernel ends a job before a worker, whose score is 0."""


@dataclass(frozen=True)
class Confinement:
    """The rules for one process.

    Attributes:
        folder: the only place that it may write to.
        parts: which of the kernel's parts must be used; entering fails when one of them is not there.
        uid: the account that it changes to, if it may change; needs root.
        file_bytes: the largest file that it may write.
    """

    folder: str
    parts: tuple[Part, ...] = PARTS
    uid: int | None = None
    file_bytes: int | None = None

    def to_json(self) -> str:
        """As one argument of a command line."""
        return _AS_JSON.dump_json(self).decode()

    @staticmethod
    def from_json(text: str) -> "Confinement":
        """What ``to_json`` wrote."""
        return _AS_JSON.validate_json(text)


_AS_JSON: TypeAdapter[Confinement] = TypeAdapter(Confinement)


def enter(confinement: Confinement) -> None:
    """Apply the rules to this process, for good. Call it while there is one thread: rules hold for the caller only.

    Raises:
        OSError, RuntimeError: a part that is asked for is not there; see ``why_missing``.
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
    """Why a part cannot be used here, for the operator; None when it can."""
    try:
        if part == "landlock":
            files.abi_version()
        else:
            calls.prepare_filter()
    except (OSError, RuntimeError, ImportError) as fault:
        return str(fault)
    return None
