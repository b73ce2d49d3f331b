"""Seccomp: which system calls a process may make. No sockets, no other processes, no signals to them, no bypasses.

A refused call fails with EPERM, so that libraries which only try it continue without it.
"""

import errno
import os
from collections.abc import Callable
from typing import Final

PROCESSES: Final = ("fork", "vfork", "execve", "execveat", "setsid", "setpgid", "unshare", "setns", "ptrace")
NETWORK: Final = ("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4")
OTHER_PROCESSES: Final = (
    *("process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_open", "pidfd_getfd"),
    *("pidfd_send_signal", "kcmp", "migrate_pages", "move_pages", "setpriority", "ioprio_set", "tkill"),
    *("shmget", "shmat", "msgget", "semget", "mq_open"),
)
KERNEL: Final = (
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *(
        "keyctl",
        "add_key",
        "request_key",
        "name_to_handle_at",
        "open_by_handle_at",
        "fanotify_init",
        "mknod",
        "mknodat",
    ),
    *("mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("mount_setattr", "swapon", "swapoff", "acct", "quotactl", "reboot", "syslog", "personality", "modify_ldt"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "iopl", "ioperm", "vhangup"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname"),
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid"),
    *("capset",),
)
TO_THE_CALLER: Final = ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
"""Calls whose first argument is a process, or 0 for the caller. Only 0 is allowed: a filter cannot distinguish a thread
of this process from another process of the same account, which an attack could bind to one processor or stop."""

TO_ITSELF: Final = ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
"""Calls whose first argument is a process. Only this process is allowed."""

PRETENDED: Final = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("utime", "utimes", "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr"),
    *("removexattr", "lremovexattr", "fremovexattr"),
)
"""Calls that report success and do nothing. Landlock does not cover them, and a worker that is not root shares its
account with its jobs: a job could make the store unreadable. Libraries that copy files expect these calls to work."""

OWNER_OF_SIGNALS: Final = {"fcntl": (8, 10, 15), "ioctl": (0x8901, 0x8902)}
"""F_SETOWN, F_SETSIG, F_SETOWN_EX, FIOSETOWN, SIOCSPGRP: they make the kernel send any signal to another process."""

CLONE_THREAD: Final = 0x10000
PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4


def prepare_filter() -> Callable[[], None]:
    """Return a function that applies the filter. libseccomp is loaded now, because later no new file can be opened.

    Raises:
        RuntimeError: libseccomp.so.2 is not installed.
    """
    try:
        import pyseccomp
    except RuntimeError as fault:
        raise RuntimeError(
            "libseccomp.so.2 is not installed (Debian and Ubuntu: apt-get install libseccomp2)"
        ) from fault
    refuse, absent, pretend = (pyseccomp.ERRNO(number) for number in (errno.EPERM, errno.ENOSYS, 0))

    def apply() -> None:
        rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
        for name in (*PROCESSES, *NETWORK, *OTHER_PROCESSES, *KERNEL):
            if _exists(name):
                rules.add_rule(refuse, name)
        for name in filter(_exists, PRETENDED):
            rules.add_rule(pretend, name)
        for name, commands in OWNER_OF_SIGNALS.items():
            for command in commands:
                rules.add_rule(refuse, name, pyseccomp.Arg(1, pyseccomp.EQ, command))
        for name in TO_ITSELF:
            rules.add_rule(refuse, name, pyseccomp.Arg(0, pyseccomp.NE, os.getpid()))
        for name in filter(_exists, TO_THE_CALLER):
            rules.add_rule(refuse, name, pyseccomp.Arg(0, pyseccomp.NE, 0))
        rules.add_rule(refuse, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD, 0))
        # A filter cannot follow the pointer to the flags of clone3. Without clone3 the C library uses clone.
        rules.add_rule(absent, "clone3")
        for option in (PR_SET_PDEATHSIG, PR_SET_DUMPABLE):
            rules.add_rule(refuse, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, option))
        rules.load()

    def _exists(name: str) -> bool:
        return bool(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) > 0)

    return apply
