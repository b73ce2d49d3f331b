"""What a job sets aside for validation never costs training a class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.hold_out import PIECE_ROWS, hold_out
from engine.data.split import Contents, Split, split
from engine.parts import Parts

SHARES = st.floats(0.01, 0.5)
SEEDS = st.integers(0, 9)


def drawn(count: int, *, share: float, seed: int) -> list[int]:
    """What a draw sets aside that asks for no label."""
    order = np.random.default_rng(seed).permutation(count)
    return sorted(order[: min(count - 1, max(1, round(share * count)))].tolist())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), SHARES, SEEDS)
def test_training_keeps_a_sample_of_every_class(classes: list[int], share: float, seed: int) -> None:
    y = np.array(classes)

    held = hold_out(y, {"": "classes"}, share=share, seed=seed)

    assert set(np.delete(y, held)) == set(classes)
    assert len(set(held.tolist())) == len(held)
    assert len(held) == min(max(1, round(share * len(y))), len(y) - len(set(classes))), "and no more stays than must"


@pytest.mark.parametrize("rare", [1, 2, 3])
def test_a_class_of_a_few_samples_is_never_lost(rare: int) -> None:
    y = np.array([0] * 30 + [1] * rare)
    plain = [seed for seed in range(60) if set(range(30, 30 + rare)) <= set(drawn(len(y), share=0.5, seed=seed))]

    held = [hold_out(y, {"": "classes"}, share=0.5, seed=seed) for seed in plain]

    assert plain, "a draw that does not look would lose it"
    assert [(places < 30).sum() for places in held] == [round(0.5 * (30 + rare)) - (rare - 1)] * len(plain)
    assert [(places >= 30).sum() for places in held] == [rare - 1] * len(plain)


@given(st.integers(2, 60), SHARES, SEEDS)
def test_where_no_class_is_rare_the_draw_is_that_of_the_seed_alone(count: int, share: float, seed: int) -> None:
    """Values have no classes, and a class that all share cannot be lost: jobs come out as they did before."""
    expected = drawn(count, share=share, seed=seed)

    assert hold_out(np.zeros((count, 3), np.float32), {"": "values"}, share=share, seed=seed).tolist() == expected
    assert hold_out(np.zeros(count, np.int64), {"": "classes"}, share=share, seed=seed).tolist() == expected


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), SHARES, SEEDS)
def test_rows_with_a_single_one_are_drawn_like_the_classes_that_they_tell(
    classes: list[int], share: float, seed: int
) -> None:
    y = np.array(classes)

    as_rows = hold_out(np.eye(5, dtype=np.float32)[y], {"": "one_hot"}, share=share, seed=seed)

    assert np.array_equal(as_rows, hold_out(y, {"": "classes"}, share=share, seed=seed))


@given(st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=30), SHARES, SEEDS)
def test_of_each_label_training_keeps_a_sample_with_it_and_one_without(
    rows: list[tuple[bool, ...]], share: float, seed: int
) -> None:
    y = np.array(rows, np.float32)

    left = np.delete(y, hold_out(y, {"": "multi_label"}, share=share, seed=seed), axis=0)

    assert [set(column) for column in left.T] == [set(column) for column in y.T]


def test_a_label_that_only_one_of_many_samples_has_is_found() -> None:
    """Rows are looked at piece by piece, and the one that counts may lie in any of them."""
    y = np.zeros((3 * PIECE_ROWS, 2), np.float32)
    y[:, 0] = np.arange(len(y)) % 2
    for seed in range(4):
        first = np.random.default_rng(seed).permutation(len(y))[0]  # the first to be set aside
        y[:, 1] = np.arange(len(y)) == first

        held = hold_out(y, {"": "multi_label"}, share=0.1, seed=seed)

        assert first not in held
        assert len(held) == round(0.1 * len(y))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20), SHARES, SEEDS)
def test_no_output_loses_a_class(pairs: list[tuple[int, int]], share: float, seed: int) -> None:
    one, two = np.array(pairs).T
    age = np.arange(len(pairs), dtype=np.float32)[:, None]
    y = Parts(("kind", "age", "colour"), (one, age, two))

    held = hold_out(y, {"kind": "classes", "age": "values", "colour": "classes"}, share=share, seed=seed)

    assert set(np.delete(one, held)) == set(one)
    assert set(np.delete(two, held)) == set(two)


def contents(y: np.ndarray) -> Contents:
    whole = Split(np.arange(len(y), dtype=np.float32)[:, None], y)
    return Contents("npz", {"train": whole, "test": whole}, "classes", "int64")


def test_samples_that_nobody_can_spare_serve_as_both() -> None:
    """One of each class: a job can still be carried out, and its report says what it was judged by."""
    data = split(contents(np.arange(5)), validation_share=0.4, seed=0)

    assert data.validation is data.train
    assert len(data.train) == 5


def test_the_rest_of_a_split_is_trained_on_in_its_order() -> None:
    data = split(contents(np.array([0, 0, 0, 0, 0, 0, 1, 1])), validation_share=0.5, seed=3)

    assert sorted([*data.train.x[:, 0], *data.validation.x[:, 0]]) == list(range(8))
    assert data.train.x[:, 0].tolist() == sorted(data.train.x[:, 0])
    assert len(data.validation) == 4
