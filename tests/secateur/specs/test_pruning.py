"""The prune step: what goes together, and what is refused before anybody looks at a model."""

from typing import Any

import pytest
from pydantic import ValidationError

from secateur.specs.pruning import Prune

BAD = [
    pytest.param({}, "sparsity is needed", id="no sparsity"),
    pytest.param({"sparsity": 0.5, "threshold": 0.1}, "threshold goes with criterion threshold", id="stray threshold"),
    pytest.param({"criterion": "threshold"}, "criterion threshold needs threshold", id="no threshold"),
    pytest.param({"criterion": "std_threshold"}, "needs quality", id="no quality"),
    pytest.param({"criterion": "threshold", "threshold": 0.1, "sparsity": 0.5}, "leave out sparsity", id="two amounts"),
    pytest.param(
        {"criterion": "std_threshold", "quality": 1.0, "distribution": "global"},
        "leave out distribution",
        id="threshold and distribution",
    ),
    pytest.param({"structure": "n_m", "sparsity": 0.5}, "leave out sparsity: n_m", id="n_m and sparsity"),
    pytest.param({"structure": "n_m", "n_m": [4, 4]}, "fewer weights", id="4 of 4"),
    pytest.param({"structure": "n_m", "layers": {"a": 0.5}}, "same pattern", id="n_m and layers"),
    pytest.param(
        {"structure": "n_m", "criterion": "threshold", "threshold": 1.0}, "choose one", id="n_m and threshold"
    ),
    pytest.param({"sparsity": 0.5, "n_m": [1, 4]}, "n_m goes with structure n_m", id="stray n_m"),
    pytest.param({"sparsity": 0.5, "block_shape": [1, 16]}, "block_shape goes with", id="stray block shape"),
    pytest.param({"sparsity": 0.5, "criterion": "l2_norm"}, "whole units", id="l2_norm of weights"),
    pytest.param(
        {"structure": "unit", "criterion": "threshold", "threshold": 0.1}, "single weights", id="threshold of units"
    ),
    pytest.param(
        {"sparsity": 0.5, "reconstruct": True, "schedule": {"kind": "constant"}}, "one_shot", id="repair and train"
    ),
    pytest.param({"toolkit": "tfmot", "sparsity": 0.5, "criterion": "wanda"}, "magnitude", id="tfmot and wanda"),
    pytest.param({"toolkit": "tfmot", "sparsity": 0.5, "distribution": "erk"}, "uniform", id="tfmot and erk"),
    pytest.param({"toolkit": "tfmot", "sparsity": 0.5, "structure": "unit"}, "block and n_m", id="tfmot and units"),
    pytest.param(
        {"toolkit": "tfmot", "sparsity": 0.5, "schedule": {"kind": "iterative"}}, "constant and", id="tfmot in cycles"
    ),
    pytest.param({"sparsity": 0.5, "sensitivity": {"sparsities": [0.5, 0.3]}}, "must rise", id="falling grid"),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_what_does_not_go_together_is_refused_with_what_to_change(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Prune.model_validate(fields)

    assert message in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "fields",
    [
        {"sparsity": 0.5},
        {"structure": "n_m", "n_m": [1, 4], "layers": {"stem": 0.0}},
        {"criterion": "std_threshold", "quality": 0.5, "layers": {"a": 0.5}},
        {"structure": "unit", "criterion": "fpgm", "sparsity": 0.5, "distribution": "lamp"},
        {"structure": "block", "block_shape": [1, 16], "sparsity": 0.5},
        {"sparsity": 0.5, "distribution": "sensitivity", "schedule": {"kind": "iterative", "cycles": 3}},
        {"toolkit": "tfmot", "sparsity": 0.5, "structure": "block", "schedule": {"kind": "constant"}},
    ],
)
def test_what_goes_together_reads_back_as_the_same_step(fields: dict[str, Any]) -> None:
    """A stored step has every default filled in; none of them may read as a choice of the user's."""
    step = Prune.model_validate(fields)

    assert Prune.model_validate_json(step.model_dump_json()) == step


def test_the_final_sparsity_is_known_unless_thresholds_decide() -> None:
    assert Prune(sparsity=0.5).final_sparsity == 0.5
    assert Prune(structure="n_m", n_m=(1, 4)).final_sparsity == 0.75
    assert Prune(criterion="threshold", threshold=0.1).final_sparsity is None
