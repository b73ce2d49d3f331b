from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data import rows
from engine.data.rows import HELD_BYTES, Rows, RowWriter, open_file, scratch_file
from secateur.errors import ArchiveUnsafe

TABLE = np.arange(60, dtype=">f4").reshape(10, 3, 2)


def rows_of(array: np.ndarray) -> Rows:
    return Rows(scratch_file([b"before", array.tobytes()]), 6, array.shape, array.dtype)


places = st.lists(st.integers(-10, 9), max_size=12).map(lambda chosen: np.array(chosen, np.int64))


@given(places)
def test_rows_are_picked_like_those_of_an_array(chosen: np.ndarray) -> None:
    assert np.array_equal(rows_of(TABLE)[chosen], TABLE[chosen])


@given(places, st.slices(5))
def test_a_selection_is_picked_from_like_a_copy(chosen: np.ndarray, which: slice) -> None:
    selected = rows_of(TABLE).select(chosen)

    assert selected.shape == TABLE[chosen].shape
    assert np.array_equal(selected[which], TABLE[chosen][which])
    assert np.array_equal(selected.select(np.arange(len(chosen))[::-1])[:], TABLE[chosen][::-1])


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(IndexError, match="10 rows"):
        rows_of(TABLE)[np.array([10])]


def test_a_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    """It must not come back as samples of whatever was in memory."""
    path = tmp_path / "rows"
    path.write_bytes(TABLE.tobytes()[:-1])

    with pytest.raises(EOFError, match="within its rows"):
        Rows(open_file(path), 0, TABLE.shape, TABLE.dtype)[:]


def test_what_is_written_comes_back_in_memory_when_small_and_as_rows_when_not() -> None:
    block = np.arange(1 << 20, dtype=np.uint8).reshape(2, -1)
    with RowWriter(block.shape[1:], block.dtype) as small, RowWriter(block.shape[1:], block.dtype) as large:
        small.append(block)
        for _ in range(HELD_BYTES >> 20):
            large.append(block)
        few, many = small.finish(), large.finish()

    assert isinstance(few, np.ndarray)
    assert np.array_equal(few, block)
    assert isinstance(many, Rows)
    assert len(many) == HELD_BYTES >> 19
    assert np.array_equal(many[-1:], block[1:])


def test_what_is_decoded_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes of images can promise more pixels than a disk holds."""
    monkeypatch.setattr(rows, "MAX_WRITTEN_BYTES", 100)
    with RowWriter((5,), np.uint8) as writer:
        writer.append(np.zeros((20, 5)))
        with pytest.raises(ArchiveUnsafe, match="Decoded"):
            writer.append(np.zeros((1, 5)))
