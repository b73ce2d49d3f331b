from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from secateur.errors import HeldOutDataMissing, NothingToPrune, UnknownLayer
from secateur.protocol.progress import planned
from secateur.reports.sensitivity import Curves
from secateur.reports.summaries import SplitInfo
from secateur.specs.kinds import JobSpec, spec_digest
from secateur.specs.sensitivity import SensitivityRecipe, SensitivitySpec
from secateur.specs.spec import CompressSpec
from secateur.validation.fit import check_fit
from tests.secateur.validation.test_fit import DATA, MODEL

IDS = {"model_id": "mdl_" + "0" * 20, "dataset_id": "dst_" + "1" * 20}
SPEC: TypeAdapter[Any] = TypeAdapter(JobSpec)
ENOUGH = {"splits": {"train": SplitInfo(num_samples=200), "test": SplitInfo(num_samples=5)}}


def curves(**changes: Any) -> Curves:
    """Two layers; the second helps when it is cut a little."""
    known = {"key": "k", "metric": "accuracy", "higher_is_better": True, "num_samples": 100, "dense": 0.9}
    layers = {"a": (0.9, 0.89, 0.5), "b": (0.91, 0.9, 0.88)}
    return Curves.model_validate(known | {"sparsities": (0.5, 0.8, 0.9), "layers": layers} | changes)


def test_the_kind_tells_which_spec_is_meant_and_compress_is_meant_without_one() -> None:
    assert type(SPEC.validate_python(IDS | {"kind": "sensitivity"})) is SensitivitySpec
    assert type(SPEC.validate_python(IDS | {"kind": "compress", "preset": "small"})) is CompressSpec
    assert type(SPEC.validate_python(IDS | {"preset": "small"})) is CompressSpec


def test_a_stored_spec_reads_back_as_the_same_spec() -> None:
    original = SPEC.validate_python(IDS | {"kind": "sensitivity", "structure": "block", "block_shape": [1, 16]})

    assert SPEC.validate_json(original.model_dump_json()) == original
    assert spec_digest(original) != spec_digest(original.model_copy(update={"samples": 30}))
    assert spec_digest(original) == spec_digest(original.model_copy(update={"labels": {"a": "b"}}))


BAD = [
    pytest.param({"criterion": "threshold"}, "criterion", "only ranks", id="a threshold"),
    pytest.param({"criterion": "fpgm"}, "", "set structure to unit", id="units scored, weights cut"),
    pytest.param({"structure": "n_m"}, "structure", "'weight', 'unit' or 'block'", id="a fixed sparsity"),
    pytest.param({"block_shape": [1, 8]}, "", "goes with structure block", id="blocks without blocks"),
    pytest.param({"sparsities": [0.9, 0.5]}, "", "must rise", id="a grid that falls"),
    pytest.param({"sparsities": [0.5]}, "sparsities", "at least 2", id="no grid"),
    pytest.param({"steps": []}, "steps", "Extra inputs", id="a recipe"),
]


@pytest.mark.parametrize(("fields", "field", "message"), BAD)
def test_what_makes_no_sense_is_refused_where_it_stands(fields: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SensitivityRecipe.model_validate(fields)

    (error,) = caught.value.errors()
    assert ".".join(map(str, error["loc"])) == field
    assert message in error["msg"]


def check(facts: dict[str, Any] = ENOUGH, **fields: Any) -> None:
    check_fit(SensitivityRecipe.model_validate(fields), MODEL, DATA.model_copy(update=facts))


def test_what_fits_passes() -> None:
    check()


def test_layers_are_looked_up_and_named_by_the_field_of_this_spec() -> None:
    with pytest.raises(UnknownLayer) as caught:
        check(skip_layers=["conv1"])
    assert caught.value.errors[0].field == "skip_layers"

    with pytest.raises(NothingToPrune):
        check(skip_layers=["conv_1"])


@pytest.mark.parametrize(
    ("splits", "field", "suggested"),
    [
        pytest.param({"train": 190, "validation": 19}, "dataset_id", ["x_val"], id="x_val is small"),
        pytest.param({"train": 190}, "data.validation_share", ["x_val", "0.11 or more"], id="the share is small"),
        pytest.param({"train": 30}, "data.validation_share", ["x_val"], id="the split is small"),
    ],
)
def test_too_few_held_out_samples_are_refused_with_a_way_out(
    splits: dict[str, int], field: str, suggested: list[str]
) -> None:
    """Nineteen samples say nothing about a layer, however long they are measured on."""
    facts = {"splits": {name: SplitInfo(num_samples=count) for name, count in splits.items()}}

    with pytest.raises(HeldOutDataMissing) as caught:
        check(facts)

    assert caught.value.errors[0].field == field
    assert all(word in said for word, said in zip(suggested, caught.value.suggestions, strict=True))


def test_the_share_that_is_suggested_is_enough() -> None:
    check({"splits": {"train": SplitInfo(num_samples=190)}}, data={"validation_share": 0.11})


def test_the_steps_are_known_before_the_first_begins() -> None:
    assert [step.name for step in planned(SensitivityRecipe())] == ["baseline", "sensitivity", "report"]


def test_a_layer_keeps_the_highest_sparsity_that_costs_at_most_a_point() -> None:
    assert curves().keeps("a") == 0.8
    assert curves().keeps("b") == 0.8
    assert curves(layers={"a": (0.88, 0.5, 0.1)}).keeps("a") is None


def test_of_errors_a_tenth_more_is_no_loss() -> None:
    """Lower is better, and there are no points."""
    errors = curves(metric="mean_squared_error", higher_is_better=False, dense=2.0, layers={"a": (1.9, 2.2, 2.3)})

    assert errors.loss("a") == pytest.approx((-0.1, 0.2, 0.3))
    assert errors.keeps("a") == 0.8


def test_the_most_sensitive_layer_is_the_one_that_loses_most_over_the_grid() -> None:
    assert curves().by_sensitivity() == ("a", "b")
