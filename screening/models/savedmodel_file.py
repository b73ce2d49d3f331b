"""The rules of SavedModels in a zip archive: which members there must be, and where."""

from typing import Final

from screening.archive import Archive
from secateur.errors import ArchiveUnsafe, ModelUnreadable

GRAPH: Final = "saved_model.pb"
KERAS: Final = "keras_metadata.pb"
INDEX: Final = "variables/variables.index"
DATA: Final = "variables/variables.data-"
MAX_GRAPH_BYTES: Final = 512 << 20

_KNOWN: Final = (GRAPH, KERAS, "fingerprint.pb", "variables/", "assets/", "assets.extra/")
_IGNORED: Final = ("__MACOSX/", ".DS_Store")
_HOW: Final = 'In Python: shutil.make_archive("model", "zip", "folder_of_the_savedmodel").'


def check(archive: Archive) -> str:
    """Check that an archive is a SavedModel. Returns the folder that it is in, ``""`` or ``"name/"``.

    Raises:
        ModelUnreadable: a member is missing. ArchiveUnsafe: there are members that no SavedModel has.
    """
    names = [name for name in archive.sizes if not name.startswith(_IGNORED[0]) and not name.endswith(_IGNORED[1])]
    roots = [name.removesuffix(GRAPH) for name in names if name == GRAPH or name.endswith(f"/{GRAPH}")]
    roots = [root for root in roots if root.count("/") <= 1]
    if len(roots) != 1:
        raise _unreadable(
            f"{GRAPH} was expected once, at the root of the archive or in one folder; it is there {len(roots)} times."
        )
    root = roots[0]
    inside = [name.removeprefix(root) for name in names if name != root]
    strange = [name for name in names if not name.startswith(root)] + [n for n in inside if not n.startswith(_KNOWN)]
    if strange:
        raise ArchiveUnsafe(
            f"The archive has {strange[0][:80]!r}, which is no part of a SavedModel.", suggestions=[_HOW]
        )
    if INDEX not in inside or not any(name.startswith(DATA) for name in inside):
        raise _unreadable(f"The SavedModel lacks {INDEX} or {DATA}*: it has no weights.")
    if archive.sizes[root + GRAPH] > MAX_GRAPH_BYTES:
        raise _unreadable(f"{GRAPH} has {archive.sizes[root + GRAPH]} bytes; at most {MAX_GRAPH_BYTES} are accepted.")
    return root


def _unreadable(detail: str) -> ModelUnreadable:
    return ModelUnreadable(
        detail,
        suggestions=[f"Zip the folder that holds {GRAPH} and variables. {_HOW}", 'Or model.save("model.keras").'],
    )
