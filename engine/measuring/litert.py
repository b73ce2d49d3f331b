"""LiteRT: convert a Keras model to a ``.tflite`` file, and run that file. The only place that knows how.

A ``.tflite`` file that was damaged on purpose can end the process that opens it; open only what was made here.
"""

import contextlib
import io
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from engine.arrays import Array
from jobspec.errors import ConversionFailed
from jobspec.report import Latency
from jobspec.spec import Scheme

WARMUP_RUNS = 20


def convert(model: Any, scheme: Scheme, *, calibration: Array) -> bytes:
    """A ``.tflite`` file with float32 inputs and outputs, of builtin operations only.

    Args:
        calibration: model inputs whose activations set the int8 ranges, shape (n, ...). Only int8 looks at them.

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
        converter.representative_dataset = lambda: ([sample[None]] for sample in calibration)
    chatter = io.StringIO()
    try:
        with contextlib.redirect_stdout(chatter):
            return bytes(converter.convert())
    except Exception as fault:  # the converter raises many kinds, some without a common ancestor
        reason = " ".join(str(fault).split())[:500]
        raise ConversionFailed(
            f"LiteRT cannot express this model as {scheme}: {reason}",
            suggestions=["Replace the layer that is named, or try another scheme."],
        ) from fault


class Runner:
    """A ``.tflite`` file, loaded. One thread, so that runs compare."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        self._fixed_batch = self._input["shape_signature"][0] != -1
        self._shape: tuple[int, ...] | None = None

    def run(self, inputs: Array) -> Array:
        """Outputs for one batch of inputs."""
        if inputs.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input["index"], inputs.shape)
            self._interpreter.allocate_tensors()
            self._shape = inputs.shape
        self._interpreter.set_tensor(self._input["index"], inputs)
        self._interpreter.invoke()
        return np.array(self._interpreter.get_tensor(self._output["index"]))

    def predict(self, batches: Iterable[Array]) -> Array:
        """Outputs for all batches, in order, as one array."""
        pieces = ((batch[i : i + 1] for i in range(len(batch))) if self._fixed_batch else (batch,) for batch in batches)
        return np.concatenate([self.run(piece) for group in pieces for piece in group])

    def constants(self) -> list[tuple[str, Array]]:
        """Name and value of every tensor that is stored in the file: weights, biases, shapes."""
        model = schema.ModelT.InitFromPackedBuf(self._content, 0)
        found = []
        for index, tensor in enumerate(model.subgraphs[0].tensors):
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data):
                found.append((tensor.name.decode(), np.array(self._interpreter.get_tensor(index))))
        return found


def latencies(
    runners: Sequence[Runner], inputs: Array, *, num_runs: int = 200, max_seconds: float = 20.0
) -> list[Latency]:
    """Wall time of single samples through each file, the files taking turns so that a busy host slows all alike."""
    times: list[list[float]] = [[] for _ in runners]
    deadline = time.monotonic() + max_seconds
    for index in range(WARMUP_RUNS + num_runs):
        sample = inputs[index % len(inputs)][None]
        for runner, taken in zip(runners, times, strict=True):
            start = time.perf_counter()
            runner.run(sample)
            taken.append((time.perf_counter() - start) * 1000)
        if time.monotonic() > deadline:
            break
    return [_percentiles(np.array(taken[min(WARMUP_RUNS, len(taken) // 2) :])) for taken in times]


def _percentiles(milliseconds: Array) -> Latency:
    p50, p95 = np.percentile(milliseconds, (50, 95))
    return Latency(p50_ms=float(p50), p95_ms=float(p95), num_runs=len(milliseconds))
