"""Zips of images: layouts that are understood, pixels as they were, and defects told by name."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.data.read import read
from engine.data.split import split
from engine.data.summary import summarise
from secateur.errors import UploadRefused
from secateur.specs.reading import Reading


def picture(value: int = 0, size: tuple[int, int] = (4, 6), mode: str = "RGB", format: str = "PNG") -> bytes:
    """A picture of one grey; size is height and width."""
    buffer = io.BytesIO()
    Image.new("L", (size[1], size[0]), value).convert(mode).save(buffer, format)
    return buffer.getvalue()


def zip_file(folder: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "pets.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return folder / "pets.zip"


PETS = {f"{kind}/{number}.png": picture(10 * number) for kind in ("cat", "dog") for number in range(5)}


@pytest.mark.parametrize("around", ["", "pets/"], ids=["class folders", "a folder around them"])
def test_class_folders_become_classes_and_shares_are_drawn(tmp_path: Path, around: str) -> None:
    litter = {"__MACOSX/._cat": b"", f"{around}cat/.DS_Store": b"", f"{around}Thumbs.db": b""}
    path = zip_file(tmp_path, {around + name: content for name, content in PETS.items()} | litter)

    contents = read(path, Reading(test_share=0.4))

    assert {name: len(split) for name, split in contents.splits.items()} == {"train": 6, "test": 4}
    assert contents.classes == ("cat", "dog")
    assert contents.splits["train"].x.shape == (6, 4, 6, 3)
    assert sorted(contents.splits["test"].y) == [0, 0, 1, 1]


def test_folders_above_the_classes_are_splits_and_pixels_stay_what_they_were(tmp_path: Path) -> None:
    members = {f"train/{kind}/a.png": picture(value) for kind, value in (("cat", 10), ("dog", 20))}
    members |= {"val/dog/b.bmp": picture(30, format="BMP"), "test/cat/c.gif": picture(40, mode="L", format="GIF")}

    splits = read(zip_file(tmp_path, members), Reading(color="grayscale", classes=("dog", "cat"))).splits

    assert {name: (split.x[:, 0, 0, 0].tolist(), split.y.tolist()) for name, split in splits.items()} == {
        "train": ([10, 20], [1, 0]),
        "validation": ([30], [0]),
        "test": ([40], [1]),
    }


def test_a_folder_val_without_a_folder_test_is_what_scores_are_told_of(tmp_path: Path) -> None:
    """Many image sets come as train and val alone; what a job chooses by must still not be what it reports."""
    members = {f"train/{kind}/{n}.png": picture(n) for kind in ("cat", "dog") for n in range(10)}
    members |= {"val/cat/a.png": picture(200), "val/dog/b.png": picture(210)}

    contents = read(zip_file(tmp_path, members), Reading())
    data = split(contents, validation_share=0.2, seed=0)

    assert data.test.x[:, 0, 0, 0].tolist() == [200, 210]
    assert (data.tested_on, data.held_out) == ("validation", True)
    assert len(data.validation) == 4
    assert data.validation.x.max() < 10, "of the training split"
    summary = summarise(contents, Reading())
    assert {name: info.num_samples for name, info in summary.splits.items()} == {"train": 20, "test": 2}
    assert summary.tested_on == "validation"


def test_images_are_resized_to_the_declared_size(tmp_path: Path) -> None:
    mixed = PETS | {"cat/large.jpg": picture(99, (40, 20), format="JPEG")}

    train = read(zip_file(tmp_path, mixed), Reading(image_size=(2, 3))).splits["train"]

    assert train.x.shape[1:] == (2, 3, 3)
    assert train.x.dtype == np.uint8


DEFECTS: list[tuple[str, dict[str, bytes], str, str]] = [
    ("mixed sizes", {"dog/9.png": picture(size=(5, 5))}, "images_unusable", "'cat/0.png' is 4x6, 'dog/9.png' 5x5"),
    ("broken", {"dog/9.png": picture()[:40]}, "images_unusable", "'dog/9.png' is broken"),
    ("no image", {"dog/9.png": b"no image"}, "images_unusable", "'dog/9.png' is broken, or no jpg"),
    ("another file", {"dog/readme.txt": b""}, "images_unusable", "'dog/readme.txt' is no image"),
    ("no class folder", {"9.png": picture()}, "images_unusable", "'9.png' does not lie in the folder of its class"),
    ("too deep", {"dog/a/9.png": picture()}, "images_unusable", "'dog/a/9.png' does not lie"),
    ("16 bits", {"dog/9.png": picture(mode="I;16")}, "images_unusable", "'dog/9.png' holds pixels of the mode"),
    ("some splits", {"train/dog/9.png": picture()}, "images_unusable", "'cat/0.png' does not"),
]


@pytest.mark.parametrize(("added", "code", "told"), [each[1:] for each in DEFECTS], ids=[each[0] for each in DEFECTS])
def test_a_defect_is_told_by_the_name_of_the_image(
    tmp_path: Path, added: dict[str, bytes], code: str, told: str
) -> None:
    with pytest.raises(UploadRefused, match=told) as caught:
        read(zip_file(tmp_path, PETS | added), Reading())

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("members", "declared", "code", "told"),
    [
        ({"cat/1.png": picture(), "cat/2.png": picture()}, {}, "dataset_labels_invalid", "the class 'cat'"),
        (
            {"train/cat/1.png": picture(), "test/dog/2.png": picture()},
            {},
            "dataset_labels_invalid",
            "training split has no sample of 'dog'",
        ),
        ({"train/cat/1.png": picture(), "train/dog/2.png": picture()}, {}, "dataset_split_empty", "test split"),
        (PETS, {"classes": ["cat", "bird"]}, "dataset_labels_invalid", "'dog', which is none of"),
        (PETS, {"label": "cat"}, "reading_mismatch", "label cannot be declared"),
        ({"cat/": b""}, {}, "images_unusable", "no images"),
    ],
)
def test_classes_and_splits_that_make_no_data_set_are_refused(
    tmp_path: Path, members: dict[str, bytes], declared: dict[str, Any], code: str, told: str
) -> None:
    with pytest.raises(UploadRefused, match=told) as caught:
        read(zip_file(tmp_path, members), Reading.model_validate(declared))

    assert caught.value.code == code


def test_a_picture_that_claims_a_hundred_million_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    huge = bytearray(picture(format="BMP"))
    huge[18:26] = (20_000).to_bytes(4, "little") * 2

    with pytest.raises(UploadRefused, match=r"cat/x.bmp.*(pixels|broken)"):
        read(zip_file(tmp_path, PETS | {"cat/x.bmp": bytes(huge)}), Reading(image_size=(2, 2)))


PATHS = st.lists(st.sampled_from(["train", "test", "val", "cat", "dog", "."]), max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_a_zip_of_images_holds_it_is_read_or_refused_in_our_words(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    members = {}
    for number in range(data.draw(st.integers(0, 8))):
        content = bytearray(picture(number, format=data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP"]))))
        if data.draw(st.booleans()):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        ending = data.draw(st.sampled_from(["png", "jpg", "png", "txt"]))
        members[f"{data.draw(PATHS)}/{number}.{ending}".lstrip("/")] = bytes(content)
    path = zip_file(tmp_path_factory.mktemp("zip"), members)

    with suppress(UploadRefused):
        summarise(read(path, Reading()), Reading())
