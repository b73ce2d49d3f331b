"""JSON of a stranger: parsed within bounds on bytes, values and depth."""

import json
from typing import Any, Final

from secateur.errors import ModelUnreadable

MAX_VALUES: Final = 1_000_000
"""Bounds the memory that parsing takes: 16 MB of empty lists would become half a gigabyte of objects."""


def parse(data: bytes, *, name: str, limit: int) -> Any:
    """The value of a JSON text.

    Args:
        name: what errors call it. limit: bytes that are accepted.

    Raises:
        ModelUnreadable: it is too large, nested too deeply, or no JSON text.

    >>> parse(b'{"units": 3}', name="config.json", limit=100)
    {'units': 3}
    """
    if len(data) > limit:
        raise _unreadable(f"{name} has {len(data)} bytes; at most {limit} are accepted.")
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise _unreadable(f"{name} holds more than {MAX_VALUES} values.")
    try:
        return json.loads(data.decode("utf-8"))
    except RecursionError as fault:
        raise _unreadable(f"{name} is nested too deeply.") from fault
    except ValueError as fault:
        raise _unreadable(f"{name} is no JSON text ({str(fault)[:80]}).") from fault


def _unreadable(detail: str) -> ModelUnreadable:
    return ModelUnreadable(detail, suggestions=['Save the model again: model.save("model.keras").'])
