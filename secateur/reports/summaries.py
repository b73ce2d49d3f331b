"""What a check finds out about an upload: the facts that a spec is held against."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field

from secateur.errors import SummaryTooLarge
from secateur.frozen import Frozen
from secateur.specs.channels import GroupTag
from secateur.specs.file_formats import DatasetFormat
from secateur.specs.scale import Scales

MAX_BYTES: Final = 8 << 20
"""Of a summary as JSON, in its row and in an answer: as many layers as a model may have, with names of 200 letters."""


class TensorInfo(Frozen):
    """One input or output; ``shape`` starts with the batch axis, None where any size goes."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class LayerInfo(Frozen):
    """One layer. ``kernel_shape`` is that of the weights that pruning would cut."""

    name: str
    class_name: str
    num_params: int
    num_macs: int = Field(default=0, description="Multiply-accumulates of one sample.")
    kernel_shape: tuple[int, ...] | None = None
    num_features: int | None = Field(default=None, description="Input features of the kernel at one position.")
    scaled_by: str | None = Field(default=None, description="The BatchNormalization right behind, if it scales.")
    prunable: bool = False
    reason: str | None = Field(default=None, description="Why the layer is left alone.")


class ChannelGroup(Frozen):
    """Channels that can only go together, one from each of these layers at a time."""

    name: str = Field(description="The first of the layers; with the unit where that one makes several groups.")
    layers: tuple[str, ...] = Field(description="The layers whose units go.")
    readers: tuple[str, ...] = Field(default=(), description="The layers that lose inputs.")
    num_channels: int
    unit: str = Field(default="channels", description="What a channel of this group is, in the plural, such as heads.")
    params_per_channel: float = Field(description="Parameters that one channel alone takes with it.")
    macs_per_channel: float = Field(description="Multiply-accumulates that one channel alone takes with it.")
    tags: tuple[GroupTag, ...] = Field(default=(), description="Why a step may want to spare it.")
    frozen: tuple[str, ...] = Field(default=(), description="Why it cannot be cut. Nothing: it can.")
    scaled: bool = Field(default=False, description="Whether a normalisation scales each of its channels.")


class ModelSummary(Frozen):
    """A model as its check found it."""

    format: Literal["keras", "hdf5", "savedmodel"] = "keras"
    source: str | None = Field(default=None, description="The Keras that wrote the file, such as Keras 2.4.0.")
    compared: str | None = Field(
        default=None,
        description="What a comparison with the model of the old Keras found. None: nothing had to be translated.",
    )
    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    num_params: int
    num_macs: int | None = Field(
        default=None, description="Multiply-accumulates of one sample. None: checked before they were counted."
    )
    layers: tuple[LayerInfo, ...]
    groups: tuple[ChannelGroup, ...] = Field(
        default=(), description="What structure channel can cut. Nothing: checked before groups were looked for."
    )
    notes: tuple[str, ...] = Field(
        default=(),
        description="What was changed to bring the model into the form that jobs work on, and what its file will lack.",
    )
    operations: Mapping[str, int] = Field(
        default={}, description="How often each LiteRT operation stands in the float32 file of the model."
    )
    not_convertible: Mapping[str, str] = Field(
        default={}, description="Schemes that LiteRT cannot express the model in, each with the reason."
    )
    optimizer: str | None = None
    loss: str | None = None
    metrics: tuple[str, ...] = ()

    def layer(self, name: str) -> LayerInfo | None:
        """The layer of that name, if there is one."""
        return next((layer for layer in self.layers if layer.name == name), None)


LabelKind = Literal["classes", "one_hot", "multi_label", "values"]
SplitName = Literal["train", "validation", "test"]
TestedOn = Literal["test", "validation"]
"""The split of a file that scores are told of."""


class SplitInfo(Frozen):
    num_samples: int


class SampleInfo(Frozen):
    """What is stored for one input; ``shape`` is that of one sample."""

    shape: tuple[int, ...]
    dtype: str
    min: float
    max: float


class LabelInfo(Frozen):
    """What is stored for one output; ``shape`` is that of one label."""

    shape: tuple[int, ...]
    dtype: str
    kind: LabelKind
    num_classes: int | None = None


class DatasetSummary(Frozen):
    """What labels are: ``classes``: one integer a sample; ``one_hot``: a row with a single one; ``multi_label``: a row
    of zeros and ones; ``values``: numbers to regress.
    """

    format: DatasetFormat = "npz"
    splits: Mapping[SplitName, SplitInfo]
    tested_on: TestedOn = Field(
        default="test",
        description="Which of the file's splits test is: validation, where the file has no test split.",
    )
    sample_shape: tuple[int, ...]
    sample_dtype: str
    sample_min: float
    sample_max: float
    label_shape: tuple[int, ...]
    label_dtype: str
    label_kind: LabelKind
    num_classes: int | None = Field(
        default=None, description="Highest class plus one, or how many labels; None for values."
    )
    classes: tuple[str, ...] = Field(default=(), description="Names of the classes in their order, if they have any.")
    scale: Scales = Field(default="none", description="How samples must be scaled, as their uploader says.")
    inputs: Mapping[str, SampleInfo] = Field(
        default_factory=dict,
        description="What is stored for each input, where the data set names them; sample_shape and what follows it "
        "are then those of the first.",
    )

    outputs: Mapping[str, LabelInfo] = Field(
        default_factory=dict,
        description="What labels are for each output, where the data set names them; label_shape and what follows it "
        "are then those of the first.",
    )

    def labels(self) -> Mapping[str, LabelInfo]:
        """What labels are by output; of a data set that names none, of the empty name."""
        if self.outputs:
            return self.outputs
        plain = (self.label_shape, self.label_dtype, self.label_kind, self.num_classes)
        return {"": LabelInfo(**dict(zip(LabelInfo.model_fields, plain, strict=True)))}

    def samples(self) -> Mapping[str, SampleInfo]:
        """What is stored by input; of a data set that names none, of the empty name."""
        if self.inputs:
            return self.inputs
        plain = (self.sample_shape, self.sample_dtype, self.sample_min, self.sample_max)
        return {"": SampleInfo(**dict(zip(SampleInfo.model_fields, plain, strict=True)))}


def encoded(summary: ModelSummary | DatasetSummary) -> bytes:
    """A summary as JSON.

    Raises:
        SummaryTooLarge: it has more than ``MAX_BYTES``.
    """
    text = summary.model_dump_json().encode()
    if len(text) <= MAX_BYTES:
        return text
    if isinstance(summary, ModelSummary):
        what = f"{len(summary.layers)} layers, {len(summary.groups)} groups of channels and all their names"
        hints = ["Give the layers shorter names and save the model again.", "Divide the model, and upload its parts."]
    else:
        names = sum(map(len, summary.classes))
        what = f"{len(summary.classes)} classes with {names} letters in their names"
        hints = ["Give the classes shorter names, or numbers, and upload the data again."]
    raise SummaryTooLarge(
        f"What there is to say of it ({what}) takes {len(text)} bytes; {MAX_BYTES} are kept of an upload.",
        suggestions=hints,
    )
