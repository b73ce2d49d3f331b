"""What the steps that train can be told, and what contradicts itself."""

from typing import Any

import pytest
from pydantic import ValidationError

from secateur.errors import HeldOutDataMissing, TrainingUnserved
from secateur.specs.spec import Recipe
from secateur.validation.fit import check_fit
from tests.secateur.validation.test_fit import DATA, MODEL


def recipe(**given: Any) -> Recipe:
    return Recipe.model_validate(given)


def test_fine_tuning_by_default_follows_a_cosine_and_keeps_its_best_epoch() -> None:
    step: Any = recipe(steps=[{"kind": "finetune"}]).steps[0]

    assert (step.learning_rate_schedule, step.warmup_share, step.best_epoch) == ("cosine", 0.05, True)


def test_cutting_by_default_trains_at_a_constant_rate_to_its_last_epoch() -> None:
    """At the end of a ramp a network has most to learn."""
    schedule: Any = recipe(steps=[{"kind": "prune", "sparsity": 0.5}]).steps[0].schedule  # type: ignore[union-attr]

    assert (schedule.learning_rate_schedule, schedule.warmup_share, schedule.best_epoch) == ("constant", 0.0, False)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"kind": "finetune", "epochs": 3, "patience": 3}, "patience 3 lets 3 epochs always run"),
        (
            {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "constant", "epochs": 2, "patience": 2}},
            "schedule.patience 2",
        ),
        (
            {"kind": "prune", "structure": "channel", "sparsity": 0.5}
            | {"schedule": {"kind": "iterative", "cycles": 2, "patience": 5}},
            "schedule.patience 5",
        ),
        (
            {
                "kind": "prune",
                "sparsity": 0.5,
                "toolkit": "tfmot",
                "schedule": {"kind": "constant", "best_epoch": True},
            },
            "leave out best_epoch",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(step: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        recipe(steps=[step])


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({"kind": "finetune", "epochs": 9, "patience": 1}, "steps.0.patience"),
        (
            {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "polynomial", "epochs": 9, "patience": 2}},
            "steps.0.schedule.patience",
        ),
    ],
)
def test_stopping_early_without_held_out_samples_is_refused_by_name(step: dict[str, Any], field: str) -> None:
    few = DATA.model_copy(update={"splits": {**DATA.splits, "validation": DATA.splits["test"]}})
    few = few.model_copy(
        update={"splits": {**few.splits, "validation": few.splits["test"].model_copy(update={"num_samples": 19})}}
    )

    with pytest.raises(HeldOutDataMissing, match="stop a training early takes at least 20") as caught:
        check_fit(recipe(steps=[step]), MODEL, few)

    assert caught.value.errors[0].field == field
    assert caught.value.suggestions


FINETUNE = [{"kind": "finetune"}]


@pytest.mark.parametrize(
    ("training", "data", "model", "field"),
    [
        ({"class_weight": "balanced"}, {"label_kind": "values", "label_shape": (10,)}, {}, "class_weight"),
        ({"class_weight": "balanced"}, {"label_kind": "multi_label", "label_shape": (10,)}, {}, "class_weight"),
        ({"class_weight": {"3": 2.0, "10": 5.0}}, {}, {}, "class_weight"),
        (
            {"augment": True},
            {"sample_shape": (784,)},
            {"inputs": (MODEL.inputs[0].model_copy(update={"shape": (None, 784)}),)},
            "augment",
        ),
    ],
    ids=["weights for values", "weights for several labels", "weight of no class", "a table is no image"],
)
def test_what_the_data_cannot_serve_is_refused_by_field(training: Any, data: Any, model: Any, field: str) -> None:
    with pytest.raises(TrainingUnserved) as caught:
        check_fit(
            recipe(steps=FINETUNE, training=training), MODEL.model_copy(update=model), DATA.model_copy(update=data)
        )

    assert caught.value.errors[0].field == f"training.{field}"
    assert caught.value.suggestions


def test_what_fits_is_taken() -> None:
    training = {"class_weight": {"3": 2.0}, "augment": {"horizontal_flip": True}, "precision": "mixed_bfloat16"}

    check_fit(recipe(steps=FINETUNE, training=training), MODEL, DATA)


def test_true_stands_for_small_shifts_without_flips_and_false_for_nothing() -> None:
    shifts: Any = recipe(steps=FINETUNE, training={"augment": True}).training.augment

    assert (shifts.shift, shifts.horizontal_flip, shifts.vertical_flip) == (0.1, False, False)
    assert recipe(steps=FINETUNE, training={"augment": False}).training.augment is None
    assert recipe(steps=FINETUNE, training={"augment": True}).model_dump()["training"]["augment"]["shift"] == 0.1


@pytest.mark.parametrize(
    "given",
    [
        {"steps": FINETUNE, "training": {"augment": {"shift": 0}}},
        {"steps": FINETUNE, "training": {"class_weight": {"0": 0.0}}},
        {
            "steps": [{"kind": "prune", "sparsity": 0.5, "toolkit": "tfmot"}],
            "training": {"precision": "mixed_float16"},
        },
    ],
    ids=["an augmentation that does nothing", "a weight of nothing", "mixed precision with tfmot"],
)
def test_a_training_that_contradicts_itself_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        recipe(**given)
