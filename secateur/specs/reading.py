"""What a data set file does not say of itself, declared by whoever uploads it.

Every field may also be text, as it stands in a query or on a command line: ``96x96``, ``cat,dog``, JSON.
"""

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PositiveInt, StringConstraints, ValidationError

from secateur.errors import FieldError, InvalidRequest, ReadingMismatch
from secateur.frozen import Frozen
from secateur.specs.file_formats import DatasetFormat
from secateur.specs.scale import InputName, Scales

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Size = Annotated[PositiveInt, Field(le=4096)]
Encoding = Literal["list", "raw", "image", "text"]
DType = Literal["uint8", "int8", "uint16", "int16", "int32", "int64", "float32", "float64"]


class Feature(Frozen):
    """One feature of the records of a ``.tfrecord``."""

    encoding: Encoding = Field(
        default="list",
        description="list: an int64_list or float_list; raw: the bytes of an array, C order, little-endian; "
        "image: the bytes of a jpg, png, bmp or gif; text: the bytes of a string.",
    )
    shape: tuple[PositiveInt, ...] = Field(default=(), description="Of one record; of images it is image_size.")
    dtype: DType = "float32"


def _json_text(given: Any) -> Any:
    if isinstance(given, str) and given.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(given)
        except (ValueError, RecursionError) as fault:
            raise ValueError(f"this is no JSON: {fault}") from fault
    return given


def _split_by(separator: str) -> Callable[[Any], Any]:
    def read(given: Any) -> Any:
        given = _json_text(given)
        return [part.strip() for part in given.split(separator)] if isinstance(given, str) else given

    return read


class Reading(Frozen):
    """How a data set is to be read. A job may override ``scale``, nothing else."""

    scale: Annotated[Scales, BeforeValidator(_json_text)] = Field(
        default="none",
        description='none, 1/255, -1..1, or {"mean": ..., "deviation": ...}; or one of these for each input by name.',
    )
    label: Name = Field(default="label", description="Column or feature that holds the label.")
    labels: Literal["classes", "values"] | None = Field(
        default=None, description="What labels are. Default: whole numbers and text are classes, fractions are values."
    )
    classes: Annotated[tuple[Name, ...], BeforeValidator(_split_by(","))] = Field(
        default=(), description="Names of the classes in the order of the model's outputs. Default: sorted."
    )
    split: Name | None = Field(
        default=None, description="Column or feature that says train, val or test. Default: shares are drawn."
    )
    test_share: float = Field(default=0.2, gt=0.0, lt=1.0, description="Share drawn for testing, class by class.")
    validation_share: float | None = Field(
        default=None, gt=0.0, lt=1.0, description="Share drawn for validation. Default: each job holds out its own."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the draw: the same for every job on this data set.")
    image_size: Annotated[tuple[Size, Size] | None, BeforeValidator(_split_by("x"))] = Field(
        default=None, description="Height and width that images are resized to. Default: they must have one size."
    )
    color: Literal["rgb", "grayscale"] = Field(default="rgb", description="Three channels, or one.")
    features: Annotated[Mapping[Name, Feature], BeforeValidator(_json_text)] = Field(
        default_factory=dict, description="Features of a .tfrecord by name."
    )
    sample: Name | None = Field(
        default=None, description="The feature that is the sample. Default: the one beside label and split."
    )
    inputs: Annotated[Mapping[InputName, Name | tuple[Name, ...]], BeforeValidator(_json_text)] = Field(
        default_factory=dict,
        description="For a model with several inputs, by their names: the columns of a table that each reads, or the "
        "feature of a record.",
    )

    def declared(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON; enough to make this reading again."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def query(self) -> dict[str, str]:
        """The same as text, such as ``from_text`` takes."""
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.declared().items()}

    def digest(self) -> str:
        """Of all that is declared: files with equal bytes and equal readings are the same data set."""
        return "sha256:" + hashlib.sha256(json.dumps(self.declared(), sort_keys=True).encode()).hexdigest()


def from_text(given: Mapping[str, str]) -> Reading:
    """The reading that is declared by text, of a query or a command line.

    Raises:
        InvalidRequest: naming what cannot be understood.

    >>> from_text({"image_size": "96x64", "classes": "cat,dog"}).image_size
    (96, 64)
    """
    try:
        return Reading.model_validate(given)
    except ValidationError as fault:
        found = [
            FieldError(field=_path(error["loc"]), messages=(_message(error),))
            for error in fault.errors()
            if error["type"] != "model_type"  # of a scale that is neither a word nor JSON: told once
        ]
        unknown = [str(error["loc"][0]) for error in fault.errors() if error["type"] == "extra_forbidden"]
        close = [*chain(*(difflib.get_close_matches(name[:100], Reading.model_fields, n=1) for name in unknown))]
        raise InvalidRequest(
            "What is declared of the data set cannot be understood: "
            + "; ".join(f"{error.field}: {error.messages[0]}" for error in found),
            errors=found,
            suggestions=[
                *(f"Did you mean {name}?" for name in close),
                f"There can be declared: {', '.join(Reading.model_fields)}. docs/data.md shows how.",
            ],
        ) from fault


def _message(error: Any) -> str:
    """What is wrong, in words."""
    if error["type"] == "extra_forbidden":
        return "nothing of that name can be declared"
    either = ', or JSON such as {"mean": 125, "deviation": 64}' if error["loc"][0] == "scale" else ""
    return f"{error['msg']}{either}" if error["type"] == "literal_error" else str(error["msg"])


def from_command(scale: str, declared: Sequence[str]) -> Reading:
    """The reading that a command line declares, as ``name=value`` each.

    Raises:
        InvalidRequest: naming what cannot be understood.

    >>> from_command("none", ["label=species"]).label
    'species'
    """
    parts = [given.partition("=") for given in declared]
    for name, _, value in parts:
        if not value:
            raise InvalidRequest(
                f"{name!r} declares nothing.", suggestions=["Write NAME=VALUE, such as --declare label=species."]
            )
    return from_text({"scale": scale} | {name.strip().replace("-", "_"): value for name, _, value in parts})


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if not str(part).startswith(("literal[", "function-", "MeanDev")))


