from typing import Any, get_args

import pytest

from jobspec import pruning
from jobspec.methods import METHODS
from jobspec.spec import Scheme


@pytest.mark.parametrize(
    ("axis", "choices"),
    [
        ("criteria", get_args(pruning.Criterion)),
        ("structures", get_args(pruning.Structure)),
        ("distributions", get_args(pruning.Distribution)),
        (
            "schedules",
            [kind.model_fields["kind"].default for kind in (pruning.OneShot, *get_args(pruning.TrainedSchedule))],
        ),
        ("schemes", get_args(Scheme)),
        ("toolkits", get_args(pruning.Toolkit)),
    ],
)
def test_the_catalogue_has_every_choice_of_the_spec_and_no_other(axis: str, choices: Any) -> None:
    assert set(METHODS[axis]) == set(choices)
