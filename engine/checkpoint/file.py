"""The file that holds a job's checkpoint: written under another name, then renamed; read without trust.

The worker is notified of each file and removes it once it is stored. No new checkpoint is written before that, so a
slow worker is never more than one checkpoint behind.
"""

import hashlib
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import keras
import numpy as np
from pydantic import BaseModel

from engine.arrays import Array
from engine.checkpoint.sections import Section, Sections, as_array, from_array
from secateur.version import VERSION

_log = logging.getLogger(__name__)

FORMAT: Final = 1
"""Incremented whenever the meaning of a section changes."""

WRITING_SHARE: Final = 0.05
"""The largest share of a job's time that writing checkpoints may take."""


@dataclass
class CheckpointFile:
    """Writes sections to a file at intervals.

    Args:
        path: where the complete file appears.
        work: the job's recipe; checkpoints of other recipes are not read.
        every_seconds: the shortest time between two checkpoints.
        announce: called when a file has appeared.
    """

    path: Path
    work: BaseModel
    every_seconds: float
    announce: Callable[[], None]
    _saved_at: float = field(default_factory=time.monotonic)
    _pause: float = 0.0

    def is_due(self) -> bool:
        """Whether the last file was removed, and is old enough for the time that writing it took."""
        due = time.monotonic() >= self._saved_at + max(self.every_seconds, self._pause)
        return due and not self.path.exists()

    def save(self, state_dict: Callable[[], Sections]) -> None:
        """Write the file and announce it. When the file cannot be written, the job continues without it."""
        began = time.monotonic()
        unfinished = self.path.with_suffix(".part")
        try:
            self._write(state_dict(), unfinished)
            os.replace(unfinished, self.path)
        except (OSError, MemoryError) as fault:
            unfinished.unlink(missing_ok=True)
            _log.warning("The checkpoint could not be saved: %s.", fault)
            return
        finally:
            self._saved_at = time.monotonic()
            self._pause = (self._saved_at - began) / WRITING_SHARE if self.every_seconds else 0.0
        self.announce()

    def _write(self, sections: Sections, path: Path) -> None:
        arrays = {f"{name}/{key}": array for name, section in sections.items() for key, array in section.items()}
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, header=as_array(_header(self.work)), **arrays)


def read(path: Path, work: BaseModel) -> dict[str, Section]:
    """The sections of a file; none when it belongs to other work or another version, or is damaged."""
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as saved:
            if from_array(saved["header"]) != _header(work):
                return {}
            sections = defaultdict[str, dict[str, Array]](dict)
            for full in saved.files:
                name, slash, key = full.partition("/")
                if slash:
                    sections[name][key] = saved[full]
            return dict(sections)
    except (KeyError, TypeError, ValueError, BadZipFile, OSError, EOFError):  # not a file that we wrote
        return {}


def _header(work: BaseModel) -> dict[str, str | int]:
    asked = hashlib.sha256(work.model_dump_json().encode()).hexdigest()
    return {"format": FORMAT, "secateur": VERSION, "keras": keras.__version__, "work": asked}
