"""The prune step that takes channels away: what goes together, and how it lives beside the other prune step."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from secateur.field_path import field_path
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import OneShot, Prune
from secateur.specs.spec import CompressSpec, Recipe, Step

STEP: TypeAdapter[Any] = TypeAdapter(Step)
KIND = {"kind": "prune", "structure": "channel"}

BAD = [
    pytest.param({}, "exactly one of sparsity, params, macs, latency", id="no amount"),
    pytest.param({"params": 0.5, "macs": 0.5}, "not params and macs", id="two amounts"),
    pytest.param({"macs": 1.0}, "less than 1", id="everything"),
    pytest.param({"macs": 0.0}, "greater than 0", id="nothing"),
    pytest.param({"macs": 0.5, "criterion": "snip"}, "'obs'", id="criterion of weights"),
    pytest.param({"macs": 0.5, "distribution": "erk"}, "'pattern'", id="distribution of weights"),
    pytest.param({"macs": 0.5, "toolkit": "tfmot"}, "Extra inputs", id="field of the other step"),
    pytest.param({"macs": 0.5, "channel_multiple": 0}, "greater than or equal to 1", id="multiple of 0"),
    pytest.param({"macs": 0.5, "spare": ["last"]}, "'shortcut'", id="unknown tag"),
    pytest.param({"macs": 0.5, "layers": {"a": 1.0}}, "less than 1", id="a whole layer"),
    pytest.param({"macs": 0.5, "layers": {"a": 0.5}, "skip_layers": ["a"]}, "stand in both", id="in and out"),
    pytest.param({"sparsity": 0.8, "max_layer_sparsity": 0.7}, "sparsity 0.8 lies above", id="over the ceiling"),
    pytest.param(
        {"macs": 0.5, "max_layer_sparsity": 0.7, "layers": {"a": 0.8}}, "layers.a 0.8 lies above", id="a layer over it"
    ),
    pytest.param(
        {"macs": 0.5, "schedule": {"kind": "constant", "recoverable": True}}, "cannot come back", id="recoverable"
    ),
    pytest.param(
        {"macs": 0.5, "schedule": {"kind": "polynomial", "initial_sparsity": 0.5}}, "below macs", id="late start"
    ),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_what_does_not_go_together_is_refused_with_what_to_change(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        STEP.validate_python(KIND | fields)

    assert message in caught.value.errors()[0]["msg"]


GOOD: list[dict[str, Any]] = [
    {"sparsity": 0.5},
    {"params": 0.3, "criterion": "random", "distribution": "pattern", "channel_multiple": 1},
    {"macs": 0.5, "max_layer_sparsity": 0.8, "layers": {"a": 0.8, "b": 0.0}, "spare": []},
    {"latency": 0.4, "schedule": {"kind": "iterative", "cycles": 2}, "reconstruct": False},
    {"macs": 0.7, "schedule": {"kind": "polynomial", "initial_sparsity": 0.2}, "skip_layers": ["a"]},
]


@pytest.mark.parametrize("fields", GOOD)
def test_what_goes_together_reads_back_as_the_same_step(fields: dict[str, Any]) -> None:
    step = STEP.validate_python(KIND | fields)

    assert type(step) is PruneChannels
    assert STEP.validate_json(step.model_dump_json()) == step


def test_without_a_word_channels_go_at_once_and_their_readers_are_solved_again() -> None:
    step = STEP.validate_python(KIND | {"macs": 0.5})

    assert (step.criterion, step.distribution, step.reconstruct) == ("obs", "uniform", True)
    assert step.spare == ("first", "shortcut", "normalized")
    assert isinstance(step.schedule, OneShot)
    assert not step.trains


@pytest.mark.parametrize("field", ["sparsity", "params", "macs", "latency"])
def test_the_amount_is_what_was_given(field: str) -> None:
    assert PruneChannels.model_validate({field: 0.25}).amount == (field, 0.25)


@pytest.mark.parametrize(
    ("fields", "ceiling"),
    [
        ({"macs": 0.95}, 0.9),
        ({"sparsity": 0.5}, 0.9),
        ({"sparsity": 0.95}, 0.95),
        ({"sparsity": 0.5, "max_layer_sparsity": 0.6}, 0.6),
    ],
)
def test_the_ceiling_never_lies_below_the_sparsity(fields: dict[str, float], ceiling: float) -> None:
    """Otherwise what is asked for could not be delivered."""
    assert PruneChannels.model_validate(fields).ceiling == ceiling


@pytest.mark.parametrize("structure", [None, "weight", "unit", "block"])
def test_every_other_structure_is_the_step_that_sets_weights_to_zero(structure: str | None) -> None:
    given = {"kind": "prune", "sparsity": 0.5} | ({"structure": structure} if structure else {})

    assert type(STEP.validate_python(given)) is Prune


@pytest.mark.parametrize("structure", ["channels", None, 3, ["channel"]])
def test_an_unknown_structure_is_told_all_there_are(structure: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        STEP.validate_python({"kind": "prune", "structure": structure, "sparsity": 0.5})

    assert caught.value.errors()[0]["loc"] == ("structure",)
    assert caught.value.errors()[0]["msg"] == "Input should be 'weight', 'unit', 'block', 'n_m' or 'channel'"


SLIPS: list[tuple[dict[str, Any], str]] = [
    (KIND | {"macs": 2}, "steps.0.macs"),
    (KIND | {"macs": 0.5, "schedule": {"kind": "polynomial", "ramp": 3}}, "steps.0.schedule.ramp"),
    (KIND | {"macs": 0.5, "layers": {"channel": 2}}, "steps.0.layers.channel"),
    ({"kind": "prune", "sparsity": 2}, "steps.0.sparsity"),
    ({"kind": "prune", "structure": "unit", "sparsity": 2}, "steps.0.sparsity"),
    ({"kind": "prune", "structure": "unite"}, "steps.0.structure"),
    ({"kind": "quantize", "scheme": "int4"}, "steps.0.scheme"),
]


@pytest.mark.parametrize(("step", "field"), SLIPS)
def test_a_slip_is_told_where_it_was_written(step: dict[str, Any], field: str) -> None:
    """Nobody wrote the name of the union's member that was tried."""
    given = {"steps": [step]}

    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(given)

    assert ".".join(field_path(caught.value.errors()[0]["loc"], given)) == field


def test_the_json_schema_tells_the_two_prune_steps_apart() -> None:
    """Clients generate forms and checks from it; it must not take a step for both."""
    validator = Draft202012Validator(CompressSpec.model_json_schema())
    ids = {"model_id": "mdl_" + "0" * 20, "dataset_id": "dst_" + "1" * 20}
    stored = CompressSpec.model_validate(ids | {"steps": [KIND | {"macs": 0.5}]}).model_dump_json()

    assert validator.is_valid(json.loads(stored))
    assert validator.is_valid(ids | {"steps": [{"kind": "prune", "sparsity": 0.5}]})
    assert not validator.is_valid(ids | {"steps": [{"kind": "prune", "macs": 0.5}]})
    assert not validator.is_valid(ids | {"steps": [KIND | {"toolkit": "native", "macs": 0.5}]})


def test_the_example_of_the_contract_is_a_step() -> None:
    step = STEP.validate_python(
        {
            "kind": "prune",
            "structure": "channel",
            "criterion": "l2_norm",
            "distribution": "global",
            "sparsity": 0.5,
            "schedule": {"kind": "polynomial", "initial_sparsity": 0.0, "epochs": 4},
            "layers": {"conv_1": 0.3},
            "skip_layers": ["head"],
        }
    )

    assert step.trains
