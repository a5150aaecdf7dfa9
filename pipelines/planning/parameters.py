"""What a compiled component is told."""

# The generated protos have no types.
# pyright: reportAttributeAccessIssue=false

from typing import Any

from tfx.proto.orchestration import pipeline_pb2


def parameters_by_component(ir: pipeline_pb2.Pipeline) -> dict[str, dict[str, Any]]:
    """What each component of a compiled pipeline is told, by its id."""
    nodes = [node.pipeline_node for node in ir.nodes]
    return {node.node_info.id: plain_parameters(node) for node in nodes}


def plain_parameters(node: pipeline_pb2.PipelineNode) -> dict[str, Any]:
    """The parameters of a component as texts and numbers, sorted."""
    return {key: plain_value(value) for key, value in sorted(node.parameters.parameters.items())}


def plain_value(value: pipeline_pb2.Value) -> Any:
    """A parameter of a component as a text or a number."""
    field = value.field_value
    kind = field.WhichOneof("value")
    return getattr(field, kind) if kind else ""
