from typing import Any

import pytest

from secateur.errors import (
    CriterionUnserved,
    LayerNotPrunable,
    NothingToPrune,
    SecateurError,
    StructureMismatch,
    UnknownLayer,
)
from secateur.reports.summaries import ChannelGroup, DatasetSummary, LayerInfo, ModelSummary, SplitInfo, TensorInfo
from secateur.specs.channels import PruneChannels
from secateur.specs.spec import Recipe
from secateur.validation.channels import check_channels, share_named, why_left_alone
from secateur.validation.fit import check_fit


def group(name: str, *others: str, **more: Any) -> ChannelGroup:
    fields = {"num_channels": 32, "params_per_channel": 9.0, "macs_per_channel": 99.0, "scaled": True} | more
    return ChannelGroup(name=name, layers=(name, *others), **fields)


def layer(name: str, kind: str = "Conv2D") -> LayerInfo:
    return LayerInfo(name=name, class_name=kind, num_params=1, prunable=kind == "Conv2D")


STEM = group("stem", tags=("first",), readers=("left",))
TRUNK = group("left", "right", tags=("shortcut",), readers=("wide",))
WIDE = group("wide", readers=("shuffled",))
SHUFFLED = group("shuffled", frozen=("keras.ops.roll moves its channels", "the output reads it"))
GROUPS = (STEM, TRUNK, WIDE, SHUFFLED)
MODEL = ModelSummary(
    name="m",
    inputs=(TensorInfo(name="x", shape=(None, 8, 8, 3), dtype="float32"),),
    outputs=(TensorInfo(name="y", shape=(None, 10), dtype="float32"),),
    num_params=1,
    num_macs=1,
    layers=(*map(layer, ("stem", "left", "right", "wide", "shuffled")), layer("join", "Add"), layer("head", "Dense")),
    groups=GROUPS,
)
DATA = DatasetSummary(
    splits={"train": SplitInfo(num_samples=10), "test": SplitInfo(num_samples=5)},
    sample_shape=(8, 8, 3),
    sample_dtype="uint8",
    sample_min=0,
    sample_max=255,
    label_shape=(),
    label_dtype="int64",
    label_kind="classes",
    num_classes=10,
)


def step(**fields: Any) -> PruneChannels:
    return PruneChannels.model_validate({"macs": 0.5} | fields)


def check(*groups: ChannelGroup, **fields: Any) -> None:
    model = MODEL.model_copy(update={"groups": groups or GROUPS})
    check_channels(step(**fields), model, field="steps.0")


def refused(error: type[SecateurError], *groups: ChannelGroup, **fields: Any) -> SecateurError:
    with pytest.raises(error) as caught:
        check(*groups, **fields)
    return caught.value


def test_what_fits_passes() -> None:
    check()
    check(layers={"right": 0.5, "wide": 0.0}, skip_layers=["stem", "head", "join"])


@pytest.mark.parametrize("field", ["layers", "skip_layers"])
def test_an_unknown_layer_is_named_with_layers_of_a_similar_name(field: str) -> None:
    fault = refused(UnknownLayer, **{field: {"wid": 0.5} if field == "layers" else ["wid"]})

    assert fault.errors[0].field == f"steps.0.{field}"
    assert "wide" in fault.suggestions[0]
    assert "stem, left" in refused(UnknownLayer, skip_layers=["0"]).suggestions[0]


def test_a_layer_that_only_reads_channels_is_told_whose() -> None:
    reading = group("wide", readers=("head",))

    fault = refused(LayerNotPrunable, reading, layers={"head": 0.5})

    assert fault.errors[0].field == "steps.0.layers"
    assert "'head' (Dense) cannot be pruned: it makes no channels" in fault.detail
    assert "the channels of wide" in fault.suggestions[0]


def test_a_frozen_layer_is_refused_with_every_reason() -> None:
    fault = refused(LayerNotPrunable, layers={"shuffled": 0.5})

    assert "keras.ops.roll moves its channels; the output reads it" in fault.detail


def test_a_layer_with_channels_that_can_go_beside_some_that_cannot_may_be_named() -> None:
    check(group("lstm"), group("lstm", frozen=("its gates",)), layers={"lstm": 0.5})


