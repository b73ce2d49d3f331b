"""Hostile uploads beyond those of ``tests.badfiles``: what attackers of Keras, HDF5, zip and data files have used.

``CVES`` says which rows of both tables answer which advisory.
"""

import io
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from screening.models.keras_file import CONFIG, METADATA, WEIGHTS
from tests.badfiles import (
    BAD_UPLOADS,
    FAKE_WEIGHTS,
    BadUpload,
    good_keras,
    good_npz,
    hdf5_file,
    keras_file,
    layer,
    old_dense,
    old_lambda,
    sequential,
    unzipped,
    zipped,
)

LAMBDA: Final[dict[str, Any]] = {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}


def hdf5(change: Callable[[Any], None]) -> bytes:
    """An HDF5 file that somebody has been at."""
    import h5py

    buffer = io.BytesIO(hdf5_file())
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def virtual(file: Any) -> None:
    """An array whose numbers lie in another file."""
    import h5py

    layout = h5py.VirtualLayout(shape=(3, 2), dtype="float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(3, 2))
    file.create_virtual_dataset("virtual", layout)


def external(file: Any) -> None:
    """An array that is the bytes of any file of the machine."""
    import h5py

    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_external(b"/etc/passwd", 0, 64)
    space = h5py.h5s.create_simple((64,))
    h5py.h5d.create(file.id, b"external", h5py.h5t.NATIVE_UINT8, space, plist)


def soft_links(file: Any) -> None:
    """Two links that lead to each other."""
    import h5py

    file["one"], file["two"] = h5py.SoftLink("/two"), h5py.SoftLink("/one")


def loop(file: Any) -> None:
    """A group inside itself: whoever walks it never comes to an end."""
    group = file.create_group("outer/inner")
    group["back"] = file["outer"]


def bomb(file: Any) -> None:
    """An array of 4 TB that holds nothing."""
    file.create_dataset("bomb", shape=(1 << 40,), dtype="float32", chunks=(1 << 20,))


def nested_groups(file: Any) -> None:
    """Deeper than a program may recurse."""
    file.create_group("/".join(["g"] * 200))


def in_weights(change: Callable[[Any], None]) -> Callable[[], bytes]:
    """A good model of Keras 3 in whose weights somebody has been."""

    def build() -> bytes:
        import h5py

        members = unzipped(good_keras())
        buffer = io.BytesIO(members[WEIGHTS])
        with h5py.File(buffer, "r+") as file:
            change(file)
        return zipped(members | {WEIGHTS: buffer.getvalue()})

    return build


def old_config(class_name: str, module: str | None = None, **config: Any) -> dict[str, Any]:
    """A network of Keras 2 with one more layer."""
    model = old_dense()
    extra: dict[str, Any] = {"class_name": class_name, "config": {"name": "extra", **config}}
    model["config"]["layers"].append(extra if module is None else extra | {"module": module})
    return model


def old_keras(config: Mapping[str, Any]) -> Callable[[], bytes]:
    """A ``.keras`` file that says tf_keras wrote it."""
    return lambda: keras_file(config, version="2.15.0")


def function(module: str, name: str) -> dict[str, Any]:
    """A function as Keras names one in a config."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def png_of(width: int, height: int) -> bytes:
    """The first bytes of a picture that would take all memory, and nothing behind them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


def record_of(length: int) -> bytes:
    """A TFRecord whose first record claims to be that long."""
    head = struct.pack("<Q", length)
    crc = zlib.crc32(head)
    return head + struct.pack("<I", crc) + bytes(64)


def pickled_arrays() -> bytes:
    """An ``.npz`` whose arrays are pickles."""
    buffer = io.BytesIO()
    np.savez(buffer, x_train=np.array([{"run": "me"}], dtype=object), y_train=np.zeros(1))
    return buffer.getvalue()


def _refused(id: str, config: dict[str, Any]) -> BadUpload:
    return BadUpload(id, "model", "model.keras", lambda: keras_file(config), "model_class_refused")


def _h5(id: str, build: Callable[[], bytes], code: str) -> BadUpload:
    return BadUpload(id, "model", "model.h5", build, code, "check")


CHANGES: Final = (virtual, external, soft_links, loop, bomb, nested_groups)

HOSTILE: Final = [
    *(_h5(f"h5-{change.__name__}", lambda change=change: hdf5(change), "archive_unsafe") for change in CHANGES),
    *(
        BadUpload(f"weights-{c.__name__}", "model", "model.keras", in_weights(c), "archive_unsafe", "check")
        for c in CHANGES
    ),
    _h5("h5-lambda-of-keras-3", lambda: hdf5_file(old_lambda(), version="3.10.0"), "model_class_refused"),
    _h5("h5-os-system", lambda: hdf5_file(old_config("system", "os")), "model_class_refused"),
    _h5(
        "h5-vocabulary", lambda: hdf5_file(old_config("StringLookup", vocabulary="/etc/passwd")), "model_class_refused"
    ),
    _h5("h5-deep-json", lambda: hdf5_file(json.loads("[" * 900 + "]" * 900)), "model_unreadable"),
    BadUpload(
        "tf-keras-os-system",
        "model",
        "model.keras",
        old_keras(old_config("Lambda", function=function("os", "system"))),
        "model_class_refused",
    ),
    BadUpload(
        "tf-keras-vocabulary",
        "model",
        "model.keras",
        old_keras(old_config("StringLookup", vocabulary="/etc/passwd")),
        "model_class_refused",
    ),
    _refused("unsafe-switch-as-layer", sequential(layer("enable_unsafe_deserialization", module="keras.config"))),
    _refused(
        "unsafe-switch-as-activation",
        sequential(layer("Dense", units=4, activation=function("keras.config", "enable_unsafe_deserialization"))),
    ),
    _refused("lambda-as-metric", sequential(compile_config={"metrics": [LAMBDA]})),
    _refused("lambda-as-regularizer", sequential(layer("Dense", units=4, kernel_regularizer=LAMBDA))),
    _refused("lambda-as-argument", sequential(layer("Dense", units={"deep": [LAMBDA]}))),
    _refused("jax-layer", sequential(layer("JaxLayer", call_fn=LAMBDA))),
    _refused("flax-layer", sequential(layer("FlaxLayer", module="keras.layers"))),
    _refused("pickle-loads", sequential(layer("Dense", units=4, activation=function("pickle", "loads")))),
    _refused("subprocess", sequential(layer("Popen", module="subprocess", registered="Popen"))),
    _refused("tfsm-by-url", sequential(layer("TFSMLayer", filepath="gs://bucket/model"))),
    _refused("path-of-windows", sequential(layer("Dense", units=4, name="d", dtype="\\\\server\\share"))),
    BadUpload(
        "twenty-thousand-layers",
        "model",
        "model.keras",
        lambda: keras_file(sequential(*(layer("Dense", units=4, name=f"d{n}") for n in range(20_000)))),
        "model_unreadable",
    ),
    BadUpload(
        "embedding-of-two-billion",
        "model",
        "model.keras",
        lambda: keras_file(sequential(layer("Embedding", input_dim=2 * 10**9, output_dim=1))),
        "model_unreadable",
    ),
    BadUpload(
        "units-without-end",
        "model",
        "model.keras",
        lambda: keras_file(b'{"class_name": "Sequential", "module": "keras", "config": {"units": 1e999}}'),
        "model_unreadable",
    ),
    BadUpload(
        "hundred-thousand-members",
        "model",
        "model.keras",
        lambda: zipped({f"a{n}": b"" for n in range(100_000)}),
        "archive_unsafe",
    ),
    BadUpload(
        "config-of-a-gigabyte",
        "model",
        "model.keras",
        lambda: zipped({METADATA: b"{}", CONFIG: b" " * (200 << 20), WEIGHTS: FAKE_WEIGHTS}, 8),
        "archive_unsafe",
    ),
    BadUpload(
        "savedmodel-asset-outside",
        "model",
        "model.zip",
        lambda: zipped({"saved_model.pb": b"x", "variables/../../../etc/shadow": b"x"}),
        "archive_unsafe",
    ),
    BadUpload(
        "orbax-checkpoint",
        "model",
        "model.zip",
        lambda: zipped({"saved_model.pb": b"x", "_CHECKPOINT_METADATA": b"{}", "state/d/0": b"x"}),
        "archive_unsafe",
    ),
    BadUpload("npz-pickled", "dataset", "data.npz", pickled_arrays, "dataset_pickled"),
    BadUpload("npz-of-npz", "dataset", "data.npz", lambda: zipped({"x_train.npy": good_npz()}), "archive_unreadable"),
    BadUpload(
        "npz-of-many-members",
        "dataset",
        "data.npz",
        lambda: zipped({f"{n}.npy": b"" for n in range(20_000)}),
        "archive_unsafe",
    ),
    BadUpload(
        "image-bomb",
        "dataset",
        "data.zip",
        lambda: zipped({f"{name}/a.png": png_of(60_000, 60_000) for name in ("cat", "dog")}),
        "images_unusable",
        "check",
    ),
    BadUpload(
        "images-in-a-zip-in-a-zip",
        "dataset",
        "data.zip",
        lambda: zipped({"cat/a.zip": zipped({"a.png": png_of(8, 8)})}),
        "images_unusable",
    ),
    BadUpload(
        "csv-of-a-million-columns", "dataset", "data.csv", lambda: b",".join([b"a"] * 1_000_000), "table_unusable"
    ),
    BadUpload(
        "parquet-footer-of-four-gigabytes",
        "dataset",
        "data.parquet",
        lambda: b"PAR1" + bytes(64) + struct.pack("<I", 0xFFFFFFF0) + b"PAR1",
        "table_unusable",
    ),
    BadUpload("record-of-an-exabyte", "dataset", "data.tfrecord", lambda: record_of(1 << 60), "records_unusable"),
]
"""Rows of the same kind as ``BAD_UPLOADS``, and held to the same."""

CVES: Final[Mapping[str, tuple[str, ...]]] = {
    "CVE-2024-3660": ("model-lambda", "model-h5-lambda"),
    "CVE-2025-1550": ("model-os-system", "model-unknown-class", "model-exec-as-activation", "subprocess"),
    "CVE-2025-8747": ("model-get-file", "model-get-file-as-activation"),
    "CVE-2025-9906": ("model-unsafe-switch-as-loss", "unsafe-switch-as-layer", "unsafe-switch-as-activation"),
    "CVE-2025-9905": ("h5-lambda-of-keras-3", "model-h5-lambda"),
    "CVE-2025-49655": ("model-torch-module", "jax-layer", "flax-layer"),
    "CVE-2025-12058": ("model-vocabulary-from-file", "model-vocabulary-by-url", "tf-keras-vocabulary", "h5-vocabulary"),
    "CVE-2026-0897": ("model-h5-bomb", "h5-bomb", "weights-bomb"),
    "CVE-2026-1462": ("model-tfsm-layer", "tfsm-by-url"),
    "CVE-2026-1669": ("model-weights-linked", "model-h5-linked", "h5-external", "weights-external"),
    "CVE-2026-12480": ("h5-virtual", "weights-virtual"),
    "GHSA-hqp4-2352-xf5r": ("model-path-traversal", "model-absolute-path", "model-symlink", "savedmodel-asset-outside"),
    "keras-team/tf-keras#910": ("tf-keras-os-system", "h5-os-system"),
    "Keras 3.12.3 to 3.15.1": ("h5-soft_links", "h5-loop", "hundred-thousand-members", "npz-pickled"),
    "Orbax assets, unconfirmed": ("orbax-checkpoint",),
}

EVERYTHING: Final = [*BAD_UPLOADS, *HOSTILE]
