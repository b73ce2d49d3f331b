"""Whether a translated model computes what its file computed: a second opinion from tf_keras, on random inputs.

tf_keras reads only what passed our own checks of config and file, and only in a process that may be lost.
"""

from pathlib import Path
from typing import Any

import keras

from engine.bridge.twin import AGREEMENT, Twin, largest_difference, outputs_difference, random_inputs
from engine.importers.formats import signature
from engine.importers.read import Loaded
from secateur.errors import TranslationDisagrees


def compared(loaded: Loaded, path: Path) -> str | None:
    """What a comparison found, in words; None where nothing was translated.

    Raises:
        TranslationDisagrees: both compute, and differ.
    """
    if loaded.version.startswith("3."):
        return None
    if loaded.version.startswith(("0", "1")):
        return "not compared: nothing that is installed reads models of Keras 1"
    if loaded.format == "savedmodel":
        return _with_signature(loaded.model, path)
    try:
        import tf_keras

        other = tf_keras.models.load_model(path, compile=False)
        difference = largest_difference(loaded.model, Twin(other, {}))
    except Exception as fault:  # noqa: BLE001 - tf_keras raises every kind; that it cannot is no fault of the model
        reason = str(fault).strip().splitlines()
        return f"not compared: tf_keras cannot run it ({reason[0][:160] if reason else type(fault).__name__})"
    return comparison_in_words(difference, "tf_keras", loaded.model)


def _with_signature(model: Any, path: Path) -> str:
    inputs = random_inputs(model, seed=0)
    names = [tensor.name for tensor in model.inputs]
    try:
        theirs = signature.outputs_of(path, dict(zip(names, inputs, strict=True)))
    except Exception as fault:  # noqa: BLE001 - TensorFlow raises every kind; that it cannot is no fault of the model
        reason = str(fault).strip().splitlines()
        return f"not compared: the serving signature is not run ({reason[0][:160] if reason else type(fault).__name__})"
    wanted = list(theirs) if len(theirs) == 1 else list(model.output_names)
    if not set(wanted) <= set(theirs) or len(wanted) != len(theirs):
        return f"not compared: the serving signature calls its outputs {', '.join(sorted(theirs))[:100]}"
    ours = keras.tree.flatten(model(inputs[0] if len(inputs) == 1 else inputs, training=False))
    return comparison_in_words(
        outputs_difference(ours, [theirs[name] for name in wanted]), "its serving signature", model
    )


def comparison_in_words(difference: float, other: str, model: Any) -> str:
    """The difference in words. Raises: TranslationDisagrees: it is too large."""
    if difference == float("inf"):
        return f"not compared: outputs on random inputs are not finite, in ours or in {other}"
    if not difference <= AGREEMENT:
        raise TranslationDisagrees(
            f"{model.name!r} was translated to Keras 3, but on random inputs its outputs differ from those of {other} "
            f"by {difference:.1e} of the largest; {AGREEMENT:.0e} is allowed.",
            suggestions=["Save the model with Keras 3, and tell the operator which layers it has: this is a defect."],
        )
    return f"agrees with {other} on random inputs to {difference:.1e} of the largest output"
