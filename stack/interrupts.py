"""Ctrl-C and SIGTERM at any moment, also twice: the first ends what runs, later ones hurry the ending."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns the first signal into one ``KeyboardInterrupt``, outside of blocks that must not be cut in two."""

    def __init__(self) -> None:
        self.count = 0
        self._held = 0
        self._raised = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Listen to the signals while the block runs. Only the main thread may."""
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block in which a signal is only noted; its ``KeyboardInterrupt`` comes at the end of the block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self._raise_if_due()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self._raise_if_due()

    def _raise_if_due(self) -> None:
        if self.count and not self._held and not self._raised:
            self._raised = True
            raise KeyboardInterrupt
