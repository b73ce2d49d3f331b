"""The bounds on what an upload may cost, in force where a file is screened and read.

They hold for whatever is read inside ``limited_to``; outside, the defaults hold. A context variable carries them, since
every reader of a file format needs them and none of their callers does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from secateur.errors import UploadTooCostly
from secateur.protocol.cost_bounds import DEFAULT, CostBounds

INFLATED_FREE_BYTES: Final = 128 << 20
"""Up to this size any ratio is harmless: a table of equal values packs a thousandfold."""

_in_force: ContextVar[CostBounds] = ContextVar("cost_bounds", default=DEFAULT)


@contextmanager
def limited_to(bounds: CostBounds) -> Iterator[None]:
    """Let these bounds hold for what is screened and read in this thread inside the block."""
    token = _in_force.set(bounds)
    try:
        yield
    finally:
        _in_force.reset(token)


def bounds() -> CostBounds:
    """The bounds that hold here."""
    return _in_force.get()


def too_costly(detail: str, setting: str, *suggestions: str) -> UploadTooCostly:
    """The error of an upload that passes a bound.

    Args:
        setting: the environment variable by which the operator moves the bound.
    """
    return UploadTooCostly(detail, suggestions=[*suggestions, f"Or ask the operator to raise {setting}."])


def few(number: int) -> str:
    """A number of an upload in an error: a file can claim one of a thousand digits.

    >>> few(81_234), few(10**40)
    ('81234', 'more than 10^15')
    """
    return str(number) if number < 10**15 else "more than 10^15"


def check_inflation(what: str, *, num_values: int, num_bytes: int, file_bytes: int) -> None:
    """Hold what a data set becomes when it is read against the size of its file.

    Args:
        what: what is read, as the subject of a sentence, such as ``"The table of 60000000 rows x 2 columns"``.
        num_values: samples x (features + labels).
        num_bytes: of these values in memory or on disk.
        file_bytes: size of the upload.

    Raises:
        UploadTooCostly: it is larger than the bounds allow.
    """
    limits = bounds()
    if num_values > limits.data_values:
        raise too_costly(
            f"{what} has {num_values} values; at most {limits.data_values} are accepted.",
            "SECATEUR_MAX_DATA_VALUES",
            "Upload fewer samples or features.",
        )
    if num_bytes > max(INFLATED_FREE_BYTES, limits.inflation * file_bytes):
        raise too_costly(
            f"{what} takes {num_bytes} bytes when it is read, more than {limits.inflation} times the {file_bytes} "
            "bytes of the file.",
            "SECATEUR_MAX_INFLATION",
            "If the data really is that uniform, upload fewer samples of it, or an .npz of numpy.savez.",
        )
