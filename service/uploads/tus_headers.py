"""The headers of tus as the OpenAPI document shows them. ``service.uploads.tus`` reads them."""

from collections.abc import Sequence
from typing import Any, Final

from service.uploads.tus import VERSION

Parameter = dict[str, Any]


def _header(name: str, schema: dict[str, Any], text: str, *, required: bool = True, **more: Any) -> Parameter:
    return {"name": name, "in": "header", "required": required, "description": text, "schema": schema, **more}


SPEAKS: Final = _header("Tus-Resumable", {"type": "string", "enum": [VERSION]}, "The version of tus that is spoken.")
BEGINS: Final[Sequence[Parameter]] = (
    SPEAKS,
    _header("Upload-Length", {"type": "integer", "minimum": 1}, "Bytes of the whole upload."),
    _header(
        "Upload-Metadata",
        {"type": "string", "pattern": "^[!-+.-~]+ [A-Za-z0-9+/]+=*(,[!-+.-~]+ [A-Za-z0-9+/]+=*)*$"},
        "`kind` (`model` or `dataset`), `name`, perhaps `digest`, and how a data set is to be read; values in base64.",
        example="kind bW9kZWw=,name bGVuZXQua2VyYXM=",
    ),
)
CONTINUES: Final[Sequence[Parameter]] = (
    SPEAKS,
    _header(
        "Upload-Offset",
        {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
        "Where in the upload the piece begins.",
    ),
    _header(
        "Upload-Checksum",
        {"type": "string", "pattern": "^sha(1 [A-Za-z0-9+/]{27}|256 [A-Za-z0-9+/]{43})=$"},
        "Of the piece: an algorithm and a digest in base64. It then counts whole or not at all.",
        required=False,
    ),
)


def with_headers(headers: Sequence[Parameter], **more: Any) -> dict[str, Any]:
    """What FastAPI's ``openapi_extra`` takes."""
    return {"parameters": list(headers), **more}
