"""The callback that writes the network as a graph to TensorBoard."""

from typing import Any

from litmlp.callbacks.base import Callback
from litmlp.callbacks.plotting import sampled_rows
from litmlp.loggers import TensorBoard
from litmlp.networks.graph import Node, nodes_of
from litmlp.networks.hidden import evaluating
from litmlp.training import compat


class Graph(Callback):
    """Writes the network's layers, and the shapes of the tensors between them, to TensorBoard when training starts."""

    in_sweeps = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Write the graph, once a run: not if it resumes."""
        writers = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoard)]
        if not writers or trainer.global_step > 0 or not trainer.is_global_zero:
            return
        rows = sampled_rows(trainer.datamodule, "train", pl_module.device, max_rows=2)
        with evaluating(pl_module):
            numeric = rows.numeric.to(pl_module.dtype)
            nodes = nodes_of(pl_module.network, numeric=numeric, categorical=rows.categorical)
        for writer in writers:
            compat.event_writer(writer).add_event(event_of(nodes))


def event_of(nodes: list[Node]) -> Any:
    """Return the nodes as a TensorBoard event; it shows the number of rows as unknown."""
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    def definition(node: Node) -> NodeDef:
        sizes = [TensorShapeProto.Dim(size=size) for size in (-1, *node.shape[1:])]
        shapes = AttrValue(list=AttrValue.ListValue(shape=[TensorShapeProto(dim=sizes)]))
        attributes = {"_output_shapes": shapes}
        if node.detail:
            attributes["detail"] = AttrValue(s=node.detail.encode())
        return NodeDef(name=node.name, op=node.kind, input=node.inputs, attr=attributes)

    return Event(graph_def=GraphDef(node=map(definition, nodes)).SerializeToString())
