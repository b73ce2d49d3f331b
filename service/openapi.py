"""The OpenAPI document: what FastAPI makes of the endpoints, with our problems in place of its own errors."""

from typing import Any

from fastapi import FastAPI

from secateur.errors import InternalError, InvalidRequest, RateLimited, ScopeMissing, SecateurError, Unauthorized
from service.http.problems import MEDIA_TYPE
from service.middleware.authentication import OPEN

KEY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "sk_<prefix>_<secret>",
    "description": "An API key. A service that has none needs none, and listens to its own machine only.",
}
FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")


class Gateway(FastAPI):
    """FastAPI with a document that tells the errors as they are sent."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"] = _with_problems(operation["responses"])
            for path, operations in document["paths"].items():
                if path not in OPEN:
                    for operation in operations.values():
                        _guard(operation)
            document["components"]["securitySchemes"] = {"key": KEY_SCHEME}
            for name in FRAMEWORK_SCHEMAS:
                document["components"]["schemas"].pop(name, None)
        return self.openapi_schema or {}


def _with_problems(declared: dict[str, Any]) -> dict[str, Any]:
    """Responses by status, errors as ``application/problem+json``, and what every operation can answer added."""
    told = {status: _as_problem(response) for status, response in declared.items()}
    return dict(sorted((told | {str(InternalError.status): _problem(InternalError)}).items()))


def _guard(operation: dict[str, Any]) -> None:
    operation["security"] = [{"key": []}]
    refusals = {str(error.status): _problem(error) for error in (Unauthorized, ScopeMissing)}
    refusals["429"] = _problem(RateLimited)
    operation["responses"] = dict(sorted((refusals | operation["responses"]).items()))


def _as_problem(response: dict[str, Any]) -> dict[str, Any]:
    content = response.get("content", {})
    match content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]:
        case "HTTPValidationError":
            return _problem(InvalidRequest)
        case "Problem":
            return response | {"content": {MEDIA_TYPE: content["application/json"]}}
        case _:
            return response


def _problem(error: type[SecateurError]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": f"`{error.code}`: {error.title}.", "content": {MEDIA_TYPE: {"schema": schema}}}
