"""Which files are accepted, by the end of their names, and what to do with the others today."""

from pathlib import PurePosixPath
from typing import Final, Literal

from secateur.errors import UnsupportedFormat

ACCEPTED: Final[dict[str, dict[str, str]]] = {
    "model": {".keras": "keras", ".h5": "hdf5", ".hdf5": "hdf5", ".zip": "savedmodel"},
    "dataset": {
        ".npz": "npz",
        ".zip": "images",
        ".csv": "csv",
        ".parquet": "parquet",
        ".tfrecord": "tfrecord",
        ".tfrecords": "tfrecord",
    },
}
"""Formats by the endings that promise them."""

_SAVEZ = 'numpy.savez("data.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)'
_ARRAYS = f"Read it into NumPy arrays and save those: {_SAVEZ}."

ADVICE: Final[dict[str, dict[str, str]]] = {
    "model": {
        ".tflite": 'A LiteRT file cannot be trained: upload the Keras model behind it, model.save("model.keras").',
        ".pb": 'This is one file of a SavedModel: zip its whole folder, or save the model: model.save("model.keras").',
        ".json": 'This is an architecture without weights: save both together, model.save("model.keras").',
        ".onnx": 'Rebuild the network in Keras 3 and save it: model.save("model.keras").',
        ".pt": 'Rebuild the network in Keras 3 and save it: model.save("model.keras").',
        ".pth": 'Rebuild the network in Keras 3 and save it: model.save("model.keras").',
    },
    "dataset": {
        ".npy": f"One .npy file is one array; put all of them into one file: {_SAVEZ}.",
        ".pkl": f"Pickles can run code and are never opened. Save plain arrays: {_SAVEZ}.",
        ".pickle": f"Pickles can run code and are never opened. Save plain arrays: {_SAVEZ}.",
    },
}
DEFAULT_ADVICE: Final = {"model": 'Save the model with Keras 3: model.save("model.keras").', "dataset": _ARRAYS}

_SWAPPED: Final = {
    "dataset": "This is a file of data (POST /v1/datasets); the model is another file, such as model.keras.",
    "model": "This is a file of a model (POST /v1/models); the data is another file, such as data.npz.",
}


def format_of(kind: Literal["model", "dataset"], name: str) -> str:
    """The format that a file's name promises.

    Raises:
        UnsupportedFormat: the name ends otherwise.
    """
    endings = ACCEPTED[kind]
    given = PurePosixPath(name.lower()).suffix
    if given in endings:
        return endings[given]
    what = "Models" if kind == "model" else "Data sets"
    shown = f"ends in {given[:20]}" if given else "has no ending"
    other: Literal["model", "dataset"] = "dataset" if kind == "model" else "model"
    advice = ADVICE[kind].get(given) or (_SWAPPED[other] if given in ACCEPTED[other] else DEFAULT_ADVICE[kind])
    raise UnsupportedFormat(
        f"{what} must be {' or '.join(endings)} files, but {name[:100]!r} {shown}.",
        suggestions=[advice],
    )
