"""Every bad upload that we know of, made on the fly, with the error that it must meet.

``BAD_UPLOADS`` is one table for all tests that need it: screening alone, the worker's check, the whole service.
"""

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from screening.models.keras_file import CONFIG, HDF5_MAGIC, METADATA, WEIGHTS

Kind = Literal["model", "dataset"]
FAKE_WEIGHTS = HDF5_MAGIC + bytes(4096)


@dataclass(frozen=True)
class BadUpload:
    """One bad file. ``where`` says who must refuse it: the gateway at once, or a worker's check after it."""

    id: str
    kind: Kind
    name: str
    build: Callable[[], bytes]
    code: str
    where: Literal["screening", "check"] = "screening"


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    """The members of a zip archive of ours."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def old_dense(**changes: Any) -> dict[str, Any]:
    """A network of one layer as Keras 2 writes it into HDF5."""
    layer = {"name": "dense", "batch_input_shape": [None, 3], "units": 2, "activation": "linear", "use_bias": True}
    return {
        "class_name": "Sequential",
        "config": {"name": "old", "layers": [{"class_name": "Dense", "config": layer | changes}]},
    }


def old_lambda() -> dict[str, Any]:
    """The same network with code of its own behind it, which old Keras would run."""
    code = {
        "class_name": "Lambda",
        "config": {"name": "trick", "function": ["4wAA", None, None], "function_type": "lambda"},
    }
    model = old_dense()
    model["config"]["layers"].append(code)
    return model


def hdf5_file(
    config: dict[str, Any] | str | None = "dense", *, link: str | None = None, rows: int = 3, version: str = "2.4.0"
) -> bytes:
    """A model of Keras 2 in HDF5; without a config it holds weights only."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(old_dense() if config == "dense" else config)
        weights = file.create_group("model_weights")
        weights.attrs["keras_version"] = version
        weights.attrs["layer_names"] = ["dense"]
        group = weights.create_group("dense")
        group.attrs["weight_names"] = ["dense/kernel:0", "dense/bias:0"]
        group.create_dataset("dense/kernel:0", shape=(rows, 2), dtype="float32")
        group["dense/bias:0"] = np.ones(2, "float32")
        if link is not None:
            weights["elsewhere"] = h5py.ExternalLink(link, "/")
    return buffer.getvalue()


def good_arrays(num_classes: int = 3) -> dict[str, np.ndarray[Any, Any]]:
    """Two Gaussian-like blobs a class in 4x4x1 images: small, and easy to learn."""
    rng = np.random.default_rng(0)
    y = np.arange(96) % num_classes
    x = rng.normal(scale=0.1, size=(96, 4, 4, 1)).astype("float32")
    x[np.arange(96), y, y, 0] += 1.0
    return {"x_train": x[:64], "y_train": y[:64], "x_test": x[64:], "y_test": y[64:]}


def npz(arrays: Mapping[str, Any], *, compressed: bool = False) -> bytes:
    """These arrays as NumPy would save them."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def good_npz() -> bytes:
    """A data set that nothing is wrong with."""
    return npz(good_arrays())


@cache
def good_keras() -> bytes:
    """A compiled model for ``good_npz``, saved by Keras."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((4, 4, 1), name="image"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(8, activation="relu", name="hidden"),
            keras.layers.Dense(3, activation="softmax", name="head"),
        ],
        name="tiny",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    buffer = io.BytesIO()
    keras.src.saving.saving_lib._save_model_to_fileobj(model, buffer, "h5")
    return buffer.getvalue()


def layer(
    class_name: str, module: str = "keras.layers", registered: str | None = None, **config: Any
) -> dict[str, Any]:
    """A layer as Keras writes it into a config."""
    name = config.pop("name", class_name.lower())
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": name, **config},
        "registered_name": registered,
    }


def sequential(*layers: dict[str, Any], **beside: Any) -> dict[str, Any]:
    """The config of a Sequential model."""
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "bad", "layers": [layer("InputLayer", batch_shape=[None, 4]), *layers]},
        "registered_name": None,
        **beside,
    }


def keras_file(config: Any, *, version: str = "3.15.1", weights: bytes = FAKE_WEIGHTS) -> bytes:
    """A ``.keras`` archive with this config. Its weights only begin like HDF5."""
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    return zipped({METADATA: json.dumps({"keras_version": version}).encode(), CONFIG: text, WEIGHTS: weights})


