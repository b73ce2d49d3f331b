from typing import Any

import pytest

from secateur.errors import CriterionUnserved, NothingToPrune, StructureMismatch
from secateur.reports.summaries import LayerInfo, ModelSummary, TensorInfo
from secateur.specs.pruning import Prune
from secateur.validation.pruning import check_prune


def layer(name: str, shape: tuple[int, ...], **more: Any) -> LayerInfo:
    kind = "Dense" if len(shape) == 2 else "Conv2D"
    return LayerInfo(
        name=name,
        class_name=kind,
        num_params=1,
        kernel_shape=shape,
        num_features=shape[-2],
        **{"prunable": True, **more},
    )


MODEL = ModelSummary(
    name="m",
    inputs=(TensorInfo(name="x", shape=(None, 8, 8, 3), dtype="float32"),),
    outputs=(TensorInfo(name="y", shape=(None, 10), dtype="float32"),),
    num_params=1,
    layers=(
        layer("stem", (3, 3, 3, 16), scaled_by="norm"),
        layer("conv", (3, 3, 16, 16)),
        layer("hidden", (64, 30)),
        layer("classes", (30, 10), prunable=False, reason="it makes the output"),
    ),
)


def check(**fields: Any) -> None:
    check_prune(Prune.model_validate({"sparsity": 0.5, **fields}), MODEL, field="steps.0")


def test_blocks_are_for_dense_kernels_that_they_divide() -> None:
    check(structure="block", block_shape=(2, 4), skip_layers=["stem", "conv"])

    with pytest.raises(StructureMismatch) as caught:
        check(structure="block", block_shape=(4, 4))

    assert "conv: its kernel has rank 4" in caught.value.detail
    assert "hidden: its 30 units do not divide by 4" in caught.value.detail
    assert caught.value.errors[0].field == "steps.0.structure"


def test_n_m_groups_lie_along_input_features_that_they_divide() -> None:
    with pytest.raises(StructureMismatch) as caught:
        check(structure="n_m", sparsity=None)

    assert "stem: its 3 input features do not divide by 4" in caught.value.detail
    assert "conv" not in caught.value.detail
    assert '"skip_layers": ["stem"]' in caught.value.suggestions[0]


def test_the_suggestion_can_be_pasted_beside_what_was_skipped_already() -> None:
    with pytest.raises(StructureMismatch) as caught:
        check(structure="block", skip_layers=["conv", "hidden"])

    assert '"skip_layers": ["conv", "hidden", "stem"]' in caught.value.suggestions[0]


def test_bn_scale_names_the_layers_that_have_no_norm_behind_them() -> None:
    check(structure="unit", criterion="bn_scale", skip_layers=["conv", "hidden"])

    with pytest.raises(CriterionUnserved, match=r"conv: no BatchNormalization.*hidden: no"):
        check(structure="unit", criterion="bn_scale")


@pytest.mark.parametrize("fields", [{"structure": "n_m"}, {"criterion": "threshold", "threshold": 0.1}])
def test_a_step_that_implies_its_sparsity_is_not_taken_for_one_that_cuts_nothing(fields: dict[str, Any]) -> None:
    check(sparsity=None, skip_layers=["stem"], **fields)

    with pytest.raises(NothingToPrune):
        check(sparsity=None, skip_layers=["stem", "conv", "hidden"], **fields)
