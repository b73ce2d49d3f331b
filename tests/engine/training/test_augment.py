"""Random changes of training images: what may move, what never does, and that a seed fixes them."""

import numpy as np
import tensorflow as tf

from engine.data.order import SampleOrder
from engine.training.augment import augmented, changed
from secateur.specs.training import Augment

IMAGES = np.arange(2 * 4 * 4 * 1, dtype=np.float32).reshape(2, 4, 4, 1)


def test_a_shift_moves_whole_images_and_repeats_their_border() -> None:
    row = np.tile(np.arange(5, dtype=np.float32)[None, None, :, None], (64, 5, 1, 1))

    moved = changed(tf.constant(row), Augment(shift=0.2), tf.constant([1, 2])).numpy()[:, 0, :, 0]

    assert {tuple(map(int, each)) for each in moved} == {(0, 1, 2, 3, 4), (0, 0, 1, 2, 3), (1, 2, 3, 4, 4)}


def test_flips_happen_only_on_request_and_to_about_half_of_the_images() -> None:
    many = np.tile(IMAGES[:1], (400, 1, 1, 1))

    flipped = changed(tf.constant(many), Augment(shift=0, horizontal_flip=True), tf.constant([3, 4])).numpy()

    mirrored = [np.array_equal(image, IMAGES[0][:, ::-1]) for image in flipped]
    same = [np.array_equal(image, IMAGES[0]) for image in flipped]
    assert all(a or b for a, b in zip(mirrored, same, strict=True))
    assert 140 < sum(mirrored) < 260


def test_labels_stay_with_their_images_and_equal_seeds_change_equally() -> None:
    def batches(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        given = tf.data.Dataset.from_tensor_slices((IMAGES, [7, 8])).repeat(8).batch(2)
        return [
            (x.numpy(), y.numpy()) for x, y in augmented(given, Augment(shift=0.25), order=SampleOrder(16, 2, seed))
        ]

    first, again, other = batches(0), batches(0), batches(1)

    assert all(y.tolist() == [7, 8] and (x[0].max() < 16) and (x[1].min() >= 16) for x, y in first)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(first, other, strict=True))
    assert len({x.tobytes() for x, _ in first}) > 1, "each batch is changed anew"
