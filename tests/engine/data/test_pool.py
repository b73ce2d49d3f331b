import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.formats.pool import divide, draw
from secateur.errors import DatasetSplitEmpty
from secateur.specs.reading import Reading

shares = st.floats(0.05, 0.6)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), shares, st.none() | shares, st.integers(0, 5))
def test_every_sample_is_drawn_once_and_training_keeps_every_class(
    labels: list[int], test_share: float, validation_share: float | None, seed: int
) -> None:
    y = np.array(labels)
    reading = Reading(test_share=test_share, validation_share=validation_share, seed=seed)

    places = draw(y, reading)

    assert sorted(np.concatenate(list(places.values()))) == list(range(len(y)))
    assert set(y[places["train"]]) == set(labels)
    assert all(np.array_equal(places[name], again) for name, again in draw(y, reading).items())


def test_each_split_has_its_share_of_a_rare_class() -> None:
    y = np.array([0] * 90 + [1] * 10)

    places = draw(y, Reading(test_share=0.2, validation_share=0.25))

    assert {name: np.bincount(y[found]).tolist() for name, found in places.items()} == {
        "train": [54, 6],
        "validation": [18, 2],
        "test": [18, 2],
    }


def test_a_split_without_samples_is_named() -> None:
    x = np.zeros((3, 2), np.float32)

    with pytest.raises(DatasetSplitEmpty, match="The test split has no samples"):
        divide(x, np.array([0, 1, 0]), splits=np.array(["train", "train", "train"]), reading=Reading())
