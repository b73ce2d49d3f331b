"""Rules of layers that go along time, and of wrappers around other layers."""

from collections.abc import Mapping
from typing import Final

from engine.channels.site import Rule

RULES: Final[Mapping[str, Rule]] = {}
