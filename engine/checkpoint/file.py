"""The one file in which a job's trail is kept: written beside, then named; read with suspicion.

Whoever takes it is told of it, and removes it in the end. As long as it lies there nothing new is kept, so a slow
reader is never behind by more than one.
"""

import hashlib
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import keras
import numpy as np
from pydantic import BaseModel

from engine.arrays import Array
from engine.checkpoint.sections import Section, Sections, as_array, from_array

_log = logging.getLogger(__name__)

FORMAT: Final = 1
"""Goes up whenever a section means something else than before."""

WRITING_SHARE: Final = 0.05
"""At most so much of a job's time goes into keeping it."""


@dataclass
class File:
    """Keeps sections in a file, now and then.

    Args:
        path: where the file appears, whole.
        work: what the job was asked for; another one's checkpoints are not taken up.
        every_seconds: the least time from one to the next.
        announce: told when a file has appeared.
    """

    path: Path
    work: BaseModel
    every_seconds: float
    announce: Callable[[], None]
    _kept_at: float = field(default_factory=time.monotonic)
    _pause: float = 0.0

    def is_due(self) -> bool:
        """Whether the last one was taken, and is old enough for what it cost."""
        due = time.monotonic() >= self._kept_at + max(self.every_seconds, self._pause)
        return due and not self.path.exists()

    def keep(self, tell: Callable[[], Sections]) -> None:
        """Write the file and announce it. Where there is no room for it the job goes on without."""
        began = time.monotonic()
        unfinished = self.path.with_suffix(".part")
        try:
            self._write(tell(), unfinished)
            os.replace(unfinished, self.path)
        except (OSError, MemoryError) as fault:
            unfinished.unlink(missing_ok=True)
            _log.warning("How far the job is could not be kept: %s.", fault)
            return
        finally:
            self._kept_at = time.monotonic()
            self._pause = (self._kept_at - began) / WRITING_SHARE if self.every_seconds else 0.0
        self.announce()

    def _write(self, sections: Sections, path: Path) -> None:
        arrays = {f"{name}/{key}": array for name, section in sections.items() for key, array in section.items()}
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, header=as_array(_header(self.work)), **arrays)


def read(path: Path, work: BaseModel) -> dict[str, Section]:
    """What was kept; nothing when that was for other work, by another version, or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if from_array(kept["header"]) != _header(work):
                return {}
            found = defaultdict[str, dict[str, Array]](dict)
            for full in kept.files:
                name, slash, key = full.partition("/")
                if slash:
                    found[name][key] = kept[full]
            return dict(found)
    except (KeyError, TypeError, ValueError, BadZipFile, OSError, EOFError):  # not what we wrote
        return {}


def _header(work: BaseModel) -> dict[str, str | int]:
    asked = hashlib.sha256(work.model_dump_json().encode()).hexdigest()
    return {"format": FORMAT, "secateur": version("secateur"), "keras": keras.__version__, "work": asked}
