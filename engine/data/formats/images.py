"""Zips of class folders of images: decoded and resized once, to rows of uint8."""

import io
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from engine.arrays import Array
from engine.data.formats.pool import divide
from engine.data.labels import as_declared
from engine.data.rows import RowWriter, Stored
from engine.data.split import Contents
from screening.archive import IMAGES, Archive
from screening.costs import check_inflation
from screening.datasets.images import Member, members_of
from secateur.errors import ImagesUnusable
from secateur.specs.reading import Reading

FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF")
MAX_PIXELS: Final = 50_000_000
"""Of one image; more would take hundreds of megabytes while it is decoded."""

MODES: Final = {"rgb": ("RGB", 3), "grayscale": ("L", 1)}


def read(path: Path, reading: Reading) -> Contents:
    """The splits of a zip that was screened: ``[train|val|test/]class/image``.

    Raises:
        ImagesUnusable, DatasetLabelsInvalid, DatasetSplitEmpty: naming the image, class or split.
    """
    with path.open("rb") as file, Archive(file, limits=IMAGES) as archive:
        members = members_of(archive)
        named = ((member.name, b"".join(archive.pieces(member.name))) for member in members)
        x = decode_all(named, reading, check=partial(_check_cost, reading, len(members), archive.num_bytes))
    classes = np.array([member.label for member in members])
    y, names = as_declared(classes, reading, where=lambda at: f"The class of {members[at].name[:80]!r}")
    return Contents("images", divide(x, y, splits=_splits(members), reading=reading), "classes", "text", names)


def _splits(members: list[Member]) -> Array | None:
    return None if members[0].split is None else np.array([member.split for member in members])


def _check_cost(reading: Reading, count: int, file_bytes: int, image: Array) -> None:
    """Hold all images against the file, once the first tells the size of each; a declared size is the user's wish."""
    size = int(image.nbytes)
    check_inflation(
        f"The data set of {count} images of shape {image.shape}",
        num_values=count * size,
        num_bytes=count * size if reading.image_size is None else 0,
        file_bytes=file_bytes,
    )


def decode_all(
    images: Iterable[tuple[str, bytes]], reading: Reading, *, check: Callable[[Array], None] = lambda _: None
) -> Stored:
    """All images as rows, shape (n, height, width, channels), uint8; each comes with a name for errors.

    Args:
        check: is given the first one, and raises when so many of its size are too many.

    Raises:
        ImagesUnusable: one is broken, or of another size than the first where no size is declared.
    """
    writer, first = None, ""
    try:
        for name, content in images:
            image = decode(content, name, reading)
            if writer is None:
                check(image)
                writer, first = RowWriter(image.shape, np.uint8), name
                shape = image.shape
            if image.shape != shape:
                sizes = f"{first!r} is {shape[0]}x{shape[1]}, {name!r} {image.shape[0]}x{image.shape[1]}"
                raise ImagesUnusable(
                    f"The images have different sizes: {sizes} (height x width).",
                    suggestions=[
                        f"Declare image_size={shape[0]}x{shape[1]}, or what the model takes: all are resized."
                    ],
                )
            writer.append(image[None])
        assert writer is not None, "screening has seen to it that there are images"
        return writer.finish()
    finally:
        if writer is not None:
            writer.close()


def decode(content: bytes, name: str, reading: Reading) -> Array:
    """One image, shape (height, width, channels), uint8; resized bilinearly when a size is declared.

    Raises:
        ImagesUnusable: naming it.
    """
    mode, channels = MODES[reading.color]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; the size is checked here
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check(image, name)
                plain = image.convert(mode)
                if reading.image_size is not None:
                    height, width = reading.image_size
                    plain = plain.resize((width, height), Image.Resampling.BILINEAR)
    except UnidentifiedImageError as fault:  # also what a format takes for its own and finds cut
        raise _unusable(name, "is broken, or no jpg, png, bmp or gif") from fault
    except ImagesUnusable:
        raise
    except Exception as fault:
        raise _unusable(name, f"is broken: {' '.join(str(fault).split())[:200]}") from fault
    return np.asarray(plain, np.uint8).reshape(plain.height, plain.width, channels)


def _check(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _unusable(name, f"has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are accepted")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise _unusable(name, f"holds pixels of the mode {image.mode!r}; 8 bits a channel were expected")
    if getattr(image, "n_frames", 1) > 1:
        raise _unusable(name, "is an animation; one picture was expected")


def _unusable(name: str, what: str) -> ImagesUnusable:
    return ImagesUnusable(
        f"{name[:120]!r} {what}.", suggestions=["Repair it or leave it out; write images with 8 bits a channel."]
    )
