"""What a sweep's spec says and refuses, and how trials become points."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from secateur.reports.sweep import TrialResult, deviation, points_of
from secateur.specs.channels import PruneChannels
from secateur.specs.kinds import JobSpec
from secateur.specs.pruning import Prune
from secateur.specs.sweep import SweepRecipe, SweepSpec, Trial
from tests.reporting.factory import report

IDS = {"model_id": "mdl_" + "0" * 20, "dataset_id": "dst_" + "0" * 20}
WEIGHTS = {"kind": "prune", "schedule": {"kind": "one_shot"}}
CHANNELS = {"kind": "prune", "structure": "channel", "macs": 0.5}
TUNE = {"kind": "finetune", "epochs": 1}


def recipe(**changes: Any) -> SweepRecipe:
    return SweepRecipe.model_validate({"methods": {"a": [WEIGHTS]}, "sparsities": [0.5, 0.9]} | changes)


def test_two_ids_and_a_kind_are_a_sweep() -> None:
    spec = TypeAdapter(JobSpec).validate_python({"kind": "sweep", **IDS})

    assert isinstance(spec, SweepSpec)
    assert len(spec.trials()) == 8
    assert TypeAdapter(JobSpec).validate_json(spec.model_dump_json()) == spec


def test_every_method_meets_every_sparsity_with_every_seed_and_the_first_seed_shows_the_whole_curve() -> None:
    swept = recipe(methods={"a": [WEIGHTS], "b": [CHANNELS]}, seeds=2, seed=7)

    assert swept.trials()[:4] == (Trial("a", 0.5, 7), Trial("b", 0.5, 7), Trial("a", 0.9, 7), Trial("b", 0.9, 7))
    assert {trial.seed for trial in swept.trials()[4:]} == {8}
    assert len(set(swept.trials())) == len(swept.trials()) == 8


def test_the_amount_that_a_step_names_takes_the_values_and_its_neighbours_stay() -> None:
    swept = recipe(methods={"a": [WEIGHTS, TUNE], "b": [CHANNELS]})

    weights, tune = swept.recipe_of(Trial("a", 0.9, 3)).steps
    (channels,) = swept.recipe_of(Trial("b", 0.9, 3)).steps

    assert isinstance(weights, Prune)
    assert isinstance(channels, PruneChannels)
    assert (weights.sparsity, channels.amount, tune.kind) == (0.9, ("macs", 0.9), "finetune")
    assert swept.recipe_of(Trial("b", 0.9, 3)).seed == 3


def test_a_random_baseline_differs_in_its_criterion_alone() -> None:
    swept = recipe(methods={"b": [CHANNELS, TUNE]}, random_baseline=True)

    ours, random = (swept.recipe_of(Trial(name, 0.5, 0)).model_dump()["steps"] for name in swept.names)

    assert swept.names == ("b", "b, random")
    assert random[0] == ours[0] | {"criterion": "random"}
    assert random[1] == ours[1]


def test_the_job_of_a_trial_has_what_the_sweep_was_given() -> None:
    asked = {"limits": {"max_runtime_seconds": 60}, "labels": {"team": "vision"}, "training": {"batch_size": 32}}
    spec = SweepSpec.model_validate({"kind": "sweep", **IDS, **asked, "data": {"scale": "1/255"}})

    job = spec.job_of(spec.trials()[0])

    assert (job.model_id, job.labels, job.limits.max_runtime_seconds) == (IDS["model_id"], {"team": "vision"}, 60)
    assert (job.training.batch_size, job.data.scale) == (32, "1/255")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "falling sparsities": ({"sparsities": [0.9, 0.5]}, "sparsities must rise"),
    "all of it": ({"sparsities": [0.5, 1.0]}, "less than 1"),
    "no cut": ({"methods": {"a": [TUNE]}}, "exactly one prune step, this one has 0"),
    "two cuts": ({"methods": {"a": [WEIGHTS, CHANNELS]}}, "this one has 2"),
    "no steps": ({"methods": {"a": []}}, "at least 1 item"),
    "a misspelt structure": ({"methods": {"a": [CHANNELS | {"structure": "chanel"}]}}, "'channel'"),
    "a threshold": ({"methods": {"a": [WEIGHTS | {"criterion": "threshold", "threshold": 0.1}]}}, "decide themselves"),
    "a name of ours": ({"methods": {"a, random": [WEIGHTS]}}, "random baselines"),
    "a start above the first": (
        {"methods": {"a": [{"kind": "prune", "schedule": {"kind": "polynomial", "initial_sparsity": 0.6}}]}},
        "a at 0.5: Value error, schedule.initial_sparsity",
    ),
    "seeds past the last": ({"seed": 2**31 - 1, "seeds": 2}, "must lie below 2147483648"),
    "a criterion that is no name": ({"methods": {"a": [WEIGHTS | {"criterion": {}}]}}, "criterion"),
    "too many": ({"seeds": 20, "methods": {name: [WEIGHTS] for name in "abcdef"}}, "more than 200"),
}


@pytest.mark.parametrize(("changes", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_sweep_is_refused_with_the_reason(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        recipe(**changes)

    assert told in str(caught.value)


def test_points_are_means_over_seeds_and_count_what_failed() -> None:
    swept, variant = recipe(sparsities=[0.5], seeds=3), report().result

    def scored(seed: int, value: float | None) -> TrialResult:
        if value is None:
            return TrialResult(method="a", sparsity=0.5, seed=seed)
        score = variant.quality.score.model_copy(update={"value": value})
        quality = variant.quality.model_copy(update={"score": score})
        result = variant.model_copy(update={"quality": quality})
        return TrialResult(method="a", sparsity=0.5, seed=seed, result=result, baseline_p50_ms=3.0)

    (point,) = points_of(swept, [scored(0, 0.8), scored(1, 0.9), scored(2, None)])

    assert point.mean == pytest.approx(0.85)
    assert point.deviation == pytest.approx(deviation([0.8, 0.9]))
    assert (point.num_failed, point.times_faster) == (1, 3.0 / variant.latency.p50_ms)
