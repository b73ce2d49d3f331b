"""SavedModels of Keras 2 in a zip archive: configs from Keras' metadata, arrays from the checkpoint.

The graph that a SavedModel holds is a program. It is not loaded; only its list of objects is read.
"""

import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2, trackable_object_graph_pb2

from engine.arrays import Array
from engine.importers.refusals import unreadable
from engine.importers.saved import Named, Path, Saved
from screening import json_text
from screening.archive import Archive
from screening.models import keras_config, savedmodel_file
from screening.models.keras_file import MAX_CONFIG_BYTES
from secateur.errors import ArchiveUnreadable, SecateurError

OBJECTS: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE: Final = "VARIABLE_VALUE"
NETWORKS: Final = ("_tf_keras_network", "_tf_keras_sequential", "_tf_keras_model")
MAX_DEPTH: Final = 64
MAX_MODELS: Final = 1000
WITHOUT_KERAS: Final = (
    "The SavedModel has no Keras metadata: it holds a graph without layers, which cannot be pruned.",
    'Load it where you made it and save the Keras model: model.save("model.keras") or model.save("model.h5").',
)


def read(path: pathlib.Path) -> Saved:
    """A SavedModel that passed the static checks.

    Raises:
        UploadRefused: it has no Keras metadata, was subclassed, or its weights do not fit.
    """
    with unpacked(path) as (proto, keras_metadata, checkpoint, num_bytes):
        nodes = proto.meta_graphs[0].object_graph_def.nodes
        told = _metadata(nodes, keras_metadata)
        root = told.get(0, {})
        config = {"class_name": root.get("class_name"), "config": root.get("config")}
        if root.get("class_name") not in ("Functional", "Model", "Sequential") or not root.get("config"):
            raise unreadable(
                f"The SavedModel is of the class {str(root.get('class_name'))[:60]!r}, which has no config: "
                "a subclassed model is Python code, and that is not in the file.",
                "Build the same network with the functional API, take over the weights, and save it as .keras.",
            )
        keras_config.check(config, num_weight_bytes=num_bytes, old=True)
        values = variables(nodes, checkpoint, num_bytes)
        compiled = root.get("training_config")
        version = str(root.get("keras_version") or "2")
        weights = dict(_weights_of(nodes, told, values, 0, (), []))
        return Saved(version, config, weights, compiled if isinstance(compiled, dict) else None)


@contextmanager
def unpacked(path: pathlib.Path) -> Iterator[tuple[Any, bytes, Any, int]]:
    """The list of objects, Keras' metadata (maybe empty), a reader of the checkpoint, and the size of its arrays.

    Raises:
        ArchiveUnreadable: a part of it is damaged.
    """
    with path.open("rb") as file, Archive(file) as archive, tempfile.TemporaryDirectory() as folder:
        root = savedmodel_file.check(archive)
        names = [name for name in archive.sizes if name.startswith(f"{root}variables/variables.")]
        for name in names:
            with (pathlib.Path(folder) / pathlib.PurePosixPath(name).name).open("wb") as out:
                archive.copy(name, out)
        metadata = root + savedmodel_file.KERAS
        keras_metadata = archive.read_head(metadata, archive.sizes[metadata]) if metadata in archive.sizes else b""
        graph = archive.read_head(root + savedmodel_file.GRAPH, archive.sizes[root + savedmodel_file.GRAPH])
        try:
            proto = saved_model_pb2.SavedModel.FromString(graph)
            if not proto.meta_graphs or not proto.meta_graphs[0].object_graph_def.nodes:
                raise unreadable(*WITHOUT_KERAS)
            checkpoint = tf.train.load_checkpoint(str(pathlib.Path(folder) / "variables"))
            yield proto, keras_metadata, checkpoint, sum(archive.sizes[name] for name in names)
        except SecateurError:
            raise
        except (DecodeError, tf.errors.OpError, ValueError, RuntimeError, KeyError, IndexError, TypeError) as fault:
            raise ArchiveUnreadable(
                f"The SavedModel is damaged ({str(fault).strip()[:200] or type(fault).__name__}).",
                suggestions=["Zip it again and upload it; if that fails too, the folder on your side is damaged."],
            ) from fault


