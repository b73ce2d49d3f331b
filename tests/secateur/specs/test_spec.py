import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from secateur.specs.kinds import spec_digest
from secateur.specs.presets import PRESETS
from secateur.specs.spec import CompressSpec, Recipe

IDS = {"model_id": "mdl_" + "0" * 20, "dataset_id": "dst_" + "1" * 20}
PRUNE = {"kind": "prune", "sparsity": 0.5}


def spec(**fields: Any) -> CompressSpec:
    return CompressSpec.model_validate(IDS | {"steps": [PRUNE]} | fields)


@pytest.mark.parametrize("preset", PRESETS)
def test_three_fields_are_a_whole_spec(preset: str) -> None:
    whole = CompressSpec.model_validate(IDS | {"preset": preset})

    assert [step.kind for step in whole.steps] == ["prune", "finetune", "quantize"]


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_a_stored_spec_reads_back_as_the_same_spec(preset: str | None) -> None:
    """The row holds the normalised spec; the child must run exactly what the gateway accepted."""
    original = CompressSpec.model_validate(IDS | ({"preset": preset} if preset else {"steps": [PRUNE]}))

    assert CompressSpec.model_validate_json(original.model_dump_json()) == original


BAD = [
    pytest.param({"steps": [PRUNE], "step": 1}, "step", "Extra inputs", id="unknown field"),
    pytest.param({"steps": [{**PRUNE, "sparsety": 0.5}]}, "sparsety", "Extra inputs", id="unknown field of a step"),
    pytest.param({"steps": [{**PRUNE, "sparsity": 1.5}]}, "sparsity", "less than 1", id="sparsity over 1"),
    pytest.param({"steps": [{**PRUNE, "sparsity": 0.0}]}, "sparsity", "greater than 0", id="sparsity 0"),
    pytest.param({"steps": [{**PRUNE, "sparsity": float("nan")}]}, "sparsity", "finite", id="sparsity NaN"),
    pytest.param({"steps": [{"kind": "prun"}]}, "steps", "'prune', 'finetune'", id="unknown kind of step"),
    pytest.param({"steps": []}, "steps", "at least 1", id="no steps"),
    pytest.param({"steps": [{"kind": "quantize"}, PRUNE]}, "", "last step", id="quantize in the middle"),
    pytest.param({"steps": [{**PRUNE, "layers": {"a": 0.5}, "skip_layers": ["a"]}]}, "steps", "both", id="in and out"),
    pytest.param({"steps": [PRUNE], "preset": "small"}, "", "either preset or steps", id="preset and steps"),
    pytest.param({"steps": [{"sparsity": 0.5}], "preset": "small"}, "", "either preset", id="preset and no steps"),
    pytest.param({"steps": [{"kind": []}], "preset": "small"}, "", "either preset", id="preset and an odd kind"),
    pytest.param({"steps": 5, "preset": "small"}, "", "either preset", id="preset and a number"),
    pytest.param({"preset": ["small"]}, "preset", "'small'", id="a list of presets"),
    pytest.param({"steps": [{"sparsity": 0.5}]}, "steps", "kind", id="a step without its kind"),
    pytest.param(
        {"steps": [{**PRUNE, "schedule": {"kind": "polynomial", "initial_sparsity": 0.6}}]},
        "steps",
        "below sparsity",
        id="initial over final",
    ),
    pytest.param({"steps": [PRUNE], "data": {"scale": "1/256"}}, "scale", "1/255", id="unknown scale"),
]


@pytest.mark.parametrize(("fields", "field", "message"), BAD)
def test_what_makes_no_sense_is_refused_where_it_stands(fields: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CompressSpec.model_validate(IDS | fields)

    error = caught.value.errors()[0]
    assert field in ".".join(map(str, error["loc"]))
    assert message in error["msg"]


def test_the_digest_is_of_what_is_done_not_of_labels_limits_or_spelling() -> None:
    assert spec_digest(spec()) == spec_digest(spec(labels={"team": "a"}, limits={"max_runtime_seconds": 5}))
    assert spec_digest(spec()) == spec_digest(spec(steps=[{**PRUNE, "structure": "weight"}]))
    assert spec_digest(spec()) != spec_digest(spec(seed=1))
    by_preset = CompressSpec.model_validate(IDS | {"preset": "small"})
    assert spec_digest(by_preset) == spec_digest(spec(steps=PRESETS["small"]))


def test_the_recipe_is_the_spec_without_what_only_the_service_needs() -> None:
    recipe = spec(seed=3, labels={"a": "b"}).recipe()

    assert type(recipe) is Recipe
    assert recipe.seed == 3
    assert "model_id" not in recipe.model_dump()


def test_the_json_schema_takes_what_the_models_take_and_refuses_what_they_refuse() -> None:
    """Clients generate forms and checks from it."""
    schema = CompressSpec.model_json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    assert validator.is_valid(json.loads(spec().model_dump_json()))
    assert not validator.is_valid(IDS | {"steps": [{**PRUNE, "sparsity": 1.5}]})
    assert not validator.is_valid(IDS | {"steps": [PRUNE], "unknown": 1})


def test_every_field_that_is_not_obvious_is_described_in_the_schema() -> None:
    definitions = CompressSpec.model_json_schema()["$defs"]

    for name in ("Prune", "Polynomial", "Quantize", "Finetune"):
        assert definitions[name]["description"]
    assert "by Keras name" in definitions["Prune"]["properties"]["layers"]["description"]


def test_a_loss_stands_once_for_each_output() -> None:
    """Beside those of outputs by name nobody would know whose the other is."""
    steps = [{"kind": "quantize"}]

    with pytest.raises(ValidationError, match="under the name of each output"):
        Recipe.model_validate({"steps": steps, "objective": {"metric": "auc", "outputs": {"kind": {"metric": "f1"}}}})

    wanted = Recipe.model_validate({"steps": steps, "objective": {"outputs": {"kind": {"metric": "f1"}}}}).objective
    assert (wanted.of("kind", judged=True).metric, wanted.of("age", judged=False).metric) == ("f1", None)
