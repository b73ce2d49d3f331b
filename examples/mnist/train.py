"""Train the example model from scratch on the subset of MNIST beside this file: ``python train.py``.

A small LeNet-like network, written the way users write theirs: plain Keras 3, pixels scaled to 0..1 by the caller.
"""

from pathlib import Path

import keras
import numpy as np

HERE = Path(__file__).parent


def main() -> None:
    keras.utils.set_random_seed(1)
    with np.load(HERE / "mnist.npz") as data:
        x_train, y_train, x_test, y_test = (data[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    x_train, x_test = (x[..., None].astype("float32") / 255 for x in (x_train, x_test))

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            keras.layers.Conv2D(16, 5, padding="same", activation="relu", name="conv_1"),
            keras.layers.MaxPooling2D(name="pool_1"),
            keras.layers.Conv2D(32, 5, padding="same", activation="relu", name="conv_2"),
            keras.layers.MaxPooling2D(name="pool_2"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(128, activation="relu", name="dense_1"),
            keras.layers.Dropout(0.4, name="dropout"),
            keras.layers.Dense(10, activation="softmax", name="digits"),
        ],
        name="mnist_lenet",
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    model.fit(x_train, y_train, batch_size=64, epochs=12, validation_data=(x_test, y_test), verbose=2)
    model.save(HERE / "model.keras")


if __name__ == "__main__":
    main()
