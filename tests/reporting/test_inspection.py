"""The tables of a checked model answer what an engineer asks before any job, and the advice they give is true."""

import re

from secateur.reports.summaries import ChannelGroup, LayerInfo, ModelSummary, TensorInfo
from secateur.specs.channels import PruneChannels
from secateur.text.inspection import model_table, sentences
from secateur.validation.channels import why_left_alone
from tests.reporting.test_terminal import printed


def group(name: str, num_channels: int = 64, **given: object) -> ChannelGroup:
    fields = {"layers": (name,), "params_per_channel": 145, "macs_per_channel": 2_500}
    return ChannelGroup.model_validate(fields | {"name": name, "num_channels": num_channels} | given)


GROUPS = (
    group("stem", tags=("first", "shortcut"), layers=("stem", "add_1", "add_2", "add_3", "add_4", "add_5")),
    group("join", tags=("shortcut",)),
    group("wide", num_channels=1_280),
    group("thin", num_channels=6),
    group("classes", num_channels=10, frozen=("it makes an output of the model",)),
)


def summary(groups: tuple[ChannelGroup, ...] = GROUPS) -> ModelSummary:
    return ModelSummary(
        name="[red]resnet[/red]",
        inputs=(TensorInfo(name="image", shape=(None, 32, None, 3), dtype="float32"),),
        outputs=(TensorInfo(name="classes", shape=(None, 10), dtype="float32"),),
        num_params=78_666,
        num_macs=12_501_632,
        layers=(
            LayerInfo(name="stem", class_name="Conv2D", num_params=448, num_macs=442_368, prunable=True),
            LayerInfo(name="relu", class_name="ReLU", num_params=0, reason="it has no weights"),
        ),
        groups=groups,
        loss="mean_squared_error",
    )


def test_the_model_its_layers_and_its_groups_are_told_with_what_they_cost() -> None:
    shown = printed(model_table(summary()))
    rows = [line.split() for line in shown.splitlines()]

    assert "[red]resnet[/red]" in shown
    assert "78,666 parameters, 12.5 M multiply-accumulates a sample" in shown.replace("\N{NO-BREAK SPACE}", " ")
    assert "image (32, any, 3) → classes (10)" in shown
    assert "Axes of any size count as 1" in shown
    assert ["stem", "Conv2D", "448", "442,368"] in rows
    assert not any(row[:1] == ["relu"] for row in rows)
    assert "1 layer without weights" in shown
    assert ["wide", "1,280", "145", "2,500", "13\N{NO-BREAK SPACE}%"] in [line.split(" ") for line in _squeezed(shown)]
    assert "and 2 more" in shown


def test_frozen_groups_have_their_reason_and_no_savings() -> None:
    row = next(line for line in _squeezed(printed(model_table(summary()))) if line.startswith("classes 10"))

    assert row == "classes 10 – – – frozen: it makes an output of the model"


def test_the_way_to_free_a_group_that_is_told_does_free_it() -> None:
    """Advice that a next request refuses is worse than none."""
    told = list(sentences(GROUPS))

    assert told[0].startswith("5 groups: 1 cut by a step of structure channel with its defaults, 3 spared, 1 frozen")
    for name in ("stem", "join", "thin"):
        sentence = next(each for each in told[1:] if each.startswith(name))
        spare = re.search(r'"spare": \[(.*?)\]', sentence)
        multiple = re.search(r'"channel_multiple": (\d+)', sentence)
        step = PruneChannels(
            macs=0.5,
            spare=tuple(re.findall(r'"(\w+)"', spare[1])) if spare else PruneChannels(macs=0.5).spare,  # type: ignore[arg-type]
            channel_multiple=int(multiple[1]) if multiple else 8,
        )
        assert why_left_alone(step, next(each for each in GROUPS if each.name == name)) is None


def test_a_model_that_was_checked_before_there_were_groups_has_no_table_of_them() -> None:
    shown = printed(model_table(summary(groups=()).model_copy(update={"num_macs": None})))

    assert "Groups" not in shown
    assert "multiply-accumulates" not in shown


def test_a_narrow_terminal_cuts_no_number_off() -> None:
    shown = printed(model_table(summary()), width=80)

    assert "…" not in shown
    assert "12,501,632" not in shown
    assert "442,368" in shown


def _squeezed(shown: str) -> list[str]:
    return [re.sub(" +", " ", line).strip() for line in shown.splitlines()]


def test_layers_that_compute_and_are_in_no_group_are_named() -> None:
    """A layer that is simply missing from the list looks like a mistake of the reader."""
    odd = LayerInfo(name="odd", class_name="ConvLSTM2D", num_params=9, num_macs=9)
    deep = LayerInfo(name="deep", class_name="DepthwiseConv2D", num_params=9, num_macs=9)

    shown = printed(model_table(summary().model_copy(update={"layers": (*summary().layers, odd, deep)})))

    assert "nothing is known of channels that they make: odd (ConvLSTM2D)." in shown
