"""The job spec: what a user asks for. Frozen, strict about unknown fields, and the source of the JSON schema.

A recipe is an ordered list of steps; each step is one member of a union that ``kind`` tells apart, so a new
step or a new schedule is one more class and one more name in the union.
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails

from secateur.frozen import Frozen, Tagged
from secateur.ids import DatasetId, ModelId
from secateur.specs.channels import PruneChannels
from secateur.specs.metrics import Metric
from secateur.specs.presets import PRESETS, PresetName
from secateur.specs.pruning import Prune, Structure
from secateur.specs.scale import InputName, Scales
from secateur.specs.training import Finetune, Training

Label = Annotated[str, StringConstraints(max_length=256)]

Scheme = Literal["none", "dynamic", "float16", "int8"]
Loss = Literal[
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
    "mean_squared_error",
    "mean_absolute_error",
]


class Quantize(Tagged):
    """Choose the number format of the LiteRT file. Without this step it is float32."""

    kind: Literal["quantize"] = "quantize"
    scheme: Scheme = Field(
        default="int8",
        description="none: float32; float16: half the bytes; dynamic: int8 weights; int8: int8 weights and arithmetic.",
    )
    calibration_samples: int = Field(
        default=256, ge=1, le=100_000, description="Training samples that set the ranges of int8 activations."
    )


STRUCTURES: Final = (*get_args(Structure), *get_args(PruneChannels.model_fields["structure"].annotation))
"""What one prune step or the other takes away at once."""


def _tag_of_step(given: Any) -> Any:
    """Which member of ``Step`` is meant: its kind, except that there are two prune steps."""
    get = given.get if isinstance(given, Mapping) else partial(getattr, given)
    kind = get("kind", None)
    return "channel" if kind == "prune" and get("structure", None) == "channel" else kind


def _know_structure(given: Any) -> Any:
    """Refuse an unknown structure where it stands, with the structures of both prune steps."""
    if isinstance(given, Mapping) and given.get("kind") == "prune":
        structure = given.get("structure", STRUCTURES[0])
        if structure not in STRUCTURES:
            expected = f"{', '.join(map(repr, STRUCTURES[:-1]))} or {STRUCTURES[-1]!r}"
            fault = InitErrorDetails(
                type="literal_error", loc=("structure",), input=structure, ctx={"expected": expected}
            )
            raise ValidationError.from_exception_data("Step", [fault])
    return given


Step = Annotated[
    Annotated[Prune, Tag("prune")]
    | Annotated[PruneChannels, Tag("channel")]
    | Annotated[Finetune, Tag("finetune")]
    | Annotated[Quantize, Tag("quantize")],
    Discriminator(
        _tag_of_step,
        custom_error_type="unknown_step",
        custom_error_message="Each step needs its kind: 'prune', 'finetune' or 'quantize'",
    ),
    BeforeValidator(_know_structure),
]


class Data(Frozen):
    """How samples become model inputs."""

    scale: Scales | None = Field(
        default=None,
        description="Overrides what the data set was uploaded with: none, 1/255, -1..1, mean and deviation; or one of "
        "these for each input by name.",
    )
    validation_share: float = Field(
        default=0.1, gt=0.0, lt=1.0, description="Share of the training split held out when there is no x_val."
    )


class OutputObjective(Frozen):
    """The same of one output of several."""

    loss: Loss | None = None
    metric: Metric | None = None
    weight: float | None = Field(
        default=None,
        gt=0.0,
        le=1e6,
        description="How much its loss counts in training. Default: from the compile config, else 1.",
    )


class Objective(Frozen):
    """What training minimises and the report measures. Default: from the model's compile config, else inferred."""

    loss: Loss | None = Field(default=None, description="Of the output that is judged, where there are several.")
    metric: Metric | None = Field(
        default=None,
        description="What the report measures and epochs are compared by. Classes: accuracy, top_5_accuracy, "
        "balanced_accuracy, f1, auc; several labels: f1, auc, exact_match, label_accuracy; values: mean_squared_error, "
        "mean_absolute_error, root_mean_squared_error, r2.",
    )
    outputs: Annotated[Mapping[InputName, OutputObjective], Field(max_length=256)] = Field(
        default_factory=dict, description="Of a model with several outputs, for each by name."
    )
    judged: InputName | None = Field(
        default=None,
        description="The output whose metric counts: for goals, the best epoch, sensitivity and the headline. Default: "
        "the first that has labels.",
    )

    def of(self, name: str, *, judged: bool) -> "Objective | OutputObjective":
        """What is wanted of one output."""
        return self.outputs.get(name) or (self if judged else OutputObjective())

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if self.outputs and (self.loss is not None or self.metric is not None):
            raise ValueError("loss and metric stand in outputs, under the name of each output")
        return self


