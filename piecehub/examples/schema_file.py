"""What ImportSchemaGen of TFX does: a schema that a person wrote, as an artifact. Light, unlike others here."""

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from piecehub.errors import DataError
from piecehub.facts.provenance import Facts

FILE_NAME = "schema.pbtxt"
_protos: Any = schema_pb2  # generated: the type checker sees none of its names


def bring_schema(schema: Path, schema_file: str) -> Facts:
    """Copies the file into `schema`, if it is one.

    Raises:
        DataError: if there is no such file, or it is no schema in protobuf's text form.
    """
    try:
        content = Path(schema_file).read_bytes()
        text_format.Parse(content, _protos.Schema())
    except OSError as error:
        raise DataError(
            f"Expected a schema in '{schema_file}'. Received: {error.strerror}; correct the path."
        ) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise DataError(f"Expected a schema as text in '{schema_file}'. Received: {error}; mend the file.") from error
    (schema / FILE_NAME).write_bytes(content)
    return {}
