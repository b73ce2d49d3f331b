"""Does a prune step that takes channels away fit this model? Asked with the rest of ``secateur.validation.fit``.

Over the groups that the model's check found. What depends on how many channels each group keeps (whether a target can
be reached) only the engine knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from secateur.errors import CriterionUnserved, FieldError, NothingToPrune, StructureMismatch
from secateur.reports.summaries import ChannelGroup, ModelSummary
from secateur.specs.channels import GroupTag, PruneChannels
from secateur.validation.layers import check_known, mismatch, not_prunable

EXCLUDED: Final[Mapping[GroupTag, str]] = {
    "first": "it reads the model's input",
    "shortcut": "a shortcut joins it",
    "normalized": "a normalisation mixes its channels",
}
"""Why a group of each tag is better left alone."""


def check_channels(step: PruneChannels, model: ModelSummary, *, field: str = "") -> None:
    """The step names layers of groups that can be cut, and something is left to cut.

    A model that was checked before there were groups passes; the engine, which finds them, asks again.

    Args:
        field: where the step stands in the spec; nothing when its fields are the spec's own.

    Raises:
        UnknownLayer: ``layers`` or ``skip_layers`` names what the model lacks.
        LayerNotPrunable: ``layers`` names a layer of no group, or of one that is frozen.
        StructureMismatch: two layers of one group are to lose different shares.
        NothingToPrune: every group is left alone.
        CriterionUnserved: a group that is cut lacks what the criterion looks at.
    """
    inside = f"{field}." if field else ""
    check_known(step.layers, model, field=f"{inside}layers")
    check_known(step.skip_layers, model, field=f"{inside}skip_layers")
    if not model.groups and model.num_macs is None:
        return
    for name in step.layers:
        _check_cuttable(name, model, field=f"{inside}layers")
    _check_agreement(step, model.groups, field=f"{inside}layers")
    left = [group for group in model.groups if why_left_alone(step, group) is None]
    if not left:
        raise _nothing_left(step, model, field)
    unscaled = {group.layers[0]: "no normalisation scales its channels" for group in left if not group.scaled}
    if step.criterion == "bn_scale" and unscaled:
        what, where = "criterion bn_scale", f"{inside}criterion"
        raise mismatch(CriterionUnserved, what, unscaled, field=where, skip_layers=step.skip_layers)


def share_named(step: PruneChannels, group: ChannelGroup) -> float | None:
    """The share of a group's channels that the step asks for by name; 0 when it skips the group, None for neither."""
    return next((share for _, share in _named(step, group)), None)


def why_left_alone(step: PruneChannels, group: ChannelGroup) -> str | None:
    """Why no channel of a group goes; None for a group that is cut.

    >>> group = ChannelGroup(name="a", layers=("a",), num_channels=16, params_per_channel=1, macs_per_channel=1,
    ...                      tags=("first",))
    >>> why_left_alone(PruneChannels(macs=0.5), group)
    "it reads the model's input (spare)"
    >>> why_left_alone(PruneChannels(macs=0.5, layers={"a": 0.3}), group)
    """
    if group.frozen:
        return "; ".join(group.frozen)
    if (share := share_named(step, group)) == 0.0:
        return "skip_layers or a 0 in layers names it"
    if share is None and step.named_only:
        return "layers does not name it"
    if share is None and (tags := _spared(step, group)):
        return " and ".join(EXCLUDED[tag] for tag in tags) + " (spare)"
    if group.num_channels <= (multiple := step.multiple_of(group.unit)):
        return f"it has {group.num_channels} {group.unit}, and a multiple of {multiple} stays"
    return None


def _named(step: PruneChannels, group: ChannelGroup) -> Iterator[tuple[str, float]]:
    yield from ((name, share) for name, share in step.layers.items() if name in group.layers)
    yield from ((name, 0.0) for name in step.skip_layers if name in group.layers)


def _spared(step: PruneChannels, group: ChannelGroup) -> tuple[GroupTag, ...]:
    return tuple(tag for tag in group.tags if tag in step.spare)


def _check_cuttable(name: str, model: ModelSummary, *, field: str) -> None:
    groups = [group for group in model.groups if name in group.layers]
    if not groups:
        feeding = [group.layers[0] for group in model.groups if name in group.readers]
        hints = [f"It reads the channels of {', '.join(feeding)}: name that to cut those."] if feeding else []
        raise not_prunable(name, model, "it makes no channels that could go", field=field, suggestions=hints)
    if all(group.frozen for group in groups):
        reasons = dict.fromkeys(reason for group in groups for reason in group.frozen)
        raise not_prunable(name, model, "; ".join(reasons), field=field)


def _check_agreement(step: PruneChannels, groups: Sequence[ChannelGroup], *, field: str) -> None:
    for group in groups:
        named = dict(_named(step, group))
        if len(set(named.values())) > 1:
            told = ", ".join(f"{name} {share:g}" for name, share in named.items())
            raise StructureMismatch(
                f"The channels of {', '.join(group.layers)} are coupled and can only be removed together, but the step "
                f"asks for different shares: {told}.",
                errors=[FieldError(field=field, messages=(f"one group, different shares: {told}",))],
                suggestions=[f"Set a share for one of these layers only, and remove: {', '.join(list(named)[1:])}."],
            )


def _nothing_left(step: PruneChannels, model: ModelSummary, field: str) -> NothingToPrune:
    reasons = {group.name: why_left_alone(step, group) for group in model.groups}
    told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "No layer produces channels"
    freed: dict[tuple[GroupTag, ...], list[str]] = {}
    for group in model.groups:
        spared = _spared(step, group)
        rest = step.model_copy(update={"spare": tuple(tag for tag in step.spare if tag not in spared)})
        if spared and why_left_alone(rest, group) is None:
            freed.setdefault(rest.spare, []).append(group.name)
    return NothingToPrune(
        f"No channels of {model.name!r} are left to prune. {told}.",
        errors=[FieldError(field=field, messages=("no channels are left to prune",))] if field else (),
        suggestions=[
            *(f'"spare": [{_quoted(rest)}] frees {", ".join(names)}.' for rest, names in freed.items()),
            *_smaller_multiple(step, model.groups),
            "Take layers out of skip_layers, or leave out the prune step.",
        ],
    )


def _smaller_multiple(step: PruneChannels, groups: Sequence[ChannelGroup]) -> Iterator[str]:
    finest = step.model_copy(update={"channel_multiple": 1, "spare": ()})
    widths = [group.num_channels for group in groups if why_left_alone(finest, group) is None]
    if widths and max(widths) <= step.channel_multiple:
        yield f"A channel_multiple below {max(widths)} lets channels go."


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
