"""A report as a job on MNIST would leave it, for every test that needs one."""

from typing import Any

from secateur.reports.report import (
    FileDigest,
    GroupCut,
    Host,
    Interval,
    Latency,
    LayerSparsity,
    OutputQuality,
    Quality,
    Report,
    Sizes,
    TrainingPoint,
    Variant,
)
from secateur.specs.channels import PruneChannels
from secateur.specs.pruning import Iterative, Polynomial, Prune
from secateur.specs.spec import Quantize, Recipe
from secateur.specs.training import Finetune


def layer(name: str, class_name: str, shape: tuple[int, ...], **given: Any) -> LayerSparsity:
    """A pruned layer, unless ``given`` says otherwise."""
    num_weights = 1
    for axis in shape:
        num_weights *= axis
    defaults: dict[str, Any] = {
        "pruned": True,
        "target": 0.9,
        "keras_sparsity": 0.90002,
        "tflite_sparsity": 0.91374,
    }
    return LayerSparsity(
        name=name, class_name=class_name, kernel_shape=shape, num_weights=num_weights, **(defaults | given)
    )


def quality(value: float, low: float, high: float, *, agreement: float, **given: Any) -> Quality:
    """A score with its interval; accuracy by default."""
    defaults: dict[str, Any] = {"metric": "accuracy", "higher_is_better": True, "num_samples": 10_000}
    return Quality(score=Interval(value=value, low=low, high=high), agreement=agreement, **(defaults | given))


def history() -> tuple[TrainingPoint, ...]:
    """Four epochs of cutting, then three of fine-tuning."""
    cut = [(0.0812, 0.0774, 0.9771, 0.4012), (0.0921, 0.0898, 0.9734, 0.7613)]
    cut += [(0.1243, 0.1187, 0.9655, 0.8891), (0.1011, 0.0993, 0.9711, 0.9)]
    fine = [(0.0713, 0.0751, 0.9768, 0.9), (0.0588, 0.0702, 0.9785, 0.9), (0.0511, 0.0689, 0.9791, 0.9)]
    return tuple(
        TrainingPoint(step=step, epoch=epoch, loss=loss, val_loss=val, val_metric=metric, sparsity=zeros)
        for step, points in (("prune", cut), ("finetune", fine))
        for epoch, (loss, val, metric, zeros) in enumerate(points, start=1)
    )


def baseline() -> Variant:
    return Variant(
        name="baseline",
        scheme="none",
        num_params=218_070,
        num_nonzero_params=218_066,
        sizes=Sizes(keras_bytes=2_624_210, keras_gzip_bytes=2_201_345, tflite_bytes=877_484, tflite_gzip_bytes=811_203),
        quality=quality(0.9812, 0.9783, 0.9837, agreement=1.0),
        latency=Latency(p50_ms=0.1893, p95_ms=0.2317, num_runs=400),
    )


def result() -> Variant:
    return Variant(
        name="result",
        scheme="int8",
        num_params=218_070,
        num_nonzero_params=22_481,
        sizes=Sizes(keras_bytes=891_733, keras_gzip_bytes=118_264, tflite_bytes=228_912, tflite_gzip_bytes=46_117),
        quality=quality(0.9789, 0.9759, 0.9815, agreement=0.9921),
        latency=Latency(p50_ms=0.1214, p95_ms=0.1529, num_runs=400),
    )


