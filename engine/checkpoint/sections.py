"""How far a job is, told so that another process can go on from there.

Those who know a part of it tell it in a section under its own name, for as long as they are at work. At every safe
point somebody says ``mark``; then all open sections together are what is kept. Whoever goes on walks the same way
through the same code, and each takes up its section where it would have begun afresh.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from engine.arrays import Array

Section = Mapping[str, Array]
"""Arrays by name; what is no array is told as JSON, see ``as_array``."""

Sections = Mapping[str, Section]


class Keeper(Protocol):
    """Where sections are kept."""

    def is_due(self) -> bool:
        """Whether it is time to keep something again."""

    def keep(self, tell: Callable[[], Sections]) -> None:
        """Keep what is told now in place of what was kept before."""


@dataclass
class Trail:
    """Collects what is to be kept, and hands out what an earlier process kept. By itself it does neither."""

    keeper: Keeper | None = None
    found: dict[str, Section] = field(default_factory=dict)
    """What an earlier process kept; each section is handed out once."""
    _tellers: dict[str, Callable[[], Section]] = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether there is something to take up yet."""
        return bool(self.found)

    def take(self, name: str) -> Section | None:
        """What was told under this name where an earlier process stopped; None when it was not there."""
        return self.found.pop(name, None)

    @contextmanager
    def telling(self, name: str, tell: Callable[[], Section]) -> Iterator[None]:
        """While the block runs, what ``tell`` returns is a part of whatever is kept."""
        assert name not in self._tellers, f"{name} is told by somebody else already"
        self._tellers[name] = tell
        try:
            yield
        finally:
            del self._tellers[name]

    @contextmanager
    def from_here(self, name: str, state: Callable[[], Section], live: Callable[[], Section] = dict) -> Iterator[None]:
        """While the block runs, another process would begin with the state of now.

        Args:
            state: asked once, at the beginning; never where nothing is kept.
            live: asked whenever something is kept; told in the same section.
        """
        if self.keeper is None:
            yield
            return
        begun = state()
        with self.telling(name, lambda: {**begun, **live()}):
            self.mark()
            yield

    def mark(self) -> None:
        """A safe point: keep what all tell, if it is time to."""
        if self.keeper is not None and self.keeper.is_due():
            self.keeper.keep(lambda: {name: tell() for name, tell in self._tellers.items()})


def as_array(value: Any) -> Array:
    """What JSON can say, as an array.

    >>> from_array(as_array({"epoch": 2}))
    {'epoch': 2}
    """
    return bytes_as_array(json.dumps(value).encode())


def from_array(array: Array) -> Any:
    """The value again."""
    return json.loads(array.tobytes())


def bytes_as_array(content: bytes) -> Array:
    """The bytes of a file as an array."""
    return np.frombuffer(content, np.uint8)
