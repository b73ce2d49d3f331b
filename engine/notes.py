"""What a report will say about how a job went, told at once to whoever follows the job."""

import logging
from collections.abc import Iterable
from typing import Self

_log = logging.getLogger(__name__)


class Notes(list[str]):
    """A list of sentences; each is logged when it is added.

    >>> notes = Notes()
    >>> notes += ["conv_1 is left alone."]
    >>> notes
    ['conv_1 is left alone.']
    """

    def append(self, note: str) -> None:
        """Add a sentence, and log it."""
        _log.info(note)
        super().append(note)

    def __iadd__(self, notes: Iterable[str]) -> Self:  # type: ignore[override, misc]
        for note in notes:
            self.append(note)
        return self
