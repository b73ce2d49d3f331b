"""The format by name, and the advice for every other name."""

import pytest

from screening import Kind, format_of
from screening.formats import ADVICE
from secateur.errors import UnsupportedFormat


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("model", "a.keras", "keras"),
        ("model", "A.b.KERAS", "keras"),
        ("model", "a.h5", "hdf5"),
        ("model", "a.HDF5", "hdf5"),
        ("model", "a.zip", "savedmodel"),
        ("dataset", "a.npz", "npz"),
        ("dataset", "a.zip", "images"),
        ("dataset", "a.csv", "csv"),
        ("dataset", "a.parquet", "parquet"),
        ("dataset", "a.tfrecord", "tfrecord"),
        ("dataset", "a.tfrecords", "tfrecord"),
    ],
)
def test_an_accepted_name_tells_its_format(kind: Kind, name: str, expected: str) -> None:
    """The rows of uploads carry it."""
    assert format_of(kind, name) == expected


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, f"x{ending}") for kind, advice in ADVICE.items() for ending in advice),
        ("model", "x.npz"),
        ("dataset", "x.keras"),
        ("dataset", "x.xlsx"),
        ("dataset", "x.tsv"),
        ("model", ""),
        ("model", ".keras"),
    ],
)
def test_another_name_is_refused_with_a_way_out(kind: Kind, name: str) -> None:
    """Each answer says what is accepted and how to make one today."""
    with pytest.raises(UnsupportedFormat) as caught:
        format_of(kind, name)

    accepted = ".keras" if kind == "model" else ".npz"
    assert accepted in caught.value.detail
    assert accepted in caught.value.suggestions[0]
