"""The list of fonts that matplotlib makes in each new home, taken from a child that waits and given to those after it.

To make it takes a second or two of a processor. A child that waits has read nothing of any upload yet, so what it made
is as good as what the next one would make; and it is the list of fonts that its rules let it read.
"""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

CACHE: Final = Path(".cache", "matplotlib")
PATTERN: Final = "fontlist-*.json"
MAX_BYTES: Final = 4 << 20


def font_lists(home: Path) -> Mapping[str, bytes]:
    """The lists in a child's home, by name; none when it has not made one. Only plain files of a likely size."""
    found = {}
    for path in sorted((home / CACHE).glob(PATTERN))[:2]:
        with suppress(OSError), open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            about = os.fstat(file.fileno())
            if stat.S_ISREG(about.st_mode) and 0 < about.st_size <= MAX_BYTES:
                found[path.name] = file.read(MAX_BYTES)
    return found


def write_font_lists(lists: Mapping[str, bytes], home: Path) -> None:
    """Put lists into the home of a child that has not been started yet."""
    if lists:
        (home / CACHE).mkdir(parents=True)
    for name, content in lists.items():
        (home / CACHE / name).write_bytes(content)
