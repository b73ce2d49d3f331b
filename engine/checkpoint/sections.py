"""The state of a running job as named sections of arrays, so that another process can resume it.

Each part of the engine registers its own section for as long as it runs. ``save_if_due``, called wherever the state is
consistent, saves all registered sections together. A process that resumes runs the same code, and each part restores
its section where it would otherwise start from the beginning.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from engine.arrays import Array

Section = Mapping[str, Array]
"""Arrays by name; other values are stored as JSON, see ``as_array``."""

Sections = Mapping[str, Section]


class CheckpointWriter(Protocol):
    """Where sections are saved."""

    def is_due(self) -> bool:
        """Whether it is time to save again."""

    def save(self, state_dict: Callable[[], Sections]) -> None:
        """Save the sections as they are now in place of those saved before."""


@dataclass
class Checkpoint:
    """Collects the sections to save, and hands out those of an earlier process. Without either it does nothing."""

    writer: CheckpointWriter | None = None
    sections: dict[str, Section] = field(default_factory=dict)
    """What an earlier process saved and no part has restored yet."""
    _state_dicts: dict[str, Callable[[], Section]] = field(default_factory=dict)

    @property
    def is_resumed(self) -> bool:
        """Whether sections of an earlier process are still to be restored."""
        return bool(self.sections)

    def restore(self, name: str) -> Section | None:
        """Hand out a section of the earlier process, once. None when it saved no such section."""
        return self.sections.pop(name, None)

    @contextmanager
    def section(self, name: str, state_dict: Callable[[], Section]) -> Iterator[None]:
        """While the block runs, every checkpoint holds what ``state_dict`` returns when it is saved."""
        assert name not in self._state_dicts, f"section {name} is registered already"
        self._state_dicts[name] = state_dict
        try:
            yield
        finally:
            del self._state_dicts[name]

    @contextmanager
    def restart_point(
        self, name: str, state_dict: Callable[[], Section], live: Callable[[], Section] = dict
    ) -> Iterator[None]:
        """While the block runs, every checkpoint holds the state from before the block.

        Args:
            name: of the section.
            state_dict: called once, before the block; never when no checkpoints are written.
            live: called at every save; its arrays go into the same section.
        """
        if self.writer is None:
            yield
            return
        before = state_dict()
        with self.section(name, lambda: {**before, **live()}):
            self.save_if_due()
            yield

    def save_if_due(self) -> None:
        """Save all registered sections if it is time to. Call it where the state is consistent."""
        if self.writer is not None and self.writer.is_due():
            self.writer.save(lambda: {name: state_dict() for name, state_dict in self._state_dicts.items()})


def as_array(value: Any) -> Array:
    """A value that JSON can express, as an array.

    >>> from_array(as_array({"epoch": 2}))
    {'epoch': 2}
    """
    return bytes_as_array(json.dumps(value).encode())


def from_array(array: Array) -> Any:
    """The value that ``as_array`` was given."""
    return json.loads(array.tobytes())


def bytes_as_array(content: bytes) -> Array:
    """The bytes of a file as an array."""
    return np.frombuffer(content, np.uint8)
