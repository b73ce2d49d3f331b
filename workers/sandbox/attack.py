"""Attacks on the sandbox: ``python -m workers.sandbox.attack CONFINEMENT CANARIES``. A worker runs it before its first
job.

The process confines itself like a job, runs what hostile code would run, and prints the names of the attacks that
succeeded. The canaries are a folder that every account may read and write, so only the rules can protect it.
"""

import ctypes
import errno
import fcntl
import json
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from workers.sandbox.confinement import Confinement, enter
from workers.sandbox.files import readable
from workers.sandbox.identity import PR_SET_PDEATHSIG, change_account

SECRET: Final = "secret"
OURS: Final = Path(__file__).resolve().parents[2]


class Target:
    """The targets of the attacks.

    ``others`` are the worker, and a process in the attacker's account, because a worker that is not root has the same
    account.
    """

    def __init__(self, confinement: Confinement, canaries: Path) -> None:
        self.confinement = confinement
        self.canaries = canaries
        self.parent = os.getppid()
        self.others = (self.parent, _sibling(confinement))
        self.is_installed = OURS in readable()
        self.libc = ctypes.CDLL(None, use_errno=True)

    def any_of_others(self, attack: Callable[[int], object]) -> bool:
        """Return whether an attack on one of the other processes is allowed."""
        return any(_succeeds(partial(_let_through, attack, pid)) for pid in self.others)


def _let_through(attack: Callable[[int], object], pid: int) -> bool:
    attack(pid)
    return True


def _sibling(confinement: Confinement) -> int:
    """Start a process in the account of the attacker. It ends together with the attacker. Return its id."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        return pid
    os.close(writing)
    if confinement.uid is not None:
        change_account(confinement.uid, reads_all=False)
    os.read(reading, 1)
    os._exit(0)


def read_a_file_outside(target: Target) -> bool:
    """Read a file outside the own folder, such as data of other users."""
    return bool((target.canaries / SECRET).read_bytes())


def list_a_folder_outside(target: Target) -> bool:
    """List a folder outside the own one, such as the names of other jobs."""
    return bool(os.listdir(target.canaries))


def write_outside(target: Target) -> bool:
    """Create a file that another job or the worker would find."""
    (target.canaries / "written").write_bytes(b"x")
    return True


def truncate_outside(target: Target) -> bool:
    """Destroy a file without opening it."""
    os.truncate(target.canaries / SECRET, 0)
    return True


def link_outside(target: Target) -> bool:
    """Link another account's file into the own folder."""
    os.link(target.canaries / SECRET, Path(target.confinement.folder) / "linked")
    return True


def open_a_socket(target: Target) -> bool:
    """Open a socket, which leads to the network, the database, and a cloud's metadata."""
    return any(_succeeds(partial(socket.socket, family)) for family in socket.AddressFamily)


def read_the_environment_of_the_worker(target: Target) -> bool:
    """Read the environment of the worker, which holds passwords."""
    return bool(Path(f"/proc/{target.parent}/environ").read_bytes())


def signal_the_worker(target: Target) -> bool:
    """Send a signal to the worker. Number 0 only checks the permission."""
    return target.any_of_others(lambda pid: os.kill(pid, 0))


def limit_the_worker(target: Target) -> bool:
    """Lower a resource limit of the worker. A worker that may not open files cannot work."""
    return target.any_of_others(lambda pid: resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0)))


def bind_the_worker_to_a_processor(target: Target) -> bool:
    """Bind the worker to a processor. All processes of an account on one processor are very slow."""
    return target.any_of_others(lambda pid: os.sched_setaffinity(pid, os.sched_getaffinity(pid)))


def starve_the_worker(target: Target) -> bool:
    """Lower the priority of the worker, so that it cannot renew leases in time."""
    idle = os.sched_param(0)
    return any(
        target.any_of_others(call)
        for call in (
            lambda pid: os.sched_setscheduler(pid, os.SCHED_OTHER, idle),
            lambda pid: os.sched_setparam(pid, idle),
            lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
        )
    )


