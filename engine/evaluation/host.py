"""The machine that measured: its CPU by name, and the versions that were at work."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from tensorflow.python.util import _pywrap_util_port

from secateur.reports.report import Host


def host() -> Host:
    """Fingerprint of this machine."""
    packages = ("tensorflow", "keras", "ai-edge-litert", "numpy")
    return Host(
        cpu=_cpu_name(),
        num_cpus=len(os.sched_getaffinity(0)),
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        versions={package: version(package) for package in packages},
        onednn=bool(_pywrap_util_port.IsMklEnabled()),
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
