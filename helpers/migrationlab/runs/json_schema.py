"""Describe ``run.json`` as a JSON Schema, so that other tools can write and check runs.

The types are those that migrationlab itself checks with (``fields``, ``manifest``), the meanings
those of the schema and of ``RunRecord``. ``data/schema/run.schema.json`` is its output.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec

from migrationlab.runs.fields import facts_type
from migrationlab.runs.manifest import FORMAT, VERSION, File, StoredSummary
from migrationlab.runs.record import RunRecord
from migrationlab.runs.run import Run
from migrationlab.runs.schema import DEFINITION, FRAMES, METRICS, RECORDED, Column

#: The JSON types of a column's type.
_TYPES = {"Int64": "integer", "Float64": "number", "str": "string", "boolean": "boolean",
          "int64": "integer"}  # fmt: skip
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def run_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``run.json``, with the meaning of every field."""
    (facts, file, _), parts = msgspec.json.schema_components(
        (facts_type(Run), File, StoredSummary), ref_template="#/$defs/{name}"
    )
    name = facts["$ref"].rsplit("/", 1)[-1]
    meanings = _meanings()
    for key, about in parts[name]["properties"].items():
        if key in meanings:
            about["description"] = meanings[key]
    files = {
        f"{frame}.parquet": {
            **file,
            "description": f"{RECORDED[frame].about} Source: {RECORDED[frame].source}.",
        }
        for frame in FRAMES
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recorded migration",
        "description": "run.json of a run's folder; the frames are Parquet files beside it.",
        "type": "object",
        "required": ["format", "version", "run", "files", "sha256"],
        "properties": {
            "format": {"const": FORMAT},
            "version": {"const": VERSION, "description": "The version of the format."},
            "run": facts,
            "summary": {"anyOf": [{"type": "null"}, _summary()]},
            "files": {"type": "object", "properties": files},
            "sha256": {
                "type": "string",
                "description": "The SHA-256 of all lines before this one, up to the last comma.",
            },
        },
        "$defs": parts | {"frames": {"description": "The columns of the frames.", **_frames()}},
    }


def _summary() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["definition", "values"],
        "properties": {
            "definition": {
                "type": "integer",
                "description": f"The definition of the numbers; now {DEFINITION}.",
            },
            "values": {
                "type": "object",
                "properties": {name: _column(about) for name, about in METRICS.items()},
            },
        },
    }


def _frames() -> dict[str, Any]:
    return {
        "properties": {
            name: {"properties": {key: _column(about) for key, about in one.columns.items()}}
            for name, one in RECORDED.items()
        }
    }


def _column(about: Column) -> dict[str, Any]:
    unit = f" Unit: {about.unit}." if about.unit else ""
    return {"type": [_TYPES[about.type], "null"], "description": f"{about.meaning}.{unit}"}


def _meanings() -> dict[str, str]:
    described = inspect.cleandoc(RunRecord.__doc__ or "").partition("Attributes:\n")[2]
    return {
        name: " ".join(meaning.replace("``", "`").split())
        for name, meaning in _ATTRIBUTE.findall(described)
    }
