"""Tables: what they become, and that each defect is told by column and row."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.read import read
from engine.data.summary import summarise
from screening.costs import limited_to
from secateur.errors import UploadRefused, UploadTooCostly
from secateur.protocol.cost_bounds import CostBounds
from secateur.specs.reading import Reading

ROWS = [(0.5, 1, "cat"), (1.5, 2, "dog"), (2.5, 3, "cat"), (3.5, 4, "dog"), (4.5, 5, "cat"), (5.5, 6, "dog")]


def text(*lines: str) -> str:
    return "\n".join(("weight,age,label", *lines)) + "\n"


GOOD = text(*(f"{weight},{age},{label}" for weight, age, label in ROWS))


def csv_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "pets.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet_file(folder: Path, **changes: object) -> Path:
    weights, ages, labels = zip(*ROWS, strict=True)
    columns = {"weight": list(weights), "age": list(ages), "label": list(labels)} | changes
    pq.write_table(pa.table(columns), folder / "pets.parquet")
    return folder / "pets.parquet"


@pytest.mark.parametrize("make", [lambda folder: csv_file(folder, GOOD), parquet_file], ids=["csv", "parquet"])
def test_rows_become_samples_and_text_becomes_classes(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    contents = read(make(tmp_path), Reading(test_share=0.3))

    whole = np.concatenate([contents.splits["train"].x[:], contents.splits["test"].x[:]])
    assert sorted(map(tuple, whole.tolist())) == [(weight, age) for weight, age, _ in ROWS]
    assert contents.classes == ("cat", "dog")
    assert sorted(contents.splits["test"].y) == [0, 1], "shares are drawn class by class"
    for split in contents.splits.values():
        assert all((int(age) + 1) % 2 == y for (_, age), y in zip(split.x[:], split.y, strict=True))


def test_the_order_of_classes_can_be_declared(tmp_path: Path) -> None:
    contents = read(csv_file(tmp_path, GOOD), Reading(classes=("dog", "cat")))

    summary = summarise(contents, Reading())
    assert (summary.classes, summary.num_classes, summary.label_kind) == (("dog", "cat"), 2, "classes")
    train = contents.splits["train"]
    assert all(int(age) % 2 == y for (_, age), y in zip(train.x[:], train.y, strict=True))


def test_a_column_can_say_which_split_a_row_belongs_to(tmp_path: Path) -> None:
    lines = [f"{place},{place % 2},{split}" for place, split in enumerate(["train", "Test", "val", "train", "test"])]
    content = "\n".join(("x,label,part", *lines))

    splits = read(csv_file(tmp_path, content), Reading(split="part")).splits

    assert {name: split.x[:, 0].tolist() for name, split in splits.items()} == {
        "train": [0.0, 3.0],
        "validation": [2.0],
        "test": [1.0, 4.0],
    }


@pytest.mark.parametrize(
    ("labels", "declared", "kind"),
    [
        (["0", "1", "0", "1"], None, "classes"),
        (["0.5", "1", "0", "1"], None, "values"),
        (["0", "1", "0", "1"], "values", "values"),
        (["0.0", "1.0", "0.0", "1.0"], "classes", "classes"),
    ],
)
def test_labels_are_what_they_look_like_unless_declared(
    tmp_path: Path, labels: list[str], declared: object, kind: str
) -> None:
    path = csv_file(tmp_path, "x,label\n" + "".join(f"{row},{label}\n" for row, label in enumerate(labels)))

    assert read(path, Reading.model_validate({"labels": declared})).label_kind == kind


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (GOOD.replace("label", "species"), "column_missing", "'label'.*'weight', 'age', 'species'"),
        (text("1,2,cat", "1,dog"), "table_unusable", "Line 3 has 2 cells, the header 3"),
        (text("1,2,cat", "1,two,dog"), "table_unusable", "Row 2, column 'age' holds 'two'"),
        (text("1,2,cat", "1,,dog"), "table_unusable", "Row 2, column 'age' is empty"),
        (text("1,2,cat", "1,2,"), "table_unusable", "Row 2, column 'label' is empty"),
        (text("1,nan,cat", "1,2,dog"), "dataset_not_finite", "Row 1, column 'age'"),
        (text("1,1e39,cat", "1,2,dog"), "dataset_not_finite", "Row 1, column 'age'"),
        (text("1,2,cat", "2,2,cat"), "dataset_labels_invalid", "Every sample has the class 'cat'"),
        (text(), "table_unusable", "no rows"),
        (text("1,2,cat"), "dataset_split_empty", "The test split"),
        ("1,2,3\n4,5,6\n", "table_unusable", "first line holds numbers"),
        ("a,a,label\n1,2,x\n", "table_unusable", "Two columns are named 'a'"),
        ("a;b;label\n1;2;x\n", "table_unusable", "separated by ';'"),
        ("a,label\n1,caf\xe9\n".encode("latin-1"), "table_unusable", "UTF"),
        ("a,l\xe9bel\n1,x\n".encode("latin-1"), "table_unusable", "UTF-8"),
        (b"PK\x03\x04 and so on\n", "table_unusable", "a zip archive"),
        (b"", "upload_empty", "0 bytes"),
        ("label\nx\n", "column_missing", "No column is left"),
    ],
)
def test_a_defect_of_a_csv_is_told_where_it_stands(tmp_path: Path, content: str | bytes, code: str, told: str) -> None:
    with pytest.raises(UploadRefused, match=told) as caught:
        read(csv_file(tmp_path, content), Reading())

    assert caught.value.code in code.split("|")
    assert caught.value.suggestions


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"age": [1, 2, None, 4, 5, 6]}, "table_unusable", "Row 3, column 'age' is empty"),
        ({"age": ["1", "2", "three", "4", "5", "6"]}, "table_unusable", "Row 3, column 'age' holds 'three'"),
        ({"age": [[1], [2], [3], [4], [5], [6]]}, "table_unusable", "Column 'age' is of type list"),
        ({"weight": [1.0, 2.0, float("inf"), 4.0, 5.0, 6.0]}, "dataset_not_finite", "Row 3, column 'weight'"),
        ({"label": [None, *"abcde"]}, "table_unusable", "Row 1, column 'label' is empty"),
        ({"label": [[1]] * 6}, "table_unusable", "Column 'label'"),
        ({"label": [-1, 0, 1, 0, 1, 0]}, "dataset_labels_invalid", "-1"),
    ],
)
def test_a_defect_of_a_parquet_file_is_told_where_it_stands(
    tmp_path: Path, changes: dict[str, object], code: str, told: str
) -> None:
    with pytest.raises(UploadRefused, match=told) as caught:
        read(parquet_file(tmp_path, **changes), Reading())

    assert caught.value.code == code


def test_a_row_is_counted_over_the_pieces_that_a_file_is_read_in(tmp_path: Path) -> None:
    ages = ["1"] * 40_000
    ages[30_001] = "old"
    path = parquet_file(tmp_path, weight=[1.0] * 40_000, age=ages, label=["a", "b"] * 20_000)

    with pytest.raises(UploadRefused, match="Row 30002, column 'age' holds 'old'"):
        read(path, Reading())


CELLS = st.one_of(
    st.floats(width=32, allow_nan=True).map(str), st.integers(-3, 3).map(str), st.text(max_size=5), st.just("")
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6), st.sampled_from([None, "part"]))
def test_whatever_a_csv_holds_it_is_read_or_refused_in_our_words(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], split: str | None
) -> None:
    content = "\n".join(["x,part,label", *(",".join(row) for row in rows)])
    path = csv_file(tmp_path_factory.mktemp("csv"), content.encode("utf-8", "surrogatepass"))

    with suppress(UploadRefused):
        summarise(read(path, Reading(split=split)), Reading())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_parquet_file_with_other_bytes_is_read_or_refused_in_our_words(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = parquet_file(tmp_path_factory.mktemp("parquet"))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])

    with suppress(UploadRefused):
        summarise(read(path, Reading()), Reading())


def test_two_columns_of_one_name_are_told_of_parquet_too(tmp_path: Path) -> None:
    twice = pa.table([[1.0, 2.0], [1.0, 2.0], ["a", "b"]], names=["age", "age", "label"])
    pq.write_table(twice, tmp_path / "pets.parquet")

    with pytest.raises(UploadRefused, match="Two columns are named 'age'"):
        read(tmp_path / "pets.parquet", Reading())


def test_columns_go_to_the_inputs_that_are_declared(tmp_path: Path) -> None:
    """The inputs of a model by name, each with columns in an order of its own; a column that none names is left."""
    inputs = {"body": ["age", "weight"], "old": "age"}
    reading = Reading.model_validate({"inputs": inputs, "scale": {"body": "1/255"}})

    contents = read(csv_file(tmp_path, GOOD), reading)

    train = contents.splits["train"].x[:]
    assert (train.names, [part.shape for part in train.each]) == (("body", "old"), [(4, 2), (4, 1)])
    assert (train.named("body")[:, 0] == train.named("old")[:, 0]).all()
    assert (train.named("body")[:, 1] == train.named("old")[:, 0] - 0.5).all()
    summary = summarise(contents, reading)
    assert {name: info.shape for name, info in summary.inputs.items()} == {"body": (2,), "old": (1,)}
    assert summary.sample_shape == (2,)


@pytest.mark.parametrize("column", ["wieght", "label"])
def test_an_input_that_reads_no_feature_is_named(column: str, tmp_path: Path) -> None:
    with pytest.raises(UploadRefused, match=f"'body'.*{column!r}") as caught:
        read(csv_file(tmp_path, GOOD), Reading.model_validate({"inputs": {"body": [column]}}))

    assert caught.value.errors[0].field == "inputs.body"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_text_of_a_parquet_file_is_spelt_out_in_every_batch(kind: pa.DataType, tmp_path: Path) -> None:
    """It is read as a dictionary first: each row group has its own, and words in other places."""
    words = ["cat", "dog", "bird"] * 30
    label = pa.array(words).dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else pa.array(words, kind)
    columns = {"weight": pa.array([str(number) for number in range(90)]), "label": label, "unused": [[1]] * 90}
    pq.write_table(pa.table(columns), tmp_path / "pets.parquet", row_group_size=7)

    contents = read(tmp_path / "pets.parquet", Reading(inputs={"body": ["weight"]}))

    assert contents.classes == ("bird", "cat", "dog")
    train, test = (contents.splits[name] for name in ("train", "test"))
    assert len(train) + len(test) == 90


@pytest.mark.parametrize(
    ("bounds", "setting"),
    [
        pytest.param(CostBounds(line_bytes=20), "SECATEUR_MAX_LINE_BYTES", id="a line"),
        pytest.param(CostBounds(table_columns=2), "SECATEUR_MAX_TABLE_COLUMNS", id="columns"),
        pytest.param(CostBounds(data_values=8), "SECATEUR_MAX_DATA_VALUES", id="cells"),
    ],
)
def test_each_bound_on_a_table_names_its_setting(bounds: CostBounds, setting: str, tmp_path: Path) -> None:
    """Three columns; lines of at most 23 bytes."""
    (tmp_path / "pets.csv").write_text("weight,age,label\n" + "1.25,2,a dog of some age\n" * 6)

    with limited_to(bounds), pytest.raises(UploadTooCostly) as refusal:
        read(tmp_path / "pets.csv", Reading())

    assert setting in refusal.value.suggestions[-1]


def test_a_line_as_long_as_the_bound_passes_wherever_pieces_end(tmp_path: Path) -> None:
    """Lines are measured in pieces of the bound's size, so that every line lies across two of them."""
    lines = ["weight,label", *(f"{number}.125,{'ab'[number % 2]}" for number in range(20, 60))]
    (tmp_path / "pets.csv").write_text("\n".join(lines) + "\n")

    with limited_to(CostBounds(line_bytes=12)):
        contents = read(tmp_path / "pets.csv", Reading())

    assert sum(map(len, contents.splits.values())) == 40
