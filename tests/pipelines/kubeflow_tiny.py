"""A tiny TFX pipeline of function components, for the tests of Kubeflow's compiler and entry point."""

import json
from pathlib import Path
from typing import TypedDict

from absl import flags
from tfx import v1 as tfx
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types.channel_utils import union

from components import Documentation, Piece
from components.dsl import InputArtifact, OutputArtifact, Parameter


class Count(TypedDict):
    count: int


@component
def MakePiece(
    examples: InputArtifact[tfx.types.standard_artifacts.Examples],
    piece: OutputArtifact[Piece],
    width: Parameter[int],
    title: Parameter[str],
) -> Count:
    facts = {"width": width, "title": title, "span": examples.get_int_custom_property("span")}
    Path(piece.uri, "facts.json").write_text(json.dumps(facts))
    piece.set_int_custom_property("feature_width", width)
    return {"count": width + 1}


@component
def UsePiece(
    piece: InputArtifact[Piece],
    documentation: OutputArtifact[Documentation],
    count: int,
) -> None:
    width = piece.get_int_custom_property("feature_width")
    assert isinstance(width, int)
    assert flags.FLAGS.stderrthreshold  # raises until flags were parsed; libraries ask for theirs in this way
    Path(documentation.uri, "documentation.md").write_text(f"{width} of {count}")


@component
def UseMany(pieces: InputArtifact[Piece], documentation: OutputArtifact[Documentation]) -> None:
    Path(documentation.uri, "documentation.md").write_text(pieces.uri)


@component
def MakeAny(piece: OutputArtifact[Piece]) -> None:
    Path(piece.uri, "facts.json").write_text("{}")


@component
def Switch(piece: OutputArtifact[Piece], on: Parameter[bool]) -> None:
    Path(piece.uri, "facts.json").write_text(str(on))


def tiny_pipeline(input_base: str) -> tfx.dsl.Pipeline:
    splits = [tfx.proto.Input.Split(name="train", pattern="span-{SPAN}/*")]
    examples = tfx.components.ImportExampleGen(
        input_base=input_base, input_config=tfx.proto.Input(splits=splits)
    ).with_id("Examples")
    make = MakePiece(
        examples=examples.outputs["examples"],
        width=4,
        title=RuntimeParameter(name="title", ptype=str, default="a piece"),
    )
    use = UsePiece(piece=make.outputs["piece"], count=make.outputs["count"])
    return _pipeline([examples, make, use])


def pipeline_with_a_union() -> tfx.dsl.Pipeline:
    makers = [MakeAny().with_id(f"MakeAny{i}") for i in range(2)]
    both = union([maker.outputs["piece"] for maker in makers])
    return _pipeline([*makers, UseMany(pieces=both)])


def pipeline_of_one() -> tfx.dsl.Pipeline:
    return _pipeline([MakeAny()])


def pipeline_with_a_bool() -> tfx.dsl.Pipeline:
    return _pipeline([Switch(on=True)])


def _pipeline(components: list) -> tfx.dsl.Pipeline:
    return tfx.dsl.Pipeline(
        pipeline_name="tiny",
        pipeline_root="unused",
        components=components,
        enable_cache=True,
        beam_pipeline_args=["--runner=FnApiRunner"],
    )
