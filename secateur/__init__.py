"""Secateur for Python: the SDK, and the language that every part of the service speaks.

``secateur.Secateur`` is the client. Specs, states, reports and errors are data only (pydantic and the standard
library) and live in ``secateur.specs``, ``secateur.protocol``, ``secateur.reports`` and ``secateur.errors``; the
client is imported when it is asked for, so that a process that needs the language alone loads no HTTP library.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur.client.api import Secateur

__all__ = ["Secateur"]


def __getattr__(name: str) -> Any:
    """Import the client when it is first used (PEP 562)."""
    if name == "Secateur":
        from secateur.client.api import Secateur

        return Secateur
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
