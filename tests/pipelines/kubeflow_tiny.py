"""Tiny TFX pipelines of function components, for the tests of Kubeflow's compiler."""

import json
from pathlib import Path

from tfx import v1 as tfx
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types.channel_utils import union

from components import Documentation, Piece
from components.dsl import InputArtifact, OutputArtifact, Parameter


@component
def MakePiece(piece: OutputArtifact[Piece], width: Parameter[int], title: Parameter[str]) -> None:
    Path(piece.uri, "facts.json").write_text(json.dumps({"width": width, "title": title}))


@component
def UsePiece(piece: InputArtifact[Piece], documentation: OutputArtifact[Documentation]) -> None:
    Path(documentation.uri, "documentation.md").write_text(piece.uri)


@component
def UseMany(pieces: InputArtifact[list[Piece]], documentation: OutputArtifact[Documentation]) -> None:
    Path(documentation.uri, "documentation.md").write_text(" ".join(piece.uri for piece in pieces))


@component
def MakeAny(piece: OutputArtifact[Piece]) -> None:
    Path(piece.uri, "facts.json").write_text("{}")


@component
def Switch(piece: OutputArtifact[Piece], on: Parameter[bool]) -> None:
    Path(piece.uri, "facts.json").write_text(str(on))


def tiny_pipeline() -> tfx.dsl.Pipeline:
    make = MakePiece(width=4, title=RuntimeParameter(name="title", ptype=str, default="a piece"))
    return _pipeline([make, UsePiece(piece=make.outputs["piece"])])


def pipeline_with_a_union() -> tfx.dsl.Pipeline:
    makers = [MakePiece(width=i, title="a piece").with_id(f"MakePiece{i}") for i in range(2)]
    both = union([maker.outputs["piece"] for maker in makers])
    return _pipeline([*makers, UseMany(pieces=both)])


def pipeline_of_one() -> tfx.dsl.Pipeline:
    return _pipeline([MakeAny()])


def pipeline_with_a_bool() -> tfx.dsl.Pipeline:
    return _pipeline([Switch(on=True)])


def pipeline_with_an_example_gen() -> tfx.dsl.Pipeline:
    return _pipeline([tfx.components.ImportExampleGen(input_base="/nowhere")])


def _pipeline(components: list) -> tfx.dsl.Pipeline:
    return tfx.dsl.Pipeline(
        pipeline_name="tiny",
        pipeline_root="unused",
        components=components,
        enable_cache=True,
        beam_pipeline_args=["--runner=FnApiRunner"],
    )
