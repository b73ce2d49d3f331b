"""A checked model as tables in the terminal: what an engineer wants to know before any job."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from secateur.reports.summaries import ChannelGroup, LayerInfo, ModelSummary, TensorInfo
from secateur.specs.channels import GroupTag, PruneChannels
from secateur.text import words
from secateur.validation.channels import EXCLUDED, why_left_alone

DEFAULT: Final = PruneChannels(macs=0.5)
"""The step whose defaults decide what is told to be spared; how much goes does not matter to that."""

NAME_WIDTH: Final = 16
"""Room for names that no number may take; longer ones are folded."""

MAX_NAMED: Final = 3
"""Layers of a group that are named; the others are counted."""


def model_table(summary: ModelSummary) -> RenderableType:
    """The model in a line, its layers with weights, its groups of channels, and how to free those that are spared."""
    parts: list[RenderableType] = [*_heading(summary), _layers(summary)]
    if summary.groups:
        parts += [_groups(summary), Text(), *(Text(sentence) for sentence in sentences(summary.groups))]
        parts += [Text(sentence) for sentence in _outside(summary)]
    return Group(*parts)


def sentences(groups: Sequence[ChannelGroup]) -> Iterator[str]:
    """How many groups a step cuts when it says nothing of them, and what it would have to say to cut the others."""
    num_frozen = sum(bool(group.frozen) for group in groups)
    num_cut = sum(why_left_alone(DEFAULT, group) is None for group in groups)
    yield (
        f"{len(groups)} {_plural('group', len(groups))}: {num_cut} cut by a step of structure channel with its "
        f"defaults, {len(groups) - num_cut - num_frozen} spared, {num_frozen} frozen."
    )
    freed: dict[tuple[GroupTag, ...], list[ChannelGroup]] = {}
    narrow = []
    for group in groups:
        rest = tuple(tag for tag in DEFAULT.spare if tag not in group.tags)
        if rest != DEFAULT.spare and _is_cut(group, spare=rest):
            freed.setdefault(rest, []).append(group)
        elif not _is_cut(group) and _is_cut(group, channel_multiple=1):
            narrow.append(group.name)
    for rest, named in freed.items():
        why = " and ".join(EXCLUDED[tag] for tag in DEFAULT.spare if tag not in rest)
        left = ", ".join(f'"{tag}"' for tag in rest)
        one = f'"layers": {{"{named[0].layers[0]}": 0.5}}'
        names = _listed([group.name for group in named])
        yield f'{names}: spared because {why}. Freed by "spare": [{left}], or one at a time by {one}.'
    if narrow:
        yield f'{_listed(narrow)}: too narrow. Freed by "channel_multiple": 1.'


def _outside(summary: ModelSummary) -> Iterator[str]:
    """Layers that compute and are in no group; a depthwise layer goes along with what it reads."""
    inside = {name for group in summary.groups for name in group.layers}
    found = [
        f"{layer.name} ({layer.class_name})"
        for layer in summary.layers
        if layer.num_macs and layer.num_params and layer.name not in inside and "Depthwise" not in layer.class_name
    ]
    if found:
        yield f"In no group, because nothing is known of channels that they make: {', '.join(found)}."


def _is_cut(group: ChannelGroup, **changed: object) -> bool:
    return why_left_alone(DEFAULT.model_copy(update=changed), group) is None


def _heading(summary: ModelSummary) -> Iterator[RenderableType]:
    macs = "" if summary.num_macs is None else f", {words.amount(summary.num_macs)} multiply-accumulates a sample"
    yield Text(summary.name, style="bold")
    yield Text(f"{words.count(summary.num_params)} parameters{macs}")
    yield Text(f"{_tensors(summary.inputs)} {ARROW} {_tensors(summary.outputs)}")
    if macs and any(size is None for tensor in summary.inputs for size in tensor.shape[1:]):
        yield Text("Axes of any size count as 1: build the model with the sizes that it will see to know its costs.")
    compiled = [("loss", summary.loss), ("optimizer", summary.optimizer), ("metrics", ", ".join(summary.metrics))]
    told = "; ".join(f"{name}: {value}" for name, value in compiled if value)
    yield Text(told or "not compiled", style="dim")
    yield Text()


ARROW: Final = "\N{RIGHTWARDS ARROW}"


def _tensors(tensors: Sequence[TensorInfo]) -> str:
    return " and ".join(
        f"{tensor.name} ({', '.join('any' if size is None else str(size) for size in tensor.shape[1:])})"
        for tensor in tensors
    )


def _layers(summary: ModelSummary) -> Table:
    """Only layers with weights: the others cost nothing that a job could save."""
    heavy = [layer for layer in summary.layers if layer.num_params or layer.num_macs]
    grid = _grid("Layers", "layer", [layer.name for layer in heavy])
    grid.add_column("type", overflow="fold")
    for title in ("params", "MACs"):
        grid.add_column(title, justify="right", no_wrap=True)
    grid.add_column("left alone because", overflow="fold")
    for layer in heavy:
        grid.add_row(*map(Text, _layer_cells(layer)))
    if (light := len(summary.layers) - len(heavy)) > 0:
        grid.caption = f"And {light} {_plural('layer', light)} without weights.\n"
    return grid


def _layer_cells(layer: LayerInfo) -> tuple[str, ...]:
    return (
        layer.name,
        layer.class_name,
        words.count(layer.num_params),
        words.count(layer.num_macs),
        (layer.reason or "") if layer.num_macs else "",
    )


def _groups(summary: ModelSummary) -> Table:
    grid = _grid("Groups of channels", "group", [group.name for group in summary.groups])
    grid.add_column("channels", justify="right")
    for title in ("params\neach", "MACs\neach", "half\nsaves"):
        grid.add_column(title, justify="right")
    grid.add_column("left alone because", overflow="fold")
    for group in summary.groups:
        grid.add_row(*_group_cells(group, summary.num_macs))
    grid.caption = (
        "Each: what one channel alone takes with it. Half saves: about this share of the model's "
        "multiply-accumulates goes with half of the group's channels."
    )
    return grid


def _group_cells(group: ChannelGroup, num_macs: int | None) -> Iterator[Text]:
    others = group.layers[1:]
    name = Text(group.name)
    if others:
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        name.append(f"\nwith {', '.join(others[:MAX_NAMED])}{more}", style="dim")
    width = words.count(group.num_channels) + ("" if group.unit == "channels" else f" {group.unit}")
    half = group.macs_per_channel * group.num_channels / 2
    frozen = bool(group.frozen)
    why = why_left_alone(DEFAULT, group)
    yield name
    yield Text(width)
    yield Text(words.EN_DASH if frozen else words.count(round(group.params_per_channel)))
    yield Text(words.EN_DASH if frozen else words.count(round(group.macs_per_channel)))
    yield Text(words.EN_DASH if frozen or not num_macs else words.percent(half / num_macs))
    yield Text("" if why is None else f"frozen: {why}" if frozen else why, style="dim" if frozen else "")


def _grid(title: str, first: str, names: Sequence[str]) -> Table:
    grid = Table(
        title=escape(title), title_style="bold", title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD
    )
    widths = chain((len(name) for name in names), [len(first)])
    grid.add_column(first, overflow="fold", min_width=min(NAME_WIDTH, max(widths)))
    return grid


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"


def _listed(names: Sequence[str]) -> str:
    """
    >>> _listed(["a", "b"]), _listed(["a", "b", "c", "d", "e"])
    ('a and b', 'a, b, c and 2 more')
    """
    if len(names) > MAX_NAMED:
        return f"{', '.join(names[:MAX_NAMED])} and {len(names) - MAX_NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
