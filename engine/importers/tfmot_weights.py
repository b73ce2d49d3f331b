"""Arrays of layers that stood in pruning wrappers: the masks applied, the wrapper's own variables dropped."""

from collections.abc import Mapping, Sequence

from engine.importers.refusals import unreadable
from engine.importers.saved import Named, Path

OWN = ("mask", "threshold", "pruning_step")
"""Variables of a wrapper; a mask comes for each kernel that it prunes, in the order of the kernels."""


def unwrapped_weights(
    weights: Mapping[Path, Sequence[Named]], names: Mapping[str, str]
) -> dict[Path, tuple[Named, ...]]:
    """The arrays by the layers themselves.

    Args:
        weights: the arrays of a file, by layer.
        names: the names of layers by the names of their wrappers, from ``unwrapped``.

    Raises:
        ModelUnreadable: the file does not name the arrays of a wrapper, so that masks cannot be told from weights.
    """
    return {_path(path, names): _arrays(path, arrays, names) for path, arrays in weights.items() if arrays}


def _path(path: Path, names: Mapping[str, str]) -> Path:
    return tuple(names.get(part, part) for part in path)


def _arrays(path: Path, arrays: Sequence[Named], names: Mapping[str, str]) -> tuple[Named, ...]:
    if path[-1] not in names:
        return tuple(arrays)
    if not all(each.name for each in arrays):
        raise unreadable(
            f"{path[-1][:80]!r} is a pruning wrapper, and the file does not say which of its arrays are masks.",
            "Call tfmot.sparsity.keras.strip_pruning(model), and save the result.",
        )
    masks = [each.array for each in arrays if _role(each.name) == "mask"]
    inner = [each for each in arrays if _role(each.name) not in OWN]
    found = []
    for each in inner:
        mask = next((mask for mask in masks if mask.shape == each.array.shape), None)
        found.append(each if mask is None else Named(each.name, each.array * mask))
    return tuple(found)


def _role(name: str) -> str:
    """What an array is, from its name: ``conv2d/kernel:0`` is a kernel."""
    return name.replace("\\", "/").rpartition("/")[2].partition(":")[0].rstrip("_0123456789")
