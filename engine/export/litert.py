"""LiteRT: convert a Keras model to a ``.tflite`` file, and run that file. The only place that knows how.

A ``.tflite`` file that was damaged on purpose can end the process that opens it; open only what was made here.
"""

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from engine.arrays import Array
from engine.models import portable
from engine.parts import Inputs, Outputs, Parts, arrays_of, by_output, concatenated, output_names
from secateur.errors import ConversionFailed
from secateur.specs.spec import Scheme


def convert(model: Any, scheme: Scheme, *, calibration: Inputs, float_tensors: Sequence[str] = ()) -> bytes:
    """A ``.tflite`` file with float32 inputs and outputs, of builtin operations only.

    Args:
        model: the model.
        scheme: how weights and activations are stored.
        calibration: model inputs whose activations set the int8 ranges, shape (n, ...). Only int8 looks at them.
        float_tensors: names of tensors of the float32 file whose operations int8 leaves in float32.

    Raises:
        ConversionFailed: LiteRT has no builtin operation for something in the model.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if scheme != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if scheme == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _one_by_one(model, calibration)
    chatter = io.StringIO()
    try:
        with contextlib.redirect_stdout(chatter), portable.exporting():
            return _without(converter, float_tensors) if float_tensors else bytes(converter.convert())
    except Exception as fault:  # the converter raises many kinds, some without a common ancestor
        reason = " ".join(str(fault).split())[:500]
        raise ConversionFailed(
            f"LiteRT cannot express this model as {scheme}: {reason}",
            suggestions=["Replace the layer that is named, or try another scheme."],
        ) from fault


def _without(converter: Any, float_tensors: Sequence[str]) -> bytes:
    """Convert, but leave some operations in float32: the converter offers that through its debugger only."""
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=list(float_tensors))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated", category=UserWarning)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
        )
        return bytes(debugger.get_nondebug_quantized_model())


def _one_by_one(model: Any, calibration: Inputs) -> Iterator[Any]:
    """Samples as the calibration takes them: by name where there are several inputs, whose order is LiteRT's own."""
    for at in range(len(calibration)):
        sample = calibration[at : at + 1]
        arrays = arrays_of(sample)
        names = [tensor.name for tensor in model.inputs]
        yield dict(zip(names, arrays, strict=True)) if isinstance(sample, Parts) else [sample]


class Runner:
    """A ``.tflite`` file, loaded. One thread, so that runs compare."""

    def __init__(self, content: bytes, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> None:
        """Load a file.

        Args:
            inputs: names of the inputs in the order in which they are given; needed when there are several, because
                LiteRT keeps them in an order of its own.
            outputs: names of the outputs in the order of the model; needed when there are several.
        """
        self.content = content
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._inputs = self._input_details(inputs)
        self._names = tuple(outputs)
        self._outputs = self._output_details(len(self._names))
        self._one_by_one = self._inputs[0]["shape_signature"][0] != -1
        self._shapes: tuple[tuple[int, ...], ...] | None = None

    def _input_details(self, names: Sequence[str]) -> list[Any]:
        details = self._interpreter.get_input_details()
        if len(details) == 1:
            return [details[0]]
        by_name = self._interpreter.get_signature_runner().get_input_details()
        assert set(by_name) == set(names), "the names are those of the model that was converted"
        return [by_name[name] for name in names]

    def _output_details(self, count: int) -> list[Any]:
        details = self._interpreter.get_output_details()
        if len(details) == 1 and count <= 1:
            return [details[0]]
        by_name = self._interpreter.get_signature_runner().get_output_details()
        assert len(by_name) == count, "the names are those of the model that was converted"
        return [by_name[f"output_{place}"] for place in range(count)]  # so the converter calls what a list holds

    def run(self, inputs: Inputs) -> Outputs:
        """Outputs for one batch of inputs."""
        arrays = arrays_of(inputs)
        shapes = tuple(array.shape for array in arrays)
        if shapes != self._shapes:
            for details, shape in zip(self._inputs, shapes, strict=True):
                self._interpreter.resize_tensor_input(details["index"], shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for details, array in zip(self._inputs, arrays, strict=True):
            self._interpreter.set_tensor(details["index"], array)
        self._interpreter.invoke()
        found = [np.array(self._interpreter.get_tensor(details["index"])) for details in self._outputs]
        return by_output(self._names, found)

    def predict(self, batches: Iterable[Inputs]) -> Outputs:
        """Outputs for all batches, in order, as one array."""
        return concatenated(outputs for batch in batches for outputs in self._outputs_of(batch))

    def _outputs_of(self, batch: Inputs) -> list[Outputs]:
        """Outputs for a batch in one run, or sample by sample if the file does not take several."""
        if not self._one_by_one:
            try:
                return [self.run(batch)]
            except (RuntimeError, ValueError):  # a file that opens, but cannot be resized
                self._one_by_one, self._shapes = True, None
        return [self.run(batch[i : i + 1]) for i in range(len(batch))]

    def constants(self) -> list[tuple[str, Array]]:
        """Name and value of every tensor that is stored in the file: weights, biases, shapes."""
        model = schema.ModelT.InitFromPackedBuf(self.content, 0)
        found = []
        for index, tensor in enumerate(model.subgraphs[0].tensors):
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data):
                found.append((tensor.name.decode(), np.array(self._interpreter.get_tensor(index))))
        return found


def check_opens(content: bytes, sample: Inputs) -> None:
    """Run a file once as others will: in a standard interpreter, for one sample, without resizing anything.

    Args:
        sample: inputs of one sample, shape (1, ...); only their values are used.

    Raises:
        ConversionFailed: it does not run.
    """
    try:
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        for details in interpreter.get_input_details():
            like = next((each for each in arrays_of(sample) if each.shape == tuple(details["shape"])), None)
            value = np.zeros(details["shape"], details["dtype"]) if like is None else like.astype(details["dtype"])
            interpreter.set_tensor(details["index"], value)
        interpreter.invoke()
    except (RuntimeError, ValueError) as fault:
        raise ConversionFailed(
            "LiteRT converts this model, but a standard interpreter cannot run the file: "
            f"{' '.join(str(fault).split())[:300]}",
            suggestions=["Give the model's inputs fixed shapes, and replace the operation that is named."],
        ) from fault


def runner_of(model: Any, content: bytes) -> Runner:
    """A file that was made of a model, loaded."""
    return Runner(content, [tensor.name for tensor in model.inputs], output_names(model))
