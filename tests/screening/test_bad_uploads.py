"""Every bad upload of the table meets its own error, before anything is loaded."""

import io
import subprocess
import sys

import pytest

from screening import screen
from secateur.errors import SecateurError, catalogue
from tests.badfiles import BAD_UPLOADS, BadUpload, good_keras, good_npz

SCREENED = [bad for bad in BAD_UPLOADS if bad.where == "screening"]
CHECKED = [bad for bad in BAD_UPLOADS if bad.where == "check"]


@pytest.mark.parametrize("bad", SCREENED, ids=lambda bad: bad.id)
def test_a_bad_upload_meets_its_own_error(bad: BadUpload) -> None:
    """A stable code is what a client acts on; a suggestion is what its user acts on."""
    expected = catalogue()[bad.code]

    with pytest.raises(SecateurError) as caught:
        screen(bad.kind, bad.name, io.BytesIO(bad.build()))

    assert type(caught.value) is expected
    assert len(caught.value.detail) > 20
    assert all(len(suggestion) > 20 for suggestion in caught.value.suggestions)
    assert caught.value.suggestions


@pytest.mark.parametrize("bad", CHECKED, ids=lambda bad: bad.id)
def test_what_only_loading_can_find_passes_screening(bad: BadUpload) -> None:
    """Otherwise the table would prove nothing about the worker's own checks."""
    upload = io.BytesIO(bad.build())

    screen(bad.kind, bad.name, upload)


@pytest.mark.parametrize("bad", [bad for bad in CHECKED if bad.id.endswith("damaged")], ids=lambda bad: bad.id)
def test_inflating_finds_damaged_bytes(bad: BadUpload) -> None:
    """Before NumPy or HDF5 parse bytes that are not what was saved."""
    upload = io.BytesIO(bad.build())

    with pytest.raises(SecateurError) as caught:
        screen(bad.kind, bad.name, upload, inflate=True)

    assert caught.value.code == "archive_unreadable"


def test_good_uploads_pass() -> None:
    """A screen that refuses everything would pass all other tests here."""
    model, dataset = io.BytesIO(good_keras()), io.BytesIO(good_npz())

    assert screen("model", "tiny.keras", model, inflate=True) == "keras"
    assert screen("dataset", "tiny.npz", dataset, inflate=True) == "npz"


def test_ids_are_unique() -> None:
    """Two rows under one id would hide one of them in a report."""
    ids = [bad.id for bad in BAD_UPLOADS]

    assert len(ids) == len(set(ids))


def test_screening_needs_the_standard_library_only() -> None:
    """The gateway imports it, and must stay small."""
    code = "import screening, sys; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"numpy", "keras", "tensorflow", "h5py"} & set(loaded)
