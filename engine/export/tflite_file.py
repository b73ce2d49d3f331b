"""What stands in a ``.tflite`` file: its operations, and in which number types its weights are stored."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

REDUCED: Final = ("INT4", "INT8", "UINT8", "INT16", "FLOAT16")
"""Number types of weights that a scheme has made smaller than float32."""

_OPERATIONS: Final = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_TYPES: Final = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}


def operations(content: bytes) -> Mapping[str, int]:
    """How often each operation stands in a file, the most frequent first; of all subgraphs.

    Args:
        content: a file that was made here.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    codes = [operation_name(code) for code in model.operatorCodes]
    found = Counter(codes[each.opcodeIndex] for graph in model.subgraphs for each in graph.operators or ())
    return dict(found.most_common())


def operation_name(code: Any) -> str:
    """The name of an operation, from its entry among the codes of a file."""
    if code.customCode:
        return str(code.customCode.decode())
    return str(_OPERATIONS[max(code.builtinCode, code.deprecatedBuiltinCode)])


def bytes_by_type(content: bytes) -> Mapping[str, int]:
    """Bytes of the stored tensors of a file, by number type such as ``int8`` and ``float32``, shapes left out.

    Args:
        content: a file that was made here.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    found: Counter[str] = Counter()
    for buffer, tensor in _weights(model):
        found[_TYPES[tensor.type].lower()] += len(model.buffers[buffer].data)
    return dict(found.most_common())


def is_quantised(content: bytes) -> bool:
    """Whether any weight of a file is stored in fewer bits than float32."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return any(_TYPES[tensor.type] in REDUCED for _, tensor in _weights(model))


def _weights(model: Any) -> list[tuple[int, Any]]:
    """The stored tensors of floating point, or of whole numbers with a scale, each buffer once."""
    found: dict[int, Any] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            scaled = tensor.quantization is not None and tensor.quantization.scale is not None
            floats = _TYPES[tensor.type] in ("FLOAT32", "FLOAT16")
            if data is not None and len(data) and (floats or (scaled and np.size(tensor.quantization.scale))):
                found.setdefault(tensor.buffer, tensor)
    return list(found.items())