def _metadata(nodes: Any, keras_metadata: bytes) -> dict[int, Mapping[str, Any]]:
    """What Keras wrote about each object: beside the graph since TensorFlow 2.5, inside it before."""
    if keras_metadata:
        from tf_keras.protobuf import saved_metadata_pb2  # takes seconds

        listed = saved_metadata_pb2.SavedMetadata.FromString(keras_metadata).nodes
        texts = {node.node_id: node.metadata for node in listed}
    else:
        texts = {number: node.user_object.metadata for number, node in enumerate(nodes)}
    if not texts.get(0):
        raise unreadable(*WITHOUT_KERAS)
    told = {
        number: json_text.parse(text.encode(), name="the Keras metadata", limit=MAX_CONFIG_BYTES)
        for number, text in texts.items()
        if text.startswith("{")
    }
    return {number: value for number, value in told.items() if isinstance(value, dict)}


def variables(nodes: Any, checkpoint: Any, num_bytes: int) -> dict[int, Array]:
    """The arrays of all variables by the number of their object: both graphs of objects have the same edges.

    Raises:
        ModelUnreadable: the checkpoint promises more than it holds.
    """
    shapes, types = checkpoint.get_variable_to_shape_map(), checkpoint.get_variable_to_dtype_map()
    saved = trackable_object_graph_pb2.TrackableObjectGraph.FromString(checkpoint.get_tensor(OBJECTS)).nodes
    found: dict[int, Array] = {}
    seen, waiting = {0}, [(0, 0)]
    while waiting:
        number, twin = waiting.pop()
        children = {child.local_name: child.node_id for child in saved[twin].children}
        for child in nodes[number].children:
            if child.local_name in children and child.node_id not in seen:
                seen.add(child.node_id)
                waiting.append((child.node_id, children[child.local_name]))
        keys = [attribute.checkpoint_key for attribute in saved[twin].attributes if attribute.name == VALUE]
        if nodes[number].WhichOneof("kind") != "variable" or not keys or keys[0] not in shapes:
            continue
        if int(np.prod(shapes[keys[0]], dtype=object)) * types[keys[0]].size > num_bytes:
            raise unreadable(f"The checkpoint promises {shapes[keys[0]]} for {keys[0][:80]!r}, more than it holds.")
        found[number] = np.asarray(checkpoint.get_tensor(keys[0]))
    return found


def _weights_of(
    nodes: Any,
    told: Mapping[int, Mapping[str, Any]],
    values: Mapping[int, Array],
    number: int,
    path: Path,
    entered: list[int],
) -> Iterator[tuple[Path, tuple[Named, ...]]]:
    """The arrays of each layer of the model that is object ``number``; ``entered`` collects the models on the way."""
    entered.append(number)
    if len(path) > MAX_DEPTH or len(entered) > MAX_MODELS:
        raise unreadable("The SavedModel holds a model that holds itself, or one again and again.")
    for name, child in _children(nodes, number).items():
        if not name.startswith("layer-"):
            continue
        here = (*path, str(told.get(child, {}).get("name", name)))
        if nodes[child].user_object.identifier in NETWORKS:
            yield from _weights_of(nodes, told, values, child, here, entered)
        elif arrays := tuple(_listed(nodes, values, child)):
            yield here, arrays


def _listed(nodes: Any, values: Mapping[int, Array], number: int) -> Iterator[Named]:
    """The variables of a layer, in its own order."""
    children = _children(nodes, number)
    if "variables" in children:
        listed = _children(nodes, children["variables"]).items()
        places = [place for _, place in sorted((int(name), place) for name, place in listed if name.isdigit())]
    else:
        places = list(dict.fromkeys(children.values()))  # preprocessing layers keep no list
    for place in places:
        if place in values:
            yield Named(nodes[place].variable.name, values[place])


def _children(nodes: Any, number: int) -> dict[str, int]:
    return {child.local_name: child.node_id for child in nodes[number].children}
