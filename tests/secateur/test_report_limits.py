"""What a child may say fits into an event, whatever it says."""

import pytest

from secateur.errors import FieldError, SummaryTooLarge
from secateur.protocol.progress import EVENT, Failed, ProducedFile, Succeeded
from secateur.reports.summaries import DatasetSummary, LayerInfo, ModelSummary, encoded
from tests.secateur.test_stored import OLD_DATASET, OLD_SUMMARY
from workers.supervision.process import LINE_BYTES

WORST = "\1" * 10_000
"""Control characters take six bytes each in JSON, more than any other."""


def test_the_longest_failure_fits_into_an_event() -> None:
    """A fault that names every layer of a large model is its user's to read, not a lie of the child."""
    errors = tuple(FieldError(field=WORST, messages=(WORST,) * 200) for _ in range(200))
    fault = SummaryTooLarge(WORST, errors=errors, suggestions=[WORST] * 200).failure(WORST)

    assert len(EVENT.dump_json(Failed(failure=fault))) < LINE_BYTES


def test_the_longest_list_of_files_fits_into_an_event() -> None:
    files = (ProducedFile(name="n" * 128, media_type="application/" + "x" * 100),) * 10_000

    assert len(EVENT.dump_json(Succeeded(files=files))) < LINE_BYTES


def test_as_many_layers_as_a_model_may_have_can_be_told() -> None:
    """5,000 of them, the bound of the screening, with names as long as deep models have them."""
    names = [f"{number:0200d}" for number in range(5_000)]
    layers = [LayerInfo(name=name, class_name="Dense", num_params=1, scaled_by=name) for name in names]
    group = {"num_channels": 8, "params_per_channel": 1.0, "macs_per_channel": 1.0}
    groups = [group | {"name": name, "layers": (name,), "readers": (name,)} for name in names]

    text = encoded(ModelSummary.model_validate(OLD_SUMMARY | {"layers": layers, "groups": groups}))

    assert ModelSummary.model_validate_json(text).layers[-1].name == names[-1]


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (ModelSummary.model_validate(OLD_SUMMARY | {"name": "n" * (8 << 20)}), "(1 layers, 0 groups of channels"),
        (DatasetSummary.model_validate(OLD_DATASET | {"classes": ["c" * (8 << 20)]}), "(1 classes with 8388608"),
    ],
    ids=["model", "data set"],
)
def test_what_is_too_long_to_be_kept_is_refused_with_what_makes_it_long(
    summary: ModelSummary | DatasetSummary, said: str
) -> None:
    with pytest.raises(SummaryTooLarge) as raised:
        encoded(summary)

    assert said in raised.value.detail
    assert raised.value.suggestions
