"""An exported model as arrays, and back: what stands in its files, and what was found out about them."""

from dataclasses import fields
from typing import Any, Final

from engine.checkpoint.sections import Section, as_array, bytes_as_array, from_array
from engine.export import litert
from engine.export.export import Export
from secateur.reports.report import Sizes

PLAIN: Final = tuple(field.name for field in fields(Export) if field.name not in ("runner", "sizes"))


def state_dict(exported: Export) -> Section:
    """All of an export."""
    about = {name: getattr(exported, name) for name in PLAIN} | {"sizes": exported.sizes.model_dump(mode="json")}
    return {"export": as_array(about), "tflite": bytes_as_array(exported.runner.content)}


def from_state_dict(model: Any, section: Section) -> Export:
    """The saved export of a model.

    Raises:
        KeyError, TypeError, ValueError: the section holds no export.
    """
    about = from_array(section["export"])
    about["notes"] = tuple(about["notes"])
    runner = litert.runner_of(model, section["tflite"].tobytes())
    return Export(runner=runner, sizes=Sizes.model_validate(about.pop("sizes")), **about)