YEAR = 31_536_000


class Limits(Frozen):
    """How long a job may wait, and how long it may run."""

    max_pending_seconds: int = Field(default=86_400, ge=1, le=YEAR)
    max_runtime_seconds: int = Field(default=7_200, ge=1, le=YEAR)


class Setup(Frozen):
    """What jobs of every kind settle before they begin: the data, what is measured, and the seed."""

    data: Data = Field(default_factory=Data)
    objective: Objective = Field(default_factory=Objective)
    on_chance_baseline: Literal["fail", "continue"] = Field(
        default="fail", description="What to do when the uploaded model is no better than guessing on this data."
    )
    seed: int = Field(default=0, ge=0, lt=2**31)


class Order(Frozen):
    """What only the service needs of a spec."""

    model_id: ModelId
    dataset_id: DatasetId
    limits: Limits = Field(default_factory=Limits)
    labels: Annotated[Mapping[Label, Label], Field(max_length=32)] = Field(default_factory=dict)


def _steps_or_preset(schema: dict[str, Any]) -> None:
    """The schema says what the validator does: steps may come from a preset."""
    schema["required"] = [name for name in schema.get("required", ()) if name != "steps"]
    schema["anyOf"] = [{"required": ["steps"]}, {"required": ["preset"]}]


class Recipe(Setup):
    """What to do to a model: all of a spec that the engine needs, so that it also works without the service."""

    model_config = ConfigDict(json_schema_extra=_steps_or_preset)

    preset: PresetName | None = Field(default=None, description="A ready recipe, in place of steps.")
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=32)]
    training: Training = Field(default_factory=Training)
    on_chance_result: Literal["fail", "continue"] = Field(
        default="fail",
        description="What to do when the uploaded model has learnt something and the result is no better than "
        "guessing: fail without files, or hand out the files and say so.",
    )

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, given: Any) -> Any:
        name = given.get("preset") if isinstance(given, Mapping) else None
        if not isinstance(name, str) or name not in PRESETS:
            return given
        recipe = PRESETS[name]
        if "steps" in given and not _are_steps(given["steps"], recipe):
            raise ValueError("give either preset or steps, not both")
        return {**given, "steps": recipe}

    @model_validator(mode="after")
    def _quantize_last(self) -> Self:
        if any(isinstance(step, Quantize) for step in self.steps[:-1]):
            raise ValueError("quantize must be the last step: a quantised file cannot be trained or pruned on")
        if self.training.precision != "float32" and any(getattr(step, "toolkit", "") == "tfmot" for step in self.steps):
            raise ValueError("training.precision must be float32 where a step has toolkit tfmot")
        return self


class CompressSpec(Order, Recipe):
    """A job of kind ``compress``: one model, one data set, one recipe."""

    kind: Literal["compress"] = "compress"

    def recipe(self) -> Recipe:
        """This spec without what only the service needs."""
        return Recipe.model_validate(self.model_dump(include=set(Recipe.model_fields)))


def _are_steps(given: Any, recipe: Any) -> bool:
    """Whether both mean the same steps: a stored spec, with its defaults filled in, equals the preset it came from."""
    steps: TypeAdapter[tuple[Step, ...]] = TypeAdapter(tuple[Step, ...])
    try:
        return steps.validate_python(given) == steps.validate_python(recipe)
    except ValidationError:
        return False