def list_the_checkout(target: Target) -> bool:
    """List the checkout, which holds the data of a service that runs in place. Names of files are digests and jobs."""
    return not target.is_installed and any(_succeeds(partial(os.listdir, OURS / name)) for name in ("", "var", "docs"))


def start_a_process(target: Target) -> bool:
    """Start a process that outlives this one."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def run_a_program(target: Target) -> bool:
    """Run a program, such as a shell."""
    return os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}) > 0


def outlive_the_worker(target: Target) -> bool:
    """Ask the kernel not to kill this process together with the worker."""
    return int(target.libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)) == 0


def read_the_memory_of_the_worker(target: Target) -> bool:
    """Read the memory of the worker, which holds passwords.

    At an invalid address, an allowed call fails with EFAULT.
    """
    place = (ctypes.c_size_t * 2)(1, 1)
    read = target.libc.process_vm_readv(target.parent, place, 1, place, 1, 0)
    return read >= 0 or ctypes.get_errno() == errno.EFAULT


def become_root(target: Target) -> bool:
    """Become root, as the worker may be."""
    os.setuid(0)
    return True


def write_a_large_file(target: Target) -> bool:
    """Write one byte beyond the limit, without filling the disk."""
    limit = target.confinement.file_bytes
    if limit is None:
        return False
    with tempfile.TemporaryFile(dir=target.confinement.folder) as file:
        os.pwrite(file.fileno(), b"x", limit)
    return True


def raise_a_limit(target: Target) -> bool:
    """Raise a resource limit."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_CORE, unlimited)
    return True


def change_a_mode_outside(target: Target) -> bool:
    """Change the mode of another account's file, which can make a store unreadable."""
    secret = target.canaries / SECRET
    before = secret.stat().st_mode
    secret.chmod(0o600)
    return secret.stat().st_mode != before


def have_the_kernel_signal_the_worker(target: Target) -> bool:
    """Make the worker the owner of a pipe. The kernel sends signals about the pipe to its owner."""
    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, target.parent)
    os.close(writing)
    return True


ATTACKS: Final[tuple[Callable[[Target], bool], ...]] = (
    read_a_file_outside,
    list_a_folder_outside,
    write_outside,
    truncate_outside,
    link_outside,
    open_a_socket,
    read_the_environment_of_the_worker,
    signal_the_worker,
    limit_the_worker,
    bind_the_worker_to_a_processor,
    starve_the_worker,
    list_the_checkout,
    start_a_process,
    run_a_program,
    outlive_the_worker,
    read_the_memory_of_the_worker,
    become_root,
    write_a_large_file,
    raise_a_limit,
    have_the_kernel_signal_the_worker,
    change_a_mode_outside,
)


def _succeeds(attack: Callable[[], object]) -> bool:
    try:
        return bool(attack())
    except (OSError, ValueError):  # the second is how Python reports a limit that may not be raised
        return False


def works_inside(target: Target) -> bool:
    """Return whether a job could still work: write into its folder, and import more modules."""
    kept = Path(target.confinement.folder) / "kept"
    kept.write_bytes(b"x")
    import fractions  # noqa: F401

    return kept.read_bytes() == b"x"


def main(arguments: Sequence[str]) -> None:
    """Print the names of the attacks that succeeded, as a JSON list.

    Raises:
        RuntimeError: a job could not work under these rules.
    """
    confinement, canaries = Confinement.from_json(arguments[0]), Path(arguments[1])
    target = Target(confinement, canaries)
    enter(confinement)
    if not works_inside(target):
        raise RuntimeError("the own folder cannot be used")
    succeeded = [attack.__name__ for attack in ATTACKS if _succeeds(partial(attack, target))]
    sys.stdout.write(json.dumps(succeeded))


if __name__ == "__main__":
    main(sys.argv[1:])
