"""Damaged files of every kind: whatever the damage, screening answers with an error of the tree, quickly."""

import io
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from screening import Kind, screen
from screening.models.keras_config import check
from secateur.errors import RequestError
from tests.badfiles import good_npz, keras_file, layer, sequential, zipped

SEEDS: dict[Kind, bytes] = {
    "model": keras_file(sequential(layer("Dense", units=4), layer("Dropout", rate=0.5))),
    "dataset": good_npz(),
}
NAMES: dict[Kind, str] = {"model": "model.keras", "dataset": "data.npz"}
MAX_MEMORY_BYTES = 64 << 20

edits = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6)


def mutated(data: bytes, kept: float, changes: list[tuple[float, bytes]]) -> bytes:
    """The first part of a file, with some of its bytes replaced."""
    out = bytearray(data[: max(1, round(kept * len(data)))])
    for place, change in changes:
        start = round(place * (len(out) - 1))
        out[start : start + len(change)] = change
    return bytes(out)


def answer(kind: Kind, data: bytes) -> None:
    """Screen a file; anything but a format or an error of the tree goes through to the test."""
    with suppress(RequestError):
        screen(kind, NAMES[kind], io.BytesIO(data), inflate=True)


@pytest.mark.parametrize("kind", ["model", "dataset"])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kept=st.sampled_from([1.0, 1.0, 0.999, 0.9, 0.5]), changes=edits)
def test_a_mutant_never_raises_anything_else(kind: Kind, kept: float, changes: list[tuple[float, bytes]]) -> None:
    """An unforeseen exception would be a 500, and a 500 for a bad file is our defect."""
    answer(kind, mutated(SEEDS[kind], kept, changes))


@settings(max_examples=300, deadline=None)
@given(changes=edits, tail=st.sampled_from([22, 80, 200, 400]))
def test_a_damaged_directory_never_raises_anything_else(changes: list[tuple[float, bytes]], tail: int) -> None:
    """The directory stands at the end: damage there reaches far more of ``zipfile`` than damage to the arrays."""
    data = SEEDS["dataset"]

    answer("dataset", data[:-tail] + mutated(data[-tail:], 1.0, changes))


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="{}[]()'\":,<>|fOiub48 -descrfortan_oshpeTrueFalse", max_size=200))
def test_any_array_header_never_raises_anything_else(text: str) -> None:
    """The header is a Python literal from a stranger."""
    header = text.encode()
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)

    answer("dataset", zipped({"x_train.npy": member}))


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
keys = st.sampled_from(["class_name", "module", "config", "registered_name", "layers", "name", "units", "vocabulary"])
configs: st.SearchStrategy[Any] = st.recursive(
    leaves | st.sampled_from(["Dense", "function", "keras.layers", "keras"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=30,
)


@settings(max_examples=500, deadline=None)
@given(config=configs)
def test_any_config_never_raises_anything_else(config: Any) -> None:
    """JSON allows every value in every place."""
    with suppress(RequestError):
        check({"class_name": "Sequential", "module": "keras", "config": config}, num_weight_bytes=1_000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(keras_file(b'{"class_name": "Model", "config": [' + b"[]," * 1_000_001 + b"0]}"), id="lists"),
        pytest.param(keras_file(b'{"class_name": "M", "config": [' + b"[" * 900_000), id="deep"),
        pytest.param(keras_file(b'{"class_name": "M", "config": "' + b'\\"' * 4_000_000 + b'"}'), id="text"),
        pytest.param(zipped({f"assets/{index:0200}": b"" for index in range(5_000)}), id="directory"),
    ],
)
@pytest.mark.timeout(60)  # what grows with the square of a file takes minutes
def test_hostile_files_take_little_time_and_memory(data: bytes) -> None:
    """The gateway screens many uploads at once, beside everything else that it does."""
    tracemalloc.start()

    answer("model", data)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_MEMORY_BYTES
