"""What an upload's check finds out about a model is there for whoever plans a job."""

from jobspec.summaries import ModelSummary
from tests.e2e.conftest import Inputs, Service


def test_a_checked_model_tells_its_groups_of_channels_and_what_they_cost(service: Service, inputs: Inputs) -> None:
    """Before any job: what could go, what each channel saves, and what is frozen and why."""
    answer = service.http.get(f"/v1/models/{inputs.model_id}").json()

    summary = ModelSummary.model_validate(answer["summary"])

    assert summary.num_macs == sum(layer.num_macs for layer in summary.layers) > 0
    assert summary.groups[-1].frozen == ("it makes an output of the model",)
    for group in summary.groups[:-1]:
        assert not group.frozen
        assert (group.params_per_channel > 0, group.macs_per_channel > 0) == (True, True)
        assert set(group.layers + group.readers) <= {layer.name for layer in summary.layers}
