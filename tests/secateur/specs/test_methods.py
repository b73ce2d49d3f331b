from typing import Any, get_args

import pytest

from secateur.specs import channels, metrics, pruning, spec, training
from secateur.specs.methods import METHODS


@pytest.mark.parametrize(
    ("axis", "choices"),
    [
        ("criteria", get_args(pruning.Criterion)),
        ("structures", spec.STRUCTURES),
        ("distributions", get_args(pruning.Distribution)),
        (
            "schedules",
            [kind.model_fields["kind"].default for kind in (pruning.OneShot, *get_args(pruning.TrainedSchedule))],
        ),
        ("channel_criteria", get_args(channels.ChannelCriterion)),
        ("channel_distributions", get_args(channels.ChannelDistribution)),
        ("channel_amounts", get_args(channels.Amount)),
        ("channel_spare", get_args(channels.GroupTag)),
        ("metrics", get_args(metrics.Metric)),
        ("learning_rate_schedules", get_args(training.RateSchedule)),
        ("schemes", get_args(spec.Scheme)),
        ("toolkits", get_args(pruning.Toolkit)),
    ],
)
def test_the_catalogue_has_every_choice_of_the_spec_and_no_other(axis: str, choices: Any) -> None:
    assert set(METHODS[axis]) == set(choices)
