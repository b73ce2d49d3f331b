"""The serving signature of a SavedModel, run as a graph of operations that only compute.

What the graph would do besides (load, save, initialise) is never run: the part that the outputs need is cut out, each
of its operations must be on the list, and its variables are given the arrays that we read.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf

from engine.arrays import Array
from engine.importers.formats.savedmodel import unpacked, variables

_PURE: Final = """
    Abs Add AddN AddV2 ArgMax AvgPool AvgPool3D BatchMatMulV2 BatchToSpaceND BiasAdd Cast ClipByValue Concat
    ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D CudnnRNNV3 DepthToSpace DepthwiseConv2dNative Div Einsum
    Elu Equal Erf Exp ExpandDims Fill FusedBatchNormV3 GatherV2 Greater GreaterEqual Identity IdentityN L2Loss
    LeakyRelu Less LessEqual Log LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool MaxPool3D Maximum Mean Min
    Minimum Mul Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 PartitionedCall Placeholder
    PlaceholderWithDefault Pow Prod Range ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear
    ResizeNearestNeighbor ResourceGather ReverseV2 Rsqrt Select SelectV2 Selu Shape Sigmoid Slice Snapshot
    Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
    StatefulPartitionedCall StatelessIf StatelessWhile StopGradient StridedSlice Sub Sum Tanh
    TensorListFromTensor TensorListGetItem TensorListReserve TensorListSetItem TensorListStack Tile Transpose
    Unpack VarHandleOp Where While ZerosLike
"""
PURE: Final = frozenset(_PURE.split())

RUN_MILLISECONDS: Final = 30_000
"""Operations that read and write nothing but tensors and the variables handed to them."""


class NotRunnable(Exception):
    """Why a signature is not run, in words."""


def outputs_of(path: pathlib.Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What the serving signature makes of inputs, given by the names of the input layers; by output layers.

    Raises:
        NotRunnable: it has none, or one that does more than compute.
    """
    with unpacked(path) as (proto, _, checkpoint, num_bytes):
        graph, nodes = proto.meta_graphs[0], proto.meta_graphs[0].object_graph_def.nodes
        if "serving_default" not in graph.signature_def:
            raise NotRunnable("it has no serving signature")
        signature = graph.signature_def["serving_default"]
        wanted = {name: output.name for name, output in signature.outputs.items()}
        definition = _needed(graph.graph_def, [_node(name) for name in wanted.values()])
        arrays = variables(nodes, checkpoint, num_bytes)
        values = {nodes[number].variable.name: array for number, array in arrays.items()}
        feeds = {signature.inputs[name].name: array for name, array in inputs.items() if name in signature.inputs}
        if len(feeds) != len(signature.inputs):
            raise NotRunnable(f"its inputs are called {', '.join(sorted(signature.inputs))[:100]}")
        return dict(zip(wanted, _run(definition, list(wanted.values()), feeds, values), strict=True))


def _node(tensor: str) -> str:
    return tensor.partition(":")[0]


def _needed(definition: Any, names: list[str]) -> Any:
    """The part of a graph that some of its nodes need, with the functions that it calls. Raises: NotRunnable."""
    part = tf.compat.v1.graph_util.extract_sub_graph(definition, names)
    functions = {function.signature.name: function for function in definition.library.function}
    called: dict[str, Any] = {}
    waiting = list(part.node)
    while waiting:
        node = waiting.pop()
        if node.op not in PURE and node.op not in functions:
            raise NotRunnable(f"its graph has {node.op[:60]}")
        for name in _functions_of(node) & set(functions) - set(called):
            called[name] = functions[name]
            waiting.extend(functions[name].node_def)
    part.ClearField("library")
    part.library.function.extend(called.values())
    return part


def _functions_of(node: Any) -> set[str]:
    values = list(node.attr.values())
    return {node.op, *(value.func.name for value in values), *(f.name for value in values for f in value.list.func)}


def _run(definition: Any, wanted: list[str], feeds: dict[str, Array], values: Mapping[str, Array]) -> list[Array]:
    handles = [node for node in definition.node if node.op == "VarHandleOp"]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(definition, name="")
        for handle in handles:
            name = handle.attr["shared_name"].s.decode() or handle.name
            if name not in values:
                raise NotRunnable(f"its variable {name[:80]!r} is not in the checkpoint")
            resource = session.graph.get_tensor_by_name(f"{handle.name}:0")
            dtype = tf.dtypes.as_dtype(handle.attr["dtype"].type)
            session.run(tf.raw_ops.AssignVariableOp(resource=resource, value=tf.constant(values[name], dtype)))
        limit = tf.compat.v1.RunOptions(timeout_in_ms=RUN_MILLISECONDS)  # a loop is an operation like others
        try:
            return [np.asarray(array) for array in session.run(wanted, feeds, options=limit)]
        except tf.errors.DeadlineExceededError as fault:
            raise NotRunnable("it runs too long") from fault
