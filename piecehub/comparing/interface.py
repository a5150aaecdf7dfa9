"""What a consumer's code relies on of a SavedModel, and whether another one gives it too. Loads nothing.

An input must take whatever the other one takes, an output must be what the other one's consumers read: so the specs of
inputs may become wider, and those of outputs narrower (contravariance and covariance, as of any function).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from piecehub.conformance import described
from piecehub.conformance.graph import Graph
from piecehub.consume.traces import Trace
from piecehub.facts.piece_manifest import PieceManifest
from piecehub.tensors import specs
from piecehub.tensors.specs import is_fact

Facts = Any  # of specs: `{"shape", "dtype"}`, or a list or dict of them


@dataclass(frozen=True)
class Call:
    """A trace of `__call__`: specs as JSON, and whether it is for training (None: it does not say)."""

    inputs: Facts
    outputs: Facts
    training: bool | None


@dataclass(frozen=True)
class Signature:
    """A serving signature: the specs of its inputs and outputs by name."""

    inputs: dict[str, Facts]
    outputs: dict[str, Facts]


@dataclass(frozen=True)
class Interface:
    """What can be called, and with what.

    Attributes:
        calls: the traces of `__call__`; none where it can only be served.
        hyperparameters: names of further arguments of `__call__`.
        trainable_variables: how many it lists.
        sub_pieces: attributes that are pieces themselves, as its manifest names them.
        signatures: by name.
    """

    calls: tuple[Call, ...]
    hyperparameters: tuple[str, ...]
    trainable_variables: int
    sub_pieces: tuple[str, ...]
    signatures: dict[str, Signature]

    def to_json(self) -> dict[str, Any]:
        """The interface as plain JSON."""
        return asdict(self)


def interface_of(graph: Graph, manifest: PieceManifest | None) -> Interface:
    """The interface of the SavedModel with that graph, and the manifest of a piece if it has one."""
    return Interface(
        calls=tuple(call for trace in described.traces(graph) for call in _calls(trace)),
        hyperparameters=tuple(described.hyperparameters(graph)),
        trainable_variables=described.listed(graph, "trainable_variables"),
        sub_pieces=tuple(sorted(manifest.sub_pieces)) if manifest else (),
        signatures={name: _signature(graph.first.signature_def[name]) for name in graph.signatures},
    )


def lacks(offered: Interface, needed: Interface) -> Iterator[str]:
    """What code that is written for `needed` misses in `offered`, each as `Expected …. Received: …`."""
    if needed.calls and not offered.calls:
        yield "Expected a model that can be called and fine-tuned. Received: signatures only."
    else:
        yield from dict.fromkeys(_calls_lack(offered, needed))
    if needed.trainable_variables and not offered.trainable_variables:
        yield "Expected trainable variables. Received: none."
    for what, wanted, found in (
        ("the hyperparameter", needed.hyperparameters, offered.hyperparameters),
        ("the sub-piece", needed.sub_pieces, offered.sub_pieces),
        ("the signature", needed.signatures, offered.signatures),
    ):
        for name in wanted:
            if name not in found:
                yield f"Expected {what} '{name}'. Received: {', '.join(found) or 'none'}."
    for name, signature in needed.signatures.items():
        if name in offered.signatures:
            yield from _signature_lacks(name, offered.signatures[name], signature)


def spec_text(facts: Facts) -> str:
    """Specs for a person: `float32 [batch, 8]`, `{ids: int32 [batch, ?]}`."""
    if is_fact(facts):
        return f"{facts['dtype']} {_shape_text(facts)}{_kind_text(facts)}"
    if isinstance(facts, Mapping):
        return "{" + ", ".join(f"{name}: {spec_text(item)}" for name, item in facts.items()) + "}"
    return "[" + ", ".join(map(spec_text, facts)) + "]"


def _calls(trace: Trace) -> list[Call]:
    """The calls that a trace takes: in both modes where `training` was traced as a tensor."""
    training = trace.arguments.get("training")
    modes = [True, False] if isinstance(training, tf.TensorSpec) else [training if isinstance(training, bool) else None]
    return [Call(_facts(trace.inputs), _facts(trace.outputs), mode) for mode in modes]


def _facts(value: Any) -> Facts:
    """As `specs.facts`, of a stranger's structure too: what is no spec of a tensor is told by its type."""
    if isinstance(value, Mapping):
        return {str(name): _facts(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_facts(item) for item in value]
    is_spec = isinstance(value, tf.TensorSpec | tf.RaggedTensorSpec | tf.SparseTensorSpec)
    return specs.facts(value) if is_spec else {"shape": None, "dtype": type(value).__name__}


def _signature(proto: Any) -> Signature:
    inputs, outputs = (
        {name: _tensor(tensors[name]) for name in sorted(tensors)} for tensors in (proto.inputs, proto.outputs)
    )
    return Signature(inputs, outputs)


def _tensor(info: Any) -> Facts:
    return specs.facts(tf.TensorSpec(tf.TensorShape(info.tensor_shape), info.dtype))


def _calls_lack(offered: Interface, needed: Interface) -> Iterator[str]:
    for call in needed.calls:
        same_mode = [other for other in offered.calls if call.training in (None, other.training)]
        if not same_mode:
            yield f"Expected calls with training={call.training}. Received: none."
            continue
        fitting = [other for other in same_mode if _contains(other.inputs, call.inputs)]
        if not fitting:
            yield f"Expected inputs {spec_text(call.inputs)}. Received: {spec_text(same_mode[0].inputs)}."
        elif not any(_contains(call.outputs, other.outputs, may_add=True) for other in fitting):
            yield f"Expected outputs {spec_text(call.outputs)}. Received: {spec_text(fitting[0].outputs)}."


def _signature_lacks(name: str, offered: Signature, needed: Signature) -> Iterator[str]:
    if not _contains(offered.inputs, needed.inputs):
        received = spec_text(offered.inputs)
        yield f"Expected inputs {spec_text(needed.inputs)} of the signature '{name}'. Received: {received}."
    if not _contains(needed.outputs, offered.outputs, may_add=True):
        received = spec_text(offered.outputs)
        yield f"Expected outputs {spec_text(needed.outputs)} of the signature '{name}'. Received: {received}."


def _contains(wider: Facts, narrower: Facts, *, may_add: bool = False) -> bool:
    """Whether every value that fits `narrower` fits `wider`; a dict that is read may have more keys (`may_add`)."""
    if is_fact(wider) or is_fact(narrower):
        return is_fact(wider) and is_fact(narrower) and _spec_contains(wider, narrower)
    if isinstance(wider, Mapping) and isinstance(narrower, Mapping):
        keys_fit = set(wider) <= set(narrower) if may_add else set(wider) == set(narrower)
        return keys_fit and all(_contains(wider[key], narrower[key], may_add=may_add) for key in wider)
    if isinstance(wider, list) and isinstance(narrower, list):
        return len(wider) == len(narrower) and all(map(_contains, wider, narrower))
    return False


def _spec_contains(wider: Mapping[str, Any], narrower: Mapping[str, Any]) -> bool:
    kinds = ("dtype", "ragged_rank", "sparse")
    if any(wider.get(key) != narrower.get(key) for key in kinds):
        return False
    shapes = wider["shape"], narrower["shape"]
    if shapes[0] is None:
        return True
    if shapes[1] is None or len(shapes[0]) != len(shapes[1]):
        return False
    return all(size is None or size == other for size, other in zip(*shapes, strict=True))


def _shape_text(facts: Mapping[str, Any]) -> str:
    if facts["shape"] is None:
        return "of any shape"
    sizes = ["?" if size is None else str(size) for size in facts["shape"]]
    return f"[{', '.join(['batch', *sizes[1:]] if sizes[:1] == ['?'] else sizes)}]"


def _kind_text(facts: Mapping[str, Any]) -> str:
    return " ragged" if facts.get("ragged_rank") else " sparse" if facts.get("sparse") else ""