def _dense(**config: Any) -> dict[str, Any]:
    return layer("Dense", **{"units": 4, **config})


def _without(member: str) -> bytes:
    members = unzipped(keras_file(sequential(_dense())))
    del members[member]
    return zipped(members)


def _with_member(name: str, *, mode: int = 0, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO(keras_file(sequential(_dense())))
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of the duplicate that we are after
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return buffer.getvalue()


def _directory_edited(data: bytes, offset: int, change: bytes) -> bytes:
    """Change bytes of the first entry of the archive's directory."""
    start = data.index(b"PK\x01\x02") + offset
    return data[:start] + change + data[start + len(change) :]


def _encrypted() -> bytes:
    return _directory_edited(keras_file(sequential(_dense())), 8, struct.pack("<H", 1))


def _ratio_bomb(name: str) -> Callable[[], bytes]:
    return lambda: zipped({name: bytes(80 << 20)}, zipfile.ZIP_DEFLATED)


def _overlapping() -> bytes:
    """Two directory entries that point at one member's bytes."""
    data = zipped({"aa.npy": bytes(2000), "bb.npy": bytes(2000)})
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    return data[: second + 42] + struct.pack("<L", 0) + data[second + 46 :]


def _many_layers() -> bytes:
    return keras_file(sequential(*(_dense(name=f"d{index}") for index in range(5_001))))


def _deep_json() -> bytes:
    return keras_file(b'{"class_name": "Sequential", "config": ' + b"[" * 200_000 + b"]" * 200_000 + b"}")


def _deep_nesting() -> bytes:
    inner: dict[str, Any] = _dense()
    for _ in range(40):
        inner = layer("TimeDistributed", layer=inner)
    return keras_file(sequential(inner))


def _function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _lambda_object() -> dict[str, Any]:
    return {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}


def _lambda_layer() -> dict[str, Any]:
    return layer("Lambda", name="scale", function=_lambda_object())


def _refused(id: str, *layers: dict[str, Any], **beside: Any) -> BadUpload:
    config = sequential(*layers, **beside)
    return BadUpload(id, "model", "model.keras", lambda: keras_file(config), "model_class_refused")


def _arrays(**changes: Any) -> Callable[[], bytes]:
    """The good data set with arrays replaced; None takes one out."""
    return lambda: npz({name: array for name, array in (good_arrays() | changes).items() if array is not None})


def _array_claims(shape: str, descr: str = "<f4") -> Callable[[], bytes]:
    """The good data set, with an x_train whose header claims another shape than its bytes have."""

    def build() -> bytes:
        header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        members = unzipped(good_npz())
        members["x_train.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64)
        return zipped(members)

    return build


def _array_value(name: str, value: float) -> Callable[[], bytes]:
    def build() -> bytes:
        arrays = good_arrays()
        arrays[name] = arrays[name].astype("float32")
        arrays[name].flat[5] = value
        return npz(arrays)

    return build


def _damaged_bytes(data: bytes, member: str) -> bytes:
    """An archive whose directory is whole, but one member's bytes are not those that its checksum is of."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        at = archive.getinfo(member).header_offset + 400
    return data[:at] + bytes(byte ^ 0xFF for byte in data[at : at + 64]) + data[at + 64 :]


def _model_with(change: Callable[[dict[str, bytes]], None]) -> bytes:
    members = unzipped(good_keras())
    change(members)
    return zipped(members)


def _other_config() -> bytes:
    """Layers that are wider than the weights in the file."""

    def change(members: dict[str, bytes]) -> None:
        members[CONFIG] = members[CONFIG].replace(b'"units": 8', b'"units": 16')

    return _model_with(change)


def _unknown_argument() -> bytes:
    def change(members: dict[str, bytes]) -> None:
        members[CONFIG] = members[CONFIG].replace(b'"units": 8', b'"units": 8, "colour": "red"')

    return _model_with(change)


def _cut_weights() -> bytes:
    def change(members: dict[str, bytes]) -> None:
        members[WEIGHTS] = members[WEIGHTS][: len(members[WEIGHTS]) // 2]

    return _model_with(change)


def _linked_weights() -> bytes:
    """Weights that are a link into another file of the machine (CVE-2026-1669)."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")

    def change(members: dict[str, bytes]) -> None:
        members[WEIGHTS] = buffer.getvalue()

    return _model_with(change)


def _npz_member(name: str) -> bytes:
    return zipped(unzipped(good_npz()) | {name: b"print('hello')"})


_M, _D = "model.keras", "data.npz"

BAD_MODELS = [
    BadUpload("model-h5-empty", "model", "model.h5", bytes, "upload_empty"),
    BadUpload("model-keras-as-h5", "model", "model.h5", lambda: good_keras(), "model_unreadable"),
    BadUpload("model-pickle-as-hdf5", "model", "model.hdf5", lambda: b"\x80\x04N." * 40, "model_unreadable"),
    BadUpload("model-h5-cut-in-half", "model", "model.h5", lambda: hdf5_file()[:1500], "archive_unreadable"),
    BadUpload("model-h5-weights-only", "model", "model.h5", lambda: hdf5_file(None), "model_unreadable", "check"),
    BadUpload("model-h5-linked", "model", "model.h5", lambda: hdf5_file(link="/etc/passwd"), "archive_unsafe", "check"),
    BadUpload("model-h5-lambda", "model", "model.h5", lambda: hdf5_file(old_lambda()), "model_class_refused", "check"),
    BadUpload("model-h5-bomb", "model", "model.h5", lambda: hdf5_file(rows=1 << 28), "archive_unsafe", "check"),
    BadUpload("model-zip-of-nothing", "model", "model.zip", lambda: zipped({"a.txt": b"a"}), "model_unreadable"),
    BadUpload(
        "model-zip-without-weights", "model", "model.zip", lambda: zipped({"m/saved_model.pb": b""}), "model_unreadable"
    ),
    BadUpload(
        "model-zip-with-a-program",
        "model",
        "model.zip",
        lambda: zipped({"saved_model.pb": b"", "run.py": b""}),
        "archive_unsafe",
    ),
    BadUpload("model-empty", "model", _M, bytes, "upload_empty"),
    BadUpload("model-h5-cut", "model", "model.h5", lambda: HDF5_MAGIC, "archive_unreadable"),
    BadUpload("model-tflite", "model", "model.tflite", lambda: b"\0\0\0\0TFL3", "unsupported_format"),
    BadUpload("model-without-ending", "model", "model", lambda: keras_file(sequential()), "unsupported_format"),
    BadUpload("model-keras-4", "model", _M, lambda: keras_file(sequential(), version="4.0.0"), "unsupported_format"),
    BadUpload("model-h5-renamed", "model", _M, lambda: FAKE_WEIGHTS, "archive_unreadable"),
    BadUpload("model-junk", "model", _M, lambda: b"junk" * 100, "archive_unreadable"),
    BadUpload("model-cut-in-half", "model", _M, lambda: keras_file(sequential())[:2500], "archive_unreadable"),
    BadUpload("model-cut-by-a-byte", "model", _M, lambda: keras_file(sequential())[:-1], "archive_unreadable"),
    BadUpload("model-ratio-bomb", "model", _M, _ratio_bomb(CONFIG), "archive_unsafe"),
    BadUpload(
        "model-config-bomb",
        "model",
        _M,
        lambda: zipped(unzipped(keras_file(sequential())) | {CONFIG: b" " * (17 << 20)}, zipfile.ZIP_DEFLATED),
        "model_unreadable",
    ),
    BadUpload(
        "model-config-of-empty-lists",
        "model",
        _M,
        lambda: keras_file(b'{"class_name": "Model", "config": [' + b"[]," * 1_000_001 + b"0]}"),
        "model_unreadable",
    ),
    BadUpload(
        "model-many-members",
        "model",
        _M,
        lambda: zipped({f"assets/{index}": b"" for index in range(1_001)}),
        "archive_unsafe",
    ),
    BadUpload(
        "model-huge-directory",
        "model",
        _M,
        lambda: zipped({f"assets/{index:0200}": b"" for index in range(5_000)}),
        "archive_unsafe",
    ),
    BadUpload("model-path-traversal", "model", _M, lambda: _with_member("../../outside"), "archive_unsafe"),
    BadUpload("model-absolute-path", "model", _M, lambda: _with_member("/tmp/outside"), "archive_unsafe"),
    BadUpload("model-drive-path", "model", _M, lambda: _with_member("C:/outside"), "archive_unsafe"),
    BadUpload(
        "model-symlink",
        "model",
        _M,
        lambda: _with_member("assets/link", mode=0o120777, content=b"/etc/passwd"),
        "archive_unsafe",
    ),
    BadUpload("model-duplicate-member", "model", _M, lambda: _with_member(CONFIG), "archive_unsafe"),
    BadUpload("model-encrypted", "model", _M, _encrypted, "archive_unsafe"),
    BadUpload("model-without-config", "model", _M, lambda: _without(CONFIG), "model_unreadable"),
    BadUpload("model-without-metadata", "model", _M, lambda: _without(METADATA), "model_unreadable"),
    BadUpload("model-without-weights", "model", _M, lambda: _without(WEIGHTS), "model_unreadable"),
    BadUpload("model-config-no-json", "model", _M, lambda: keras_file(b"{class_name"), "model_unreadable"),
    BadUpload("model-config-a-list", "model", _M, lambda: keras_file([1, 2]), "model_unreadable"),
    BadUpload("model-deep-json", "model", _M, _deep_json, "model_unreadable"),
    BadUpload("model-deep-nesting", "model", _M, _deep_nesting, "model_unreadable"),
    BadUpload("model-many-layers", "model", _M, _many_layers, "model_unreadable"),
    BadUpload(
        "model-huge-layer", "model", _M, lambda: keras_file(sequential(_dense(units=2 * 10**9))), "model_unreadable"
    ),
    BadUpload(
        "model-weights-no-hdf5",
        "model",
        _M,
        lambda: keras_file(sequential(), weights=b"zeros" * 20),
        "model_unreadable",
    ),
    BadUpload(
        "model-unprintable-name", "model", _M, lambda: keras_file(sequential(_dense(name="\ud800"))), "model_unreadable"
    ),
    _refused("model-lambda", _dense(), _lambda_layer()),
    _refused("model-lambda-wrapped", layer("TimeDistributed", layer=_lambda_layer())),
    _refused("model-lambda-in-nested-model", sequential(_lambda_layer())),
    _refused("model-lambda-in-compile-config", _dense(), compile_config={"loss": _lambda_object()}),
    _refused("model-lambda-by-another-module", layer("Lambda", module="keras.src.layers.core.lambda_layer")),
    _refused("model-tfsm-layer", layer("TFSMLayer", filepath="/models/other")),
    _refused("model-torch-module", layer("TorchModuleWrapper", module="keras.layers")),
    _refused("model-custom-class", layer("Mine", module="custom", registered="mine>Mine")),
    _refused("model-builtin-class-registered-as-custom", _dense() | {"registered_name": "mine>Dense"}),
    _refused("model-unknown-class", layer("Mine", module="my_package.layers", registered="Mine")),
    _refused("model-unknown-class-without-module", layer("Mine") | {"module": None}),
    _refused("model-os-system", layer("system", module="os", registered="system")),
    _refused("model-get-file", layer("get_file", module="keras.utils", registered="get_file")),
    _refused("model-exec-as-activation", _dense(activation=_function("builtins", "exec"))),
    _refused("model-get-file-as-activation", _dense(activation=_function("keras.utils", "get_file"))),
    _refused("model-unsafe-switch-as-loss", compile_config={"loss": _function("keras.config", "enable_unsafe")}),
    _refused(
        "model-typespec", _dense(spec={"class_name": "__typespec__", "spec_name": "X", "module": "os", "config": []})
    ),
    _refused("model-vocabulary-from-file", layer("StringLookup", vocabulary="secrets.txt")),
    _refused("model-vocabulary-by-url", layer("StringLookup", vocabulary="file:///etc/passwd")),
    _refused("model-path-in-any-field", _dense(kernel_initializer="/etc/passwd")),
    BadUpload(
        "model-weights-damaged",
        "model",
        _M,
        lambda: _damaged_bytes(good_keras(), WEIGHTS),
        "archive_unreadable",
        "check",
    ),
    BadUpload("model-weights-of-another-shape", "model", _M, _other_config, "model_unreadable", "check"),
    BadUpload("model-unknown-argument", "model", _M, _unknown_argument, "model_unreadable", "check"),
    BadUpload("model-weights-cut", "model", _M, _cut_weights, "archive_unreadable", "check"),
    BadUpload("model-weights-linked", "model", _M, _linked_weights, "archive_unsafe", "check"),
]

BAD_DATASETS = [
    BadUpload("dataset-empty", "dataset", _D, bytes, "upload_empty"),
    BadUpload("dataset-tsv", "dataset", "data.tsv", lambda: b"a\tb\n1\t2\n", "unsupported_format"),
    BadUpload("csv-empty", "dataset", "data.csv", bytes, "upload_empty"),
    BadUpload("csv-is-a-zip", "dataset", "data.csv", lambda: good_npz(), "table_unusable"),
    BadUpload("csv-is-no-text", "dataset", "data.csv", lambda: b"a,\xff\n1,2\n", "table_unusable"),
    BadUpload("csv-of-one-long-line", "dataset", "data.csv", lambda: b"a," * 600_000, "table_unusable"),
    BadUpload("csv-without-label", "dataset", "data.csv", lambda: b"a,b\n1,2\n", "column_missing", "check"),
    BadUpload("csv-ragged", "dataset", "data.csv", lambda: b"a,label\n1,2\n1\n", "table_unusable", "check"),
    BadUpload("csv-with-text", "dataset", "data.csv", lambda: b"a,label\nx,2\n1,0\n", "table_unusable", "check"),
    BadUpload("parquet-is-a-csv", "dataset", "data.parquet", lambda: b"a,b\n1,2\n", "table_unusable"),
    BadUpload("parquet-cut", "dataset", "data.parquet", lambda: b"PAR1" + bytes(100), "table_unusable"),
    BadUpload(
        "parquet-hollow", "dataset", "data.parquet", lambda: b"PAR1" + bytes(12) + b"PAR1", "table_unusable", "check"
    ),
    BadUpload("images-is-a-csv", "dataset", "data.zip", lambda: b"a,b\n1,2\n", "archive_unreadable"),
    BadUpload("images-of-text", "dataset", "data.zip", lambda: zipped({"cat/a.txt": b"x"}), "images_unusable"),
    BadUpload("images-without-class", "dataset", "data.zip", lambda: zipped({"a.png": b"x"}), "images_unusable"),
    BadUpload("images-broken", "dataset", "data.zip", lambda: zipped({"cat/a.png": b"x"}), "images_unusable", "check"),
    BadUpload("images-outside", "dataset", "data.zip", lambda: zipped({"../cat/a.png": b"x"}), "archive_unsafe"),
    BadUpload("dataset-pickle", "dataset", "data.pkl", lambda: b"\x80\x04N.", "unsupported_format"),
    BadUpload("dataset-npy-renamed", "dataset", _D, lambda: unzipped(good_npz())["x_train.npy"], "archive_unreadable"),
    BadUpload("dataset-pickle-renamed", "dataset", _D, lambda: b"\x80\x04N.", "archive_unreadable"),
    BadUpload("dataset-cut-in-half", "dataset", _D, lambda: good_npz()[:3000], "archive_unreadable"),
    BadUpload("dataset-ratio-bomb", "dataset", _D, _ratio_bomb("x_train.npy"), "archive_unsafe"),
    BadUpload("dataset-overlapping-members", "dataset", _D, _overlapping, "archive_unsafe"),
    BadUpload("dataset-foreign-member", "dataset", _D, lambda: _npz_member("run.py"), "archive_unreadable"),
    BadUpload("dataset-member-no-array", "dataset", _D, lambda: _npz_member("extra.npy"), "archive_unreadable"),
    BadUpload("dataset-shape-bomb", "dataset", _D, _array_claims("(1000000000000,)"), "archive_unsafe"),
    BadUpload("dataset-shape-overflow", "dataset", _D, _array_claims("(4294967296, 4294967296, 2)"), "archive_unsafe"),
    BadUpload("dataset-shape-too-small", "dataset", _D, _array_claims("(2, 2)"), "archive_unreadable"),
    BadUpload("dataset-shape-negative", "dataset", _D, _array_claims("(-1, 4)"), "archive_unreadable"),
    BadUpload("dataset-header-runs-code", "dataset", _D, _array_claims("(exit(),)"), "archive_unreadable"),
    BadUpload("dataset-header-nested", "dataset", _D, _array_claims("(" * 5_000), "archive_unreadable"),
    BadUpload("dataset-dtype-of-odd-size", "dataset", _D, _array_claims("(4, 4)", descr="<f3"), "archive_unreadable"),
    BadUpload("dataset-dtype-without-size", "dataset", _D, _array_claims("(4, 4)", descr="<f"), "archive_unreadable"),
    BadUpload("dataset-dtype-of-arrays", "dataset", _D, _array_claims("(4, 1)", descr="<f4[4]"), "archive_unreadable"),
    BadUpload("dataset-dtype-too-wide", "dataset", _D, _array_claims("(4, 4)", descr="<f16"), "archive_unreadable"),
    BadUpload("dataset-unknown-dtype", "dataset", _D, _array_claims("(4, 4)", descr="!?"), "archive_unreadable"),
    BadUpload("dataset-objects", "dataset", _D, _arrays(y_train=np.array([{}] * 64, dtype=object)), "dataset_pickled"),
    BadUpload(
        "dataset-objects-beside", "dataset", _D, _arrays(names=np.array([None], dtype=object)), "dataset_pickled"
    ),
    BadUpload("dataset-without-test-labels", "dataset", _D, _arrays(y_test=None), "dataset_array_missing"),
    BadUpload(
        "dataset-validation-without-labels",
        "dataset",
        _D,
        _arrays(x_val=np.zeros((4, 4, 4, 1))),
        "dataset_array_missing",
    ),
    BadUpload(
        "dataset-lengths-differ", "dataset", _D, _arrays(y_train=np.zeros(63, "int64")), "dataset_lengths_differ"
    ),
    BadUpload(
        "dataset-no-samples",
        "dataset",
        _D,
        _arrays(x_test=np.zeros((0, 4, 4, 1), "float32"), y_test=np.zeros(0, "int64")),
        "dataset_array_unusable",
    ),
    BadUpload("dataset-samples-flat", "dataset", _D, _arrays(x_train=np.zeros(64)), "dataset_array_unusable"),
    BadUpload(
        "dataset-splits-of-other-shapes",
        "dataset",
        _D,
        _arrays(x_test=np.zeros((32, 5, 5, 1))),
        "dataset_array_unusable",
    ),
    BadUpload("dataset-text-labels", "dataset", _D, _arrays(y_train=np.array(["cat"] * 64)), "dataset_array_unusable"),
    BadUpload(
        "dataset-complex",
        "dataset",
        _D,
        _arrays(x_train=np.zeros((64, 4, 4, 1), "complex64")),
        "dataset_array_unusable",
    ),
    BadUpload(
        "dataset-structured",
        "dataset",
        _D,
        _arrays(x_train=np.zeros((64, 4), [("a", "f4"), ("b", "i4")])),
        "dataset_array_unusable",
    ),
    BadUpload(
        "dataset-bytes-damaged",
        "dataset",
        _D,
        lambda: _damaged_bytes(good_npz(), "x_train.npy"),
        "archive_unreadable",
    ),
    BadUpload("dataset-nan", "dataset", _D, _array_value("x_train", float("nan")), "dataset_not_finite", "check"),
    BadUpload("dataset-infinity", "dataset", _D, _array_value("x_test", float("inf")), "dataset_not_finite", "check"),
    BadUpload("dataset-nan-label", "dataset", _D, _array_value("y_train", float("nan")), "dataset_not_finite", "check"),
    BadUpload(
        "dataset-negative-label",
        "dataset",
        _D,
        _arrays(y_train=np.full(64, -1, "int64")),
        "dataset_labels_invalid",
        "check",
    ),
    BadUpload(
        "dataset-labels-of-two-kinds",
        "dataset",
        _D,
        _arrays(y_test=np.full(32, 0.5, "float32")),
        "dataset_labels_invalid",
        "check",
    ),
]

BAD_UPLOADS = [*BAD_MODELS, *BAD_DATASETS]
