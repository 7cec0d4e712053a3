"""The OpenAPI document: every operation tells the error body and names what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from accounts.permissions import ANY_USER, PUBLIC

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error", "message", "code", "request_id"],
    "properties": {
        "error": {"type": "string", "example": "VALIDATION_ERROR"},
        "message": {"type": "string", "description": "One plain sentence."},
        "code": {"type": "string", "description": "The HTTP status.", "example": "400"},
        "request_id": {"type": "string"},
        "details": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}


class Schema(AutoSchema):
    """Gives every operation a summary, and its permission at the end of its description."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        needed = self._needed()
        if operation and needed and needed not in (ANY_USER, PUBLIC):
            text = f"{operation.get('description', '')}\n\nNeeds the permission `{needed}`."
            operation["description"] = text.strip()
        return operation

    def get_summary(self) -> str | None:
        """What an action that tells none of its own does."""
        noun = str(getattr(self.view, "basename", "")).replace("-", " ")
        match getattr(self.view, "action", None):
            case "list":
                return f"List {noun}s"
            case "retrieve":
                return f"One {noun}"
        return None

    def get_auth(self) -> list[dict[str, list[str]]]:
        return [] if self._needed() == PUBLIC else list(super().get_auth())

    def _needed(self) -> str | None:
        required: dict[str, str] = getattr(self.view, "required_permissions", {})
        return required.get(getattr(self.view, "action", None) or self.method.lower())


class AccessTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.AccessTokenAuthentication"
    name = "accessToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def write_pydantic_as_openapi_3_0(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Spectacular's postprocessing hook: pydantic writes JSON Schema 2020, where `null` is a type and one
    value is a `const`. A request's optional field is one that may be left out, never null."""
    schemas = result.get("components", {}).get("schemas", {})
    for name, schema in schemas.items():
        _rewrite(schema, is_request=name.endswith("Request") or name not in _answered(result))
    return result


def _answered(result: dict[str, Any]) -> frozenset[str]:
    """Names of the schemas that answers are made of, with all that these are made of."""
    schemas = result.get("components", {}).get("schemas", {})
    responses = [
        operation.get("responses", {})
        for methods in result.get("paths", {}).values()
        for operation in methods.values()
        if isinstance(operation, dict)
    ]
    found: set[str] = set()
    queue = list(_references(responses))
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue.extend(_references(schemas.get(name, {})))
    return frozenset(found)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _rewrite(schema: Any, *, is_request: bool) -> None:
    """In place, all the way down."""
    if isinstance(schema, list):
        for item in schema:
            _rewrite(item, is_request=is_request)
    if not isinstance(schema, dict):
        return
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if isinstance(schema.get("additionalProperties"), dict):
        schema.pop("propertyNames", None)  # 3.0 has no words for it; the message names the rule
    choices = schema.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        _without_null(schema, choices, is_request=is_request)
    for item in schema.values():
        _rewrite(item, is_request=is_request)


def _without_null(
    schema: dict[str, Any], choices: list[dict[str, Any]], *, is_request: bool
) -> None:
    rest = [choice for choice in choices if choice != {"type": "null"}]
    del schema["anyOf"]
    if len(rest) > 1:
        schema["anyOf"] = rest
    elif "$ref" in rest[0]:
        schema["allOf"] = rest
    else:
        schema.update({key: value for key, value in rest[0].items() if key not in schema})
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    if not is_request:
        schema["nullable"] = True


def add_error_responses(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Spectacular's postprocessing hook: the one error body for everything that can go wrong."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = ERROR_SCHEMA
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for path, methods in result.get("paths", {}).items():
        for method, operation in methods.items():
            if not isinstance(operation, dict) or "responses" not in operation:
                continue
            for status in statuses_of(path, method, operation):
                operation["responses"].setdefault(
                    status, {"description": DESCRIPTIONS[status], "content": content}
                )
    return result


DESCRIPTIONS = {
    "400": "Something in the request breaks a rule; the message names it.",
    "401": "No valid access token.",
    "403": "The permission is missing.",
    "404": "There is nothing with this id that you may see.",
    "405": "The path does not know this method.",
    "409": "The present state forbids it.",
    "413": "The body is too large.",
    "415": "The body is no JSON.",
    "416": "Nothing of this range is there.",
    "429": "Too many failed logins; see Retry-After.",
    "503": "Too many streams are open; see Retry-After.",
}


def statuses_of(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    found = ["400", "401", "403"] if operation.get("security") else ["400", "401", "429"]
    if "{" in path:
        found.append("404")
    if path.endswith("/log"):
        found.append("416")
    if path.endswith("/log/stream"):
        found.append("503")
    if method in ("post", "put", "patch", "delete"):
        found += ["409", "413", "415"]
    return found
