"""How much of a child's words is believed and kept. Rows, events and pages that show them stay small, whatever it says.

Texts for people are shortened and say so; names that nobody would give are refused, and then the child has lied.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from secateur.errors import Failure, FieldError

MAX_TEXT: Final = 2_000
MAX_DETAIL: Final = 8_000
"""Characters of the one text that tells why a job failed."""

MAX_NAME: Final = 128
MAX_METRICS: Final = 64
MAX_NAMED: Final = 100
"""Fields and suggestions that a failure names."""

MAX_FIELD: Final = 256
MAX_MESSAGE: Final = 500
MAX_MESSAGES: Final = 8
"""Characters of a field's path and of a message about it, and messages about one field."""


def shortened(text: str, limit: int = MAX_TEXT) -> str:
    """A text of at most so many characters, with how many are left out; without null characters, which nobody stores.

    >>> shortened("abc"), shortened("x" * 90, 50)
    ('abc', 'xxxxxxxxxx... (80 characters left out)')
    """
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(text) <= limit:
        return text
    kept = max(0, limit - 40)
    return f"{text[:kept]}... ({len(text) - kept} characters left out)"


def brief(failure: Failure) -> Failure:
    """A failure with texts of a length that can be shown, and as many fields and suggestions."""
    errors = tuple(
        FieldError(
            field=shortened(each.field, MAX_FIELD),
            messages=tuple(shortened(message, MAX_MESSAGE) for message in each.messages[:MAX_MESSAGES]),
        )
        for each in failure.errors[:MAX_NAMED]
    )
    return failure.model_copy(
        update={
            "code": shortened(failure.code, 100),
            "title": shortened(failure.title, 200),
            "detail": shortened(failure.detail, MAX_DETAIL),
            "step": None if failure.step is None else shortened(failure.step, 100),
            "errors": errors,
            "suggestions": tuple(map(shortened, failure.suggestions[:MAX_NAMED])),
        }
    )


def few(metrics: Mapping[str, float]) -> Mapping[str, float]:
    """As many numbers of an epoch as can be shown. Their names come from the layers of an uploaded model.

    >>> len(few({f"loss_{number}": 0.0 for number in range(1000)}))
    64
    """
    return {shortened(name, MAX_NAME): value for name, value in islice(metrics.items(), MAX_METRICS)}


Text = Annotated[str, AfterValidator(shortened)]
Name = Annotated[str, Field(max_length=MAX_NAME)]
Epoch = Annotated[int, Field(ge=0, le=10**9)]
Metrics = Annotated[Mapping[str, float], AfterValidator(few)]
Brief = Annotated[Failure, AfterValidator(brief)]
