"""The worst loader there is: ``python -m tests.hostile.loader RULES FD`` opens every file of its folder by any means.

No static check, no safe mode, every pickle unpickled, every graph run, every array read. With the rules of a job's
child (or with none, to see that the files do harm).
"""

import os
import pickle
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers.child.main import confine


def say(what: object) -> None:
    """Into the log, where the test looks for secrets."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def keras_3(path: Path) -> None:
    import keras
    import numpy as np

    model = keras.saving.load_model(path, safe_mode=False)
    for inner in model.layers:
        if hasattr(inner, "get_vocabulary"):
            say(inner.get_vocabulary())
    model.predict(np.zeros((2, *model.input_shape[1:]), "float32"), verbose=0)
    model.fit(np.zeros((2, *model.input_shape[1:])), np.zeros((2, *model.output_shape[1:])), verbose=0)


def old_keras(path: Path) -> None:
    import numpy as np
    import tf_keras

    model = tf_keras.models.load_model(path, safe_mode=False, compile=False)
    for inner in model.layers:
        if hasattr(inner, "get_vocabulary"):
            say(inner.get_vocabulary())
    model.predict(np.zeros((2, *model.input_shape[1:]), "float32"), verbose=0)


def saved_model(path: Path) -> None:
    import tensorflow as tf

    with zipfile.ZipFile(path) as archive:
        archive.extractall("unpacked")
    for signature in tf.saved_model.load("unpacked").signatures.values():
        signature(tf.zeros([2]))


def hdf5(path: Path) -> None:
    import h5py

    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            path = Path(archive.extract("model.weights.h5", "weights"))
    with h5py.File(path) as file:
        for name in file:
            item = file.get(name)
            say(bytes(item[()]) if isinstance(item, h5py.Dataset) else item)


def arrays(path: Path) -> None:
    import numpy as np

    with zipfile.ZipFile(path) as archive:
        archive.extractall("arrays")
    say(dict(np.load(path, allow_pickle=True)))


def unpickle(path: Path) -> None:
    pickle.loads(path.read_bytes())


MEANS: dict[str, tuple[Callable[[Path], Any], ...]] = {
    ".keras": (keras_3, old_keras, hdf5),
    ".h5": (old_keras, keras_3, hdf5),
    ".zip": (saved_model,),
    ".npz": (arrays,),
    ".pkl": (unpickle,),
}


def main() -> None:
    """Open all, whatever each does."""
    confine(sys.argv[1], int(sys.argv[2]))
    for path in sorted(Path.cwd().glob("*.*")):
        for load in MEANS.get(path.suffix, ()):
            try:
                load(path)
            except BaseException:  # noqa: BLE001 - the next file is to have its chance
                traceback.print_exc(limit=1)
    sys.stdout.write("all were opened\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