@pytest.mark.parametrize(
    "fields",
    [{"layers": {"left": 0.5, "right": 0.25}}, {"layers": {"left": 0.5}, "skip_layers": ["right"]}],
    ids=["two shares", "cut and skipped"],
)
def test_layers_whose_channels_go_together_cannot_lose_different_shares(fields: dict[str, Any]) -> None:
    fault = refused(StructureMismatch, **fields)

    assert "left, right are coupled" in fault.detail
    assert "left 0.5, right 0" in fault.detail
    check(layers={"left": 0.5, "right": 0.5})


def test_a_step_that_would_cut_nothing_tells_why_and_what_would_free_groups() -> None:
    fault = refused(NothingToPrune, skip_layers=["wide"])

    for reason in ("stem: it reads the model's input", "left: a shortcut joins it", "wide: skip_layers", "ops.roll"):
        assert reason in fault.detail
    assert fault.suggestions[:2] == (
        '"spare": ["shortcut", "normalized"] frees stem.',
        '"spare": ["first", "normalized"] frees left.',
    )
    check(skip_layers=["wide"], spare=["first"])


def test_only_what_would_really_be_cut_is_promised() -> None:
    narrow = group("narrow", num_channels=8, tags=("first",))

    fault = refused(NothingToPrune, narrow, group("both", tags=("first", "shortcut")))

    assert fault.suggestions[0] == '"spare": ["normalized"] frees both.'
    assert "narrow" not in " ".join(fault.suggestions)


def test_to_name_a_spared_group_is_to_cut_it() -> None:
    check(STEM, layers={"stem": 0.5})

    refused(NothingToPrune, STEM, layers={"stem": 0.0})


def test_a_group_of_no_more_channels_than_the_multiple_cannot_be_cut() -> None:
    narrow = group("narrow", num_channels=8)

    fault = refused(NothingToPrune, narrow)

    assert "narrow: it has 8 channels, and a multiple of 8 stays" in fault.detail
    assert "channel_multiple below 8" in fault.suggestions[0]
    check(narrow, channel_multiple=4)


def test_heads_go_one_by_one() -> None:
    check(group("attention", num_channels=4, unit="heads"))

    refused(NothingToPrune, group("attention", num_channels=1, unit="heads"))


def test_bn_scale_names_the_groups_that_nothing_scales() -> None:
    plain = group("plain", scaled=False)

    fault = refused(CriterionUnserved, WIDE, plain, criterion="bn_scale", skip_layers=["stem"])

    assert "plain: no normalisation scales its channels" in fault.detail
    assert "wide:" not in fault.detail
    assert '"skip_layers": ["stem", "plain"]' in fault.suggestions[0]
    check(WIDE, plain, criterion="bn_scale", skip_layers=["plain"])


def test_a_model_that_was_checked_before_there_were_groups_is_left_to_the_engine() -> None:
    old = MODEL.model_copy(update={"groups": (), "num_macs": None})

    check_channels(step(layers={"wide": 0.5}), old)
    with pytest.raises(NothingToPrune, match="No layer produces channels"):
        check_channels(step(), MODEL.model_copy(update={"groups": ()}))


def test_a_later_step_may_name_any_layer_as_before() -> None:
    channels = {"kind": "prune", "structure": "channel", "macs": 0.5}
    zeros = {"kind": "prune", "sparsity": 0.5, "layers": {"stem": 0.3}}

    check_fit(Recipe.model_validate({"steps": [channels, zeros]}), MODEL, DATA)

    with pytest.raises(LayerNotPrunable) as caught:
        check_fit(Recipe.model_validate({"steps": [zeros, channels | {"layers": {"head": 0.5}}]}), MODEL, DATA)
    assert caught.value.errors[0].field == "steps.1.layers"


def test_why_a_group_is_left_alone_is_told_by_what_weighs_most() -> None:
    assert why_left_alone(step(spare=[]), SHUFFLED) == "keras.ops.roll moves its channels; the output reads it"
    assert why_left_alone(step(skip_layers=["stem"]), STEM) == "skip_layers or a 0 in layers names it"
    assert why_left_alone(step(layers={"right": 0.5}), TRUNK) is None
    assert share_named(step(layers={"right": 0.5}), TRUNK) == 0.5
    assert share_named(step(skip_layers=["right"]), TRUNK) == 0.0
    assert share_named(step(), TRUNK) is None