_DRAWN: Final = frozenset({"test_share", "validation_share", "seed"})
_TABLE: Final = frozenset({"scale", "label", "labels", "classes", "split"}) | _DRAWN
_IMAGES: Final = frozenset({"image_size", "color"})
FIELDS: Final[Mapping[DatasetFormat, frozenset[str]]] = {
    "npz": frozenset({"scale", "labels"}),
    "images": frozenset({"scale", "classes"}) | _IMAGES | _DRAWN,
    "csv": _TABLE | {"inputs"},
    "parquet": _TABLE | {"inputs"},
    "tfrecord": _TABLE | _IMAGES | {"features", "sample", "inputs"},
}
"""What can be declared of each format; all else would be silently ignored."""

_EXAMPLE: Final = '{"image": {"encoding": "raw", "shape": [28, 28], "dtype": "uint8"}, "label": {"dtype": "int64"}}'


def check_reading(reading: Reading, format: DatasetFormat) -> None:
    """Refuse a reading that does not go with a format.

    Raises:
        ReadingMismatch: naming the fields.
    """
    stray = sorted(set(reading.declared()) - FIELDS[format])
    if stray:
        raise ReadingMismatch(
            f"{', '.join(stray)} cannot be declared of a data set in the format {format!r}.",
            errors=[FieldError(field=name, messages=(f"means nothing for {format}",)) for name in stray],
            suggestions=[f"Leave it out. Of this format there can be declared: {', '.join(sorted(FIELDS[format]))}."],
        )
    if format == "tfrecord":
        _check_features(reading)


def _check_features(reading: Reading) -> None:
    features = set(reading.features)
    samples = features - {reading.label, reading.split}
    wrong = (
        ("features", "what its records hold must be declared")
        if not features
        else ("label", f"{reading.label!r} is no declared feature")
        if reading.label not in features
        else ("split", f"{reading.split!r} is no declared feature")
        if reading.split is not None and reading.split not in features
        else _wrong_inputs(reading, samples)
        if reading.inputs
        else ("sample", f"it must name one of the features {', '.join(sorted(samples)) or 'beside the label'}")
        if (reading.sample not in samples if reading.sample is not None else len(samples) != 1)
        else None
    )
    if wrong is not None:
        field, message = wrong
        raise ReadingMismatch(
            f"A .tfrecord does not say what it holds: {message}.",
            errors=[FieldError(field=field, messages=(message,))],
            suggestions=[f"Declare features={_EXAMPLE}, and sample and label by their names."],
        )


def _wrong_inputs(reading: Reading, samples: set[str]) -> tuple[str, str] | None:
    if reading.sample is not None:
        return "sample", "inputs already say which features are samples"
    for name, feature in reading.inputs.items():
        if feature not in samples:
            listed = ", ".join(sorted(samples)) or "beside the label"
            return f"inputs.{name}", f"{feature!r} must be one of the features {listed}"
    return None


def sample_features(reading: Reading) -> dict[str, str]:
    """The feature of each input, of a reading that was checked; of a single one under an empty name."""
    if reading.inputs:
        return {name: str(feature) for name, feature in reading.inputs.items()}
    beside = (name for name in reading.features if name not in (reading.label, reading.split))
    return {"": reading.sample or next(beside)}