def report(**given: Any) -> Report:
    """The report, with fields replaced by ``given``."""
    recipe = Recipe(
        steps=(Prune(sparsity=0.9, schedule=Polynomial(epochs=4)), Finetune(epochs=3), Quantize(scheme="int8"))
    )
    fields: dict[str, Any] = {
        "model_name": "mnist_lenet",
        "metric_label": "accuracy",
        "spec": recipe,
        "baseline": baseline(),
        "result": result(),
        "target_sparsity": 0.9,
        "delivered_sparsity": 0.91221,
        "layers": (
            layer("conv_1", "Conv2D", (5, 5, 1, 16), keras_sparsity=0.9, tflite_sparsity=0.905),
            layer("conv_2", "Conv2D", (5, 5, 16, 32), tflite_sparsity=0.91061),
            layer("hidden", "Dense", (1568, 128), tflite_sparsity=0.91232),
            layer(
                "digits",
                "Dense",
                (128, 10),
                pruned=False,
                target=None,
                keras_sparsity=0.0,
                tflite_sparsity=None,
                reason="it is an output layer",
            ),
        ),
        "history": history(),
        "verdicts": (
            "Quality: the accuracy is 0.23 points worse on 10,000 test samples, which is within the 95 % interval "
            "of the original.",
            "Size: the .tflite file is 3.8 times smaller as stored and 17.6 times smaller as gzip.",
            "The zeros pay off in transfer, not on disk: LiteRT stores them like other weights, gzip does not.",
            "Speed: 1.6 times faster on this CPU, one sample at a time on one thread.",
        ),
        "notes": ("The loss sparse_categorical_crossentropy comes from the model's compile config.",),
        "host": Host(
            cpu="AMD EPYC 7763 64-Core Processor",
            num_cpus=2,
            system="Linux 6.18 x86_64",
            versions={"keras": "3.15.1", "tensorflow": "2.21.0", "ai-edge-litert": "2.1.0", "python": "3.11.7"},
            onednn=True,
        ),
        "files": (
            FileDigest(name="baseline.tflite", digest="sha256:" + "ab12" * 16, num_bytes=877_484),
            FileDigest(name="model.tflite", digest="sha256:" + "cd34" * 16, num_bytes=228_912),
            FileDigest(name="model.keras", digest="sha256:" + "ef56" * 16, num_bytes=891_733),
        ),
        "seconds": {"baseline": 4.21, "prune": 31.7, "finetune": 21.3, "quantize": 3.9, "measure": 83.2},
    }
    return Report(**(fields | given))


def channels_report(**given: Any) -> Report:
    """The report of a job that took channels away and made no zeros."""
    layers = tuple(
        layer(name, "Conv2D", (3, 3, 16, 16), pruned=False, target=None, keras_sparsity=0.0, tflite_sparsity=None)
        for name in ("stem", "block_1", "block_2")
    )
    groups = (
        GroupCut(
            name="stem", layers=("stem", "block_1_add"), before=16, after=16, spared="a shortcut joins it (spare)"
        ),
        GroupCut(name="block_1", layers=("block_1",), before=64, after=24, params_saved=11_720, macs_saved=5_529_600),
        GroupCut(
            name="block_2", layers=("block_2", "join_2"), before=128, after=48, params_saved=9_999, macs_saved=777
        ),
        GroupCut(name="block_3", layers=("block_3",), before=32, after=32),
        GroupCut(name="digits", layers=("digits",), before=10, after=10, spared="it makes an output of the model"),
    )
    fields: dict[str, Any] = {
        "spec": Recipe(steps=(PruneChannels(macs=0.5, schedule=Iterative(cycles=7)),)),
        "baseline": baseline().model_copy(update={"num_macs": 12_501_632}),
        "result": result().model_copy(update={"num_macs": 6_204_211, "num_params": 98_765, "scheme": "none"}),
        "target_sparsity": None,
        "delivered_sparsity": None,
        "layers": layers,
        "groups": groups,
        "verdicts": ("Channels: 120 of 192 in 2 of 4 groups went.",),
        "history": tuple(point.model_copy(update={"sparsity": 0.0}) for point in history()),
    }
    return report(**(fields | given))


def outputs_report() -> Report:
    """Of a model with two outputs, one of them without labels."""
    before, after = baseline().quality, result().quality
    judged = OutputQuality(
        name="digit", judged=True, weight=1.0, before=before, after=after, metric="accuracy", agreement=0.991
    )
    silent = OutputQuality(name="slant", judged=False, weight=None, metric="mean_absolute_error", agreement=0.98761)
    return report(outputs=(judged, silent))
