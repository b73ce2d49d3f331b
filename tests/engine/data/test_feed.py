import numpy as np
import pytest

from engine.data.feed import Feed, ordered_batches, training_batches
from engine.data.order import SampleOrder
from engine.data.rows import Rows, scratch_file
from secateur.specs.scale import MeanDeviation


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("none", [0.0, 255.0]), ("1/255", [0.0, 1.0]), ("-1..1", [-1.0, 1.0])],
)
def test_samples_are_scaled_as_declared(scale: str, expected: list[float]) -> None:
    inputs = Feed(scale, (2,), "float32")(np.array([[0, 255]], np.uint8))  # type: ignore[arg-type]

    assert inputs.tolist() == [expected]
    assert inputs.dtype == np.float32


@pytest.mark.parametrize(
    ("sample", "wanted", "fed"),
    [
        ((28, 28), (28, 28, 1), (28, 28, 1)),
        ((28, 28, 1), (28, 28), (28, 28)),
        ((28, 28), (784,), (784,)),
        ((7, 3), (None, 3), (7, 3)),
    ],
)
def test_samples_are_reshaped_when_the_order_of_values_stays(
    sample: tuple[int, ...], wanted: tuple[int | None, ...], fed: tuple[int, ...]
) -> None:
    samples = np.arange(2 * np.prod(sample)).reshape(2, *sample)

    inputs = Feed("none", wanted, "float32")(samples)

    assert inputs.shape == (2, *fed)
    assert np.array_equal(inputs.ravel(), samples.ravel())


def test_whole_number_inputs_are_never_scaled() -> None:
    """Token ids divided by 255 are all the same token."""
    inputs = Feed("1/255", (3,), "int32")(np.array([[5, 6, 7]]))

    assert inputs.tolist() == [[5, 6, 7]]


def test_training_sees_what_measuring_sees_each_sample_once_an_epoch() -> None:
    x = np.arange(40, dtype=np.uint8).reshape(10, 4)
    feed = Feed("1/255", (4, 1), "float32")

    order = SampleOrder(10, 4, seed=3)
    batches = training_batches(feed, x, np.arange(10), order=order)
    first = [(inputs.numpy(), labels.numpy()) for inputs, labels in batches]
    order.epoch = 1
    second = [(inputs.numpy(), labels.numpy()) for inputs, labels in batches]

    for epoch in (first, second):
        inputs = np.concatenate([inputs for inputs, _ in epoch])
        labels = np.concatenate([labels for _, labels in epoch])
        assert sorted(labels) == list(range(10))
        assert np.allclose(inputs, feed(x)[labels])
    assert not np.array_equal(np.concatenate([y for _, y in first]), np.concatenate([y for _, y in second]))


def test_an_epoch_has_the_same_order_whatever_was_read_before() -> None:
    """A job that goes on in another process begins with a later epoch."""
    x = np.arange(40, dtype=np.uint8).reshape(10, 4)
    feed = Feed("none", (4,), "float32")

    def orders(epochs: list[int]) -> dict[int, list[float]]:
        order = SampleOrder(10, 4, seed=3)
        batches = training_batches(feed, x, np.arange(10), order=order)
        next(iter(batches))  # as Keras does to see shapes
        found = {}
        for order.epoch in epochs:
            found[order.epoch] = np.concatenate([inputs[:, 0].numpy() for inputs, _ in batches]).tolist()
        return found

    assert orders([2]).items() <= orders([0, 1, 2]).items()


def test_rows_of_a_file_feed_like_the_array_that_was_written() -> None:
    x = np.arange(40, dtype=">f8").reshape(10, 2, 2)
    feed = Feed("-1..1", (4,), "float32")
    rows = Rows(scratch_file([x.tobytes()]), 0, x.shape, x.dtype)

    batches = list(ordered_batches(feed, rows, np.arange(10), batch_size=4))

    assert [len(inputs) for inputs, _ in batches] == [4, 4, 2]
    assert np.allclose(np.concatenate([inputs.numpy() for inputs, _ in batches]), feed(x))


def test_a_mean_and_deviation_of_each_channel_are_taken_before_a_sample_is_flattened() -> None:
    x = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    scale = MeanDeviation(mean=(0.0, 1.0, 2.0), deviation=(1.0, 2.0, 4.0))
    feed = Feed(scale, (12,), "float32")
    expected = ((x - np.array([0.0, 1.0, 2.0])) / np.array([1.0, 2.0, 4.0])).reshape(2, 12)

    (inputs, _), *_ = ordered_batches(feed, x, np.zeros(2), batch_size=2)

    assert np.allclose(feed(x), expected)
    assert np.allclose(inputs.numpy(), expected)
