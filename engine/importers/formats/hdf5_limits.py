"""An HDF5 file of a stranger: what may be in it before any of it is read.

HDF5 can point to other files, compute data from other files, and promise far more data than it holds.
"""

from typing import Any, Final

import h5py

from engine.importers.refusals import unreadable
from secateur.errors import ArchiveUnsafe

MAX_OBJECTS: Final = 200_000
MAX_DEPTH: Final = 64
MAX_RATIO: Final = 100
RATIO_FREE_BYTES: Final = 64 << 20
FILTERS: Final = frozenset((h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, 32000))
"""Known compressions: deflate, shuffle, checksums, and h5py's own LZF. Others would load a plug-in."""


def check(file: Any, *, num_bytes: int) -> None:
    """Walk the whole file and hold each object against the rules.

    Raises:
        ArchiveUnsafe: it links to other places, or promises more data than so small a file can hold.
        ModelUnreadable: it holds what no model holds.
    """
    promised, seen, waiting = 0, set(), [(file["/"], 0)]
    while waiting:
        group, depth = waiting.pop()
        for name in group:
            item = _member(group, name)
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise _unsafe(group, name, "is linked from two places")
            seen.add(address)
            if isinstance(item, h5py.Group):
                if depth >= MAX_DEPTH:
                    raise _unsafe(group, name, f"is nested more than {MAX_DEPTH} levels deep")
                waiting.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                promised += _num_bytes(group, name, item)
            else:
                raise unreadable(f"{group.name}/{name} is neither a group nor an array.")
        if len(seen) > MAX_OBJECTS:
            raise unreadable(f"The file has more than {MAX_OBJECTS} groups and arrays.")
        if promised > max(RATIO_FREE_BYTES, MAX_RATIO * num_bytes):
            raise ArchiveUnsafe(
                f"The file of {num_bytes} bytes promises {promised} bytes of arrays, over {MAX_RATIO} times as many.",
                suggestions=["Save the model again without compression."],
            )


def _member(group: Any, name: str) -> Any:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise _unsafe(group, name, "is a link to another place or file")
    return group[name]


def _num_bytes(group: Any, name: str, dataset: Any) -> int:
    if dataset.is_virtual or dataset.external:
        raise _unsafe(group, name, "takes its data from other files")
    settings = dataset.id.get_create_plist()
    filters = {settings.get_filter(number)[0] for number in range(settings.get_nfilters())}
    if not filters <= FILTERS:
        raise _unsafe(group, name, "is packed by an unknown filter")
    return int(dataset.nbytes)


def _unsafe(group: Any, name: str, what: str) -> ArchiveUnsafe:
    return ArchiveUnsafe(
        f"{group.name.rstrip('/')[:80]}/{name[:80]} of the HDF5 file {what}; files must stand for themselves.",
        suggestions=['Save the model again: model.save("model.h5") writes no such thing.'],
    )
