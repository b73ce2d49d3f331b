"""What a search's spec says and refuses, and where it looks next."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from secateur.reports.search import SearchTrial, next_sparsity
from secateur.specs.channels import PruneChannels
from secateur.specs.kinds import JobSpec
from secateur.specs.pruning import Prune
from secateur.specs.search import SearchRecipe, SearchSpec

IDS = {"model_id": "mdl_" + "0" * 20, "dataset_id": "dst_" + "0" * 20}
WEIGHTS = {"kind": "prune", "schedule": {"kind": "one_shot"}}


def trial(sparsity: float, met: bool) -> SearchTrial:
    return SearchTrial(sparsity=sparsity, met=met, seconds=1.0)


def test_two_ids_and_a_kind_are_a_search_for_one_point() -> None:
    spec = TypeAdapter(JobSpec).validate_python({"kind": "search", **IDS})

    assert isinstance(spec, SearchSpec)
    assert (spec.goals.max_accuracy_drop, spec.on_goals_missed) == (0.01, "fail")
    assert TypeAdapter(JobSpec).validate_json(spec.model_dump_json()) == spec


def test_the_amount_that_the_step_names_is_what_is_looked_for() -> None:
    weights = SearchRecipe.model_validate({"steps": [WEIGHTS, {"kind": "quantize"}], "seed": 3}).recipe_of(0.7)
    macs = SearchRecipe.model_validate({"steps": [{"kind": "prune", "structure": "channel", "macs": 0.5}]})

    assert isinstance(weights.steps[0], Prune)
    assert (weights.steps[0].sparsity, weights.steps[1].kind, weights.seed) == (0.7, "quantize", 3)
    assert isinstance(cut := macs.recipe_of(0.25).steps[0], PruneChannels)
    assert cut.amount == ("macs", 0.25)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no cut": ({"steps": [{"kind": "finetune"}]}, "exactly one prune step"),
    "two cuts": ({"steps": [WEIGHTS, WEIGHTS]}, "this one has 2"),
    "a threshold": ({"steps": [WEIGHTS | {"criterion": "threshold", "threshold": 1.0}]}, "decide themselves"),
    "all of it": ({"highest": 1.0}, "less than 1"),
    "no trials": ({"budget": {"trials": 0}}, "greater than or equal to 1"),
    "a ramp that begins above what may be tried": (
        {"steps": [{"kind": "prune", "schedule": {"kind": "polynomial", "initial_sparsity": 0.3}}]},
        "leave out schedule.initial_sparsity",
    ),
    "nothing between resolution and highest": ({"highest": 0.01}, "must lie above the resolution"),
    "a criterion that is no name": ({"steps": [WEIGHTS | {"criterion": []}]}, "criterion"),
    "a bound below zero": ({"goals": {"max_accuracy_drop": -0.1}}, "greater than or equal to 0"),
}


@pytest.mark.parametrize(("changes", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_search_is_refused_with_the_reason(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SearchRecipe.model_validate(changes)

    assert told in str(caught.value)


def test_it_goes_up_after_a_trial_that_met_the_goals_and_down_after_one_that_did_not() -> None:
    up = next_sparsity([trial(0.9, True)], highest=0.99, resolution=0.01)
    down = next_sparsity([trial(0.9, False)], highest=0.99, resolution=0.01)

    assert up == 0.968
    assert down == 0.684


@given(edge=st.floats(0.0, 1.0), highest=st.floats(0.5, 0.999), resolution=st.floats(0.005, 0.2))
def test_it_closes_in_on_the_edge_in_few_trials(edge: float, highest: float, resolution: float) -> None:
    """Whatever the edge: trials differ, nothing above the highest is tried, and the answer is within the resolution."""
    trials: list[SearchTrial] = []
    while (sparsity := next_sparsity(trials, highest=highest, resolution=resolution)) is not None:
        trials.append(trial(sparsity, sparsity <= edge))

    tried = [each.sparsity for each in trials]
    found = max((each.sparsity for each in trials if each.met), default=0.0)
    assert len(set(tried)) == len(tried) <= 20
    assert all(0 < sparsity < highest for sparsity in tried)
    assert found <= edge
    assert min(edge, highest) - found <= resolution + 0.002


def test_a_trial_that_met_the_goals_above_one_that_did_not_counts() -> None:
    """Accuracy is no falling line: the highest that met them is the answer."""
    assert next_sparsity([trial(0.5, False), trial(0.8, True)], highest=0.9, resolution=0.01) == 0.859


def test_a_search_must_end_before_its_job_does() -> None:
    """At the limit the child is killed, and what it has found is lost."""
    with pytest.raises(ValidationError, match=r"must lie below limits\.max_runtime_seconds 600"):
        SearchSpec.model_validate({"kind": "search", **IDS, "limits": {"max_runtime_seconds": 600}})
