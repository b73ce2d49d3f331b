"""Rules of attention: heads go, widths stay."""

from collections.abc import Mapping
from typing import Final

from engine.channels.site import Rule

RULES: Final[Mapping[str, Rule]] = {}
