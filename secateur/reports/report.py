"""The report: what was measured, before and after, on the exported files. The same numbers everywhere.

Fractions are fractions (0.9, not 90), sizes are bytes, times are milliseconds or seconds as the name says.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import Field

from secateur.frozen import Frozen
from secateur.reports.summaries import TestedOn
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe, Scheme


class Interval(Frozen):
    """A measured value with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class Quality(Frozen):
    """The metric on the test split, computed by running the ``.tflite`` file."""

    metric: str
    higher_is_better: bool
    score: Interval
    num_samples: int
    agreement: float = Field(
        description="Classes: share of samples where the file and the original Keras model say the same class. "
        "Values: coefficient of determination of the file's outputs against the original's."
    )


class Sizes(Frozen):
    """Bytes as stored, and as gzip (level 9) would send them."""

    keras_bytes: int
    keras_gzip_bytes: int
    tflite_bytes: int
    tflite_gzip_bytes: int


class Latency(Frozen):
    """Wall time of one sample through the ``.tflite`` file, one thread, after warm-up."""

    p50_ms: float
    p95_ms: float
    num_runs: int
    num_threads: int = 1


class Variant(Frozen):
    """One model, as file and as measured."""

    name: Literal["baseline", "result"]
    scheme: Scheme
    num_params: int
    num_nonzero_params: int
    num_macs: int | None = Field(default=None, description="Multiply-accumulates of one sample.")
    sizes: Sizes
    quality: Quality
    latency: Latency
    weight_bytes: Mapping[str, int] = Field(
        default={}, description="Bytes of the weights in the .tflite file by number type, such as int8 and float32."
    )
    operations: Mapping[str, int] = Field(
        default={}, description="How often each LiteRT operation stands in the .tflite file."
    )


class LayerSparsity(Frozen):
    """Zeros of one layer: asked for, in the ``.keras`` file, in the ``.tflite`` file."""

    name: str
    class_name: str
    kernel_shape: tuple[int, ...] | None
    num_weights: int = Field(description="Weights of the kernel; biases are never pruned.")
    pruned: bool
    reason: str | None = Field(default=None, description="Why the layer was left alone.")
    target: float | None = None
    keras_sparsity: float = 0.0
    tflite_sparsity: float | None = Field(default=None, description="At least the target; int8 rounds more to zero.")


class GroupCut(Frozen):
    """Channels of one group before and after: gone from all of its layers, and from those that read them."""

    name: str = Field(description="The first of the layers; with the unit where that one makes several groups.")
    layers: tuple[str, ...] = Field(description="The layers whose units went.")
    before: int = Field(description="Channels in the uploaded model.")
    after: int = Field(description="Channels in the result.")
    spared: str | None = Field(default=None, description="Why the group was left alone.")
    params_saved: int = 0
    macs_saved: int = 0


class ClassRecall(Frozen):
    """What of one class, or label, is found before and after."""

    name: str = Field(description="Its number.")
    called: str | None = Field(default=None, description="Its name in the data set, cut to 60 characters.")
    num_samples: int = Field(description="Test samples of the class.")
    before: float = Field(description="Share of them that the uploaded model finds.")
    after: float = Field(description="Share of them that the result finds.")
    lost_much: bool = Field(default=False, description="Whether it lost much more than all together, not by chance.")


class ColumnQuality(Frozen):
    """One column of the output of a regression, before and after."""

    column: int
    deviation: float = Field(description="Standard deviation of the true values on the test split.")
    r2_before: float = Field(description="Coefficient of determination of the uploaded model: 1 is perfect.")
    r2_after: float = Field(description="Coefficient of determination of the result.")
    is_constant: bool = Field(default=False, description="Whether the result gives one value, and the original not.")


class OutputQuality(Frozen):
    """One output of a model with several, before and after."""

    name: str
    judged: bool = Field(description="Whether its metric is the one that counts.")
    weight: float | None = Field(description="How much its loss counts in training. None: it has no labels.")
    before: Quality | None = Field(default=None, description="Of the original. None: it has no labels.")
    after: Quality | None = None
    metric: str = Field(description="What agreement is told like, also where there are no labels.")
    agreement: float = Field(description="Of the result with the original, see ``Quality``.")


class TrainingPoint(Frozen):
    """One epoch of one step."""

    step: str
    epoch: int
    loss: float
    val_loss: float
    val_metric: float
    sparsity: float = Field(description="Share of zeros in the kernels that are pruned.")
    learning_rate: float | None = Field(default=None, description="Of the last step of the epoch.")
    kept: bool = Field(default=False, description="Whether the step chose the weights of this epoch to come out.")


class Host(Frozen):
    """Where the latency was measured. It says nothing about another machine."""

    cpu: str
    num_cpus: int
    system: str
    versions: Mapping[str, str]
    onednn: bool | None = Field(
        default=None, description="Whether TensorFlow computed with oneDNN. None in reports of before this was stored."
    )


class FileDigest(Frozen):
    name: str
    digest: str
    num_bytes: int


class Provenance(Frozen):
    """Where a report comes from. With the recipe and the two files, it is enough to repeat the job."""

    job_id: str | None = Field(default=None, description="None: made without the service.")
    created_at: datetime = Field(description="When the job loaded its files, in UTC.")
    version: str = Field(description="Of Secateur.")
    model: FileDigest
    dataset: FileDigest
    reading: Reading = Field(description="How the data set was read, with the scale that was used.")


class Report(Frozen):
    """Everything a job found out."""

    schema_version: Literal[1] = 1
    provenance: Provenance | None = Field(default=None, description="None in reports of before this was stored.")
    model_name: str
    metric_label: str = Field(description="What the metric is called in words.")
    spec: Recipe
    baseline: Variant
    result: Variant
    speedup: Interval | None = Field(
        default=None,
        description="How many times as fast the result is as the baseline, from runs in turn, with a 95 % interval.",
    )
    target_sparsity: float | None = Field(default=None, description="Of the pruned kernels together.")
    delivered_sparsity: float | None = Field(default=None, description="The same, counted in the .tflite file.")
    tested_on: TestedOn = Field(
        default="test",
        description="The split that scores are of: validation, where the data set has no test split.",
    )
    layers: tuple[LayerSparsity, ...]
    groups: tuple[GroupCut, ...] = Field(default=(), description="What structure channel took away.")
    outputs: tuple[OutputQuality, ...] = Field(default=(), description="Of a model with several outputs, each.")
    classes: tuple[ClassRecall, ...] = Field(default=(), description="Of at most 100 classes or labels, each.")
    columns: tuple[ColumnQuality, ...] = Field(
        default=(), description="Of a regression with 2 to 100 output columns, each."
    )
    history: tuple[TrainingPoint, ...]
    verdicts: tuple[str, ...] = Field(description="What the numbers mean, in plain words.")
    notes: tuple[str, ...] = Field(default=(), description="What was decided on the way: loss, reshaping, splits.")
    suggestions: tuple[str, ...] = Field(
        default=(),
        description="What may be worth changing: input scalings with which the uploaded model does better.",
    )
    host: Host
    files: tuple[FileDigest, ...] = Field(description="The files that were measured.")
    seconds: Mapping[str, float] = Field(description="Wall time by step.")
