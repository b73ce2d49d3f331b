"""The rules of zips of images: only images in class folders, by their names. No image is opened here."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from screening.archive import Archive
from secateur.errors import ImagesUnusable

ENDINGS: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif"})
LITTER: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
"""What file managers leave behind."""

Split = Literal["train", "validation", "test"]
SPLITS: Final[dict[str, Split]] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_LAYOUT: Final = "Zip class folders, cat/1.jpg and dog/1.jpg, or train/cat/1.jpg, val/... and test/... above them."


@dataclass(frozen=True)
class Member:
    """An image: its name in the archive, its class, and its split when folders say so."""

    name: str
    split: Split | None
    label: str


def members_of(archive: Archive) -> list[Member]:
    """All images, by split, class and name. A folder around everything is left aside.

    Raises:
        ImagesUnusable: a file that is no image, or one that lies in no class folder.
    """
    names = [name for name in sorted(archive.sizes) if not _is_litter(name)]
    paths = [PurePosixPath(name) for name in names]
    for path in paths:
        if path.suffix.lower() not in ENDINGS:
            raise _unusable(f"{str(path)[:120]!r} is no image: {', '.join(sorted(ENDINGS))} were expected.")
    if not paths:
        raise _unusable("The archive has no images.")
    parts = [path.parts for path in paths]
    around = len({part[0] for part in parts}) == 1 and min(map(len, parts)) > 2 and parts[0][0].lower() not in SPLITS
    parts = [part[1:] for part in parts] if around else parts
    with_splits = [part[0].lower() in SPLITS and len(part) > 2 for part in parts]
    if any(with_splits) and not all(with_splits):
        stray = paths[with_splits.index(False)]
        raise _unusable(f"Some images lie in folders of splits, but {str(stray)[:120]!r} does not.")
    found = []
    for name, part, split in zip(names, parts, with_splits, strict=True):
        inside = part[1:] if split else part
        if len(inside) != 2:
            raise _unusable(f"{name[:120]!r} does not lie in the folder of its class.")
        found.append(Member(name, SPLITS[part[0].lower()] if split else None, inside[0]))
    return found


def _is_litter(name: str) -> bool:
    path = PurePosixPath(name)
    return name.endswith("/") or path.name.lower() in LITTER or path.parts[0] == "__MACOSX" or path.name[:2] == "._"


def check(archive: Archive) -> None:
    """Check the names of all members.

    Raises:
        ImagesUnusable: see ``members_of``.
    """
    members_of(archive)


def _unusable(detail: str) -> ImagesUnusable:
    return ImagesUnusable(detail, suggestions=[_LAYOUT])
