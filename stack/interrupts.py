"""Handles Ctrl-C and SIGTERM at any moment: the first signal stops the stack, later ones make it stop faster."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Raises one ``KeyboardInterrupt`` for the first signal, but not within blocks that must not be interrupted."""

    def __init__(self) -> None:
        self.count = 0
        self._held = 0
        self._raised = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals while the block runs. Call it in the main thread."""
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delay the ``KeyboardInterrupt`` of a signal to the end of the block."""
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
