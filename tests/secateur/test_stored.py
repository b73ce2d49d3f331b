"""What an earlier version has stored must still be read: rows and files outlive the code that wrote them."""

from typing import Any

from secateur.reports.report import GroupCut, Report
from secateur.reports.summaries import DatasetSummary, ModelSummary, SampleInfo
from tests.reporting import factory

OLD_LAYER = {"name": "conv", "class_name": "Conv2D", "num_params": 80, "kernel_shape": [3, 3, 1, 8], "prunable": True}
OLD_SUMMARY: dict[str, Any] = {
    "name": "m",
    "inputs": [{"name": "x", "shape": [None, 8, 8, 1], "dtype": "float32"}],
    "outputs": [{"name": "y", "shape": [None, 10], "dtype": "float32"}],
    "num_params": 80,
    "layers": [OLD_LAYER],
}
OLD_DATASET: dict[str, Any] = {
    "splits": {"train": {"num_samples": 9}, "test": {"num_samples": 3}},
    "sample_shape": [8, 8],
    "sample_dtype": "uint8",
    "sample_min": 0.0,
    "sample_max": 255.0,
    "label_shape": [],
    "label_dtype": "int64",
    "label_kind": "classes",
    "num_classes": 10,
}
GROUP = {"name": "conv", "layers": ["conv"], "num_channels": 8, "params_per_channel": 10.0, "macs_per_channel": 648.0}


def test_a_summary_from_before_there_were_groups_is_read() -> None:
    old = ModelSummary.model_validate(OLD_SUMMARY)

    assert (old.groups, old.num_macs, old.layers[0].num_macs) == ((), None, 0)


def test_a_summary_keeps_its_groups() -> None:
    new = ModelSummary.model_validate(OLD_SUMMARY | {"num_macs": 5184, "groups": [GROUP | {"tags": ["first"]}]})

    assert new.groups[0].tags == ("first",)
    assert new.groups[0].unit == "channels"
    assert ModelSummary.model_validate_json(new.model_dump_json()) == new


def test_a_report_from_before_channels_could_go_is_read() -> None:
    report = factory.report()
    old = report.model_dump(mode="json", exclude={"groups": True, "baseline": {"num_macs"}, "result": {"num_macs"}})

    assert "groups" not in old
    assert Report.model_validate(old) == report


def test_a_report_keeps_what_went_of_each_group() -> None:
    cut = GroupCut(name="conv", layers=("conv",), before=16, after=8, params_saved=640, macs_saved=41_472)
    spared = GroupCut(name="stem", layers=("stem",), before=16, after=16, spared="it reads the model's input (spare)")
    report = factory.report(groups=(cut, spared))

    assert Report.model_validate_json(report.model_dump_json()).groups == (cut, spared)


def test_a_data_set_from_before_inputs_had_names_is_read() -> None:
    old = DatasetSummary.model_validate(OLD_DATASET)

    assert old.inputs == {}
    assert old.samples() == {"": SampleInfo(shape=(8, 8), dtype="uint8", min=0, max=255)}
