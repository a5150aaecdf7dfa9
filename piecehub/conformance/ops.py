"""Which operations a graph may hold: an allow-list over TensorFlow's own registry.

    unknown       not in the registry of TensorFlow alone: the graph loads only beside another library (S6)
    bound         made for one kind of hardware or for one compiler (S5)
    allowed       computes from its inputs, or touches only state that lives and dies with the model (S4)

An operation is allowed if TensorFlow registers it as stateless and no line of `_REACHING_OUT` names it, or as stateful
and a line of `_OWN_STATE` names it. So a stateful operation that a later TensorFlow brings is refused until somebody
has looked at it. Those of TensorFlow 2.21 that are stateless have been looked at: the word only says that a call may be
left out or made twice, and `ReadFile` and `PyFuncStateless` are stateless too.
"""

import re

from tensorflow.core.framework.op_def_pb2 import OpDef
from tensorflow.python.framework import op_def_registry

# What saving and restoring needs. Only the saver may use it (graph.py).
SAVER = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"})

# Read the table's file; that it is one of the model's assets is S10.
TABLE_FILES = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})

_REACHING_OUT = re.compile(
    r"_.*"  # TensorFlow makes these itself while it runs a graph
    r"|ReadFile|MatchingFiles|ImmutableConst|GenerateVocabRemapping|ShardedFilespec|DecodeProtoV2|EncodeProto"  # files
    r"|.*Dataset.*|.*Iterator.*"  # files, other machines, and graphs hidden in strings (DatasetFromGraph)
    r"|PyFuncStateless|MlirPassthroughOp"  # code
    r"|Copy|CopyHost|Debug.*"  # print, write, or send to the address in an attribute
    r"|Queue.*|Barrier.*|Accumulator.*|Reader.*|DTensor.*|CopyToMesh|Relayout.*"  # shared with others
    r"|Batch|BatchFunction|Unbatch(Grad)?|CustomAggregator"  # puts what several callers ask into one, or keeps it
    r"|Abort|.*Sleep.*"
)

_OWN_STATE = re.compile(
    # variables
    r"VarHandleOp|VarIsInitializedOp|ReadVariableOp|Assign(Add|Sub)?VariableOp|VariableShape|Variable(V2)?"
    r"|TemporaryVariable|DestroyResourceOp|DisableCopyOnRead|ResourceCountUpTo|ResourceStridedSliceAssign"
    r"|Resource(Gather|Scatter|Apply|SparseApply)\w*"
    # tables; their files are the model's assets, which S10 looks at
    r"|(Anonymous)?(Mutable(Dense)?)?HashTable(OfTensors)?(V2)?|LookupTable(Find|Insert|Remove|Size|Export|Import)V2"
    r"|InitializeTable(FromTextFile)?V2"
    # random numbers
    r"|Random(Uniform|UniformInt|StandardNormal|Gamma|Poisson|PoissonV2|Shuffle|Crop)|(Parameterized)?TruncatedNormal"
    r"|Multinomial|Stateful(StandardNormal(V2)?|TruncatedNormal|Uniform|UniformInt|UniformFullInt|RandomBinomial)"
    r"|NonDeterministicInts|RngSkip|RngReadAndSkip|StatelessRandomGetAlg|SampleDistortedBoundingBox(V2)?"
    r"|(All|LogUniform|LearnedUnigram|ThreadUnsafeUnigram|Uniform)CandidateSampler"
    # control flow, calls, and what raises
    r"|If|While|Case|StatefulPartitionedCall|Assert|CheckNumerics(V2)?|GuaranteeConst|DeviceIndex|Empty"
    # arrays of tensors; an iterator can only be read where one is passed in, for none can be made
    r"|TensorArray\w*|Stack(V2|PushV2|PopV2|CloseV2)?|IteratorGetNext"
)

_BOUND = re.compile(r"_?(Cudnn|Nccl|Xla)\w*|\w*(TPU|Tpu|SparseCore|DedupData)\w*|(In|Out)feed\w*|Prelinearize\w*")

_LIBRARIES = (
    (re.compile(r"TFText>.*|.*Sentencepiece.*|.*[Ww]ordpiece.*|.*UTF8.*|.*TokenizeWithOffsets.*"), "tensorflow_text"),
    (re.compile(r"Addons>.*"), "tensorflow_addons"),
    (re.compile(r"SimpleML.*"), "tensorflow_decision_forests"),
    (re.compile(r"TFRA>.*"), "tensorflow_recommenders_addons"),
    (re.compile(r"IO>.*"), "tensorflow_io"),
)


def is_known(op: str) -> bool:
    """Whether TensorFlow alone registers the operation."""
    return _definition(op) is not None


def is_bound(op: str) -> bool:
    """Whether the operation runs only on one kind of hardware or through one compiler."""
    return bool(_BOUND.fullmatch(op))


def is_allowed(op: str) -> bool:
    """Whether the operation leaves files, other machines, Python and the terminal alone."""
    definition = _definition(op)
    if definition is None or is_bound(op):
        return False
    return bool(_OWN_STATE.fullmatch(op)) if definition.is_stateful else not _REACHING_OUT.fullmatch(op)


def library_of(op: str) -> str:
    """The library that brings the operation; 'an unknown library' if its name tells none."""
    return next((library for pattern, library in _LIBRARIES if pattern.fullmatch(op)), "an unknown library")


def _definition(op: str) -> OpDef | None:
    return op_def_registry.get(op)
