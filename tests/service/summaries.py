"""What the checks of a small model and of data for it would find out."""

from typing import Any

from jobspec.summaries import DatasetSummary, LayerInfo, ModelSummary, SplitInfo, TensorInfo


def model_summary() -> dict[str, Any]:
    """A model of two dense layers for images of 4 by 4."""
    return ModelSummary(
        name="tiny",
        inputs=(TensorInfo(name="image", shape=(None, 4, 4, 1), dtype="float32"),),
        outputs=(TensorInfo(name="head", shape=(None, 3), dtype="float32"),),
        num_params=163,
        layers=(
            LayerInfo(name="flatten", class_name="Flatten", num_params=0, reason="it has no kernel"),
            LayerInfo(name="hidden", class_name="Dense", num_params=136, kernel_shape=(16, 8), prunable=True),
            LayerInfo(
                name="head", class_name="Dense", num_params=27, kernel_shape=(8, 3), reason="it is an output layer"
            ),
        ),
    ).model_dump(mode="json")


def dataset_summary(**changes: Any) -> dict[str, Any]:
    """Images of 4 by 4 in three classes, with these fields changed."""
    summary = DatasetSummary(
        splits={"train": SplitInfo(num_samples=64), "test": SplitInfo(num_samples=32)},
        sample_shape=(4, 4, 1),
        sample_dtype="float32",
        sample_min=-0.3,
        sample_max=1.3,
        label_shape=(),
        label_dtype="int64",
        label_kind="classes",
        num_classes=3,
    )
    return DatasetSummary.model_validate(summary.model_dump() | changes).model_dump(mode="json")
