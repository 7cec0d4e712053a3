"""The OpenAPI document and the pages that show it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from django.test import Client
from drf_spectacular.validation import validate_schema

from accounts.permissions import ANY_USER, PUBLIC
from tests.system.test_url_map import EXPECTED, INSTALLER, ROUTES

# The contract's routes that are built; {id} whatever the parameter is called.
CONTRACT = {
    "GET /v1/servers",
    "POST /v1/servers/create",
    "GET /v1/servers/{id}",
    "DELETE /v1/servers/{id}",
    "GET /v1/servers/{id}/status",
    "GET /v1/taskservs",
    "POST /v1/taskservs/create",
    "GET /v1/taskservs/{id}",
    "DELETE /v1/taskservs/{id}",
    "GET /v1/taskservs/{id}/status",
    "GET /v1/clusters",
    "POST /v1/clusters/create",
    "GET /v1/clusters/{id}",
    "DELETE /v1/clusters/{id}",
    "GET /v1/clusters/{id}/status",
    "POST /v1/workflows/submit",
    "GET /v1/workflows",
    "GET /v1/workflows/{id}",
    "GET /v1/workflows/{id}/status",
    "POST /v1/workflows/{id}/cancel",
    "GET /v1/operations",
    "GET /v1/operations/{id}",
    "GET /v1/operations/{id}/log",
    "GET /v1/operations/{id}/log/stream",
    "GET /v1/operations/{id}/wait",
    "POST /v1/operations/{id}/cancel",
    "POST /v1/auth/login",
    "POST /v1/auth/refresh",
    "POST /v1/auth/logout",
    "GET /v1/auth/me",
    "POST /v1/auth/password",
    "GET /v1/users",
    "GET /v1/roles",
    "GET /v1/role-bindings",
    "GET /v1/workspaces",
    "GET /v1/audit",
    "GET /v1/auto-install/tokens",
    "POST /v1/auto-install/tokens",
    "PATCH /v1/auto-install/tokens/{id}",
    "DELETE /v1/auto-install/tokens/{id}",
    "GET /v1/auto-install/prepared",
    "POST /v1/auto-install/prepared",
    "GET /v1/auto-install/prepared/{id}",
    "PATCH /v1/auto-install/prepared/{id}",
    "DELETE /v1/auto-install/prepared/{id}",
    "POST /v1/auto-install/answer-files",
    "GET /v1/auto-install/answer-files/{id}",
    "GET /v1/auto-install/installations",
    "GET /v1/auto-install/installations/{id}",
    "DELETE /v1/auto-install/installations/{id}",
    "GET /v1/auto-install/attempts",
    "GET /v1/auto-install/attempts/{id}",
    "POST /v1/auto-install/preview",
    "GET /v1/version",
    "GET /v1/metrics",
    "GET /health",
    "GET /health/ready",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    answer = Client().get("/v1/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`GET /v1/servers/{id}` -> the operation."""
    return {
        f"{method.upper()} {re.sub('{[^}]+}', '{id}', path)}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_is_valid_openapi_3(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.")
    validate_schema(document)  # type: ignore[no-untyped-call]  # raises what is wrong


def test_it_is_the_same_whenever_it_is_asked_for(document: dict[str, Any]) -> None:
    assert Client().get("/v1/openapi.json").json() == Client().get("/v1/openapi.json").json()
    assert Client().get("/v1/openapi.json").json() == document


@pytest.mark.parametrize("noun", ["tokens", "prepared"])
def test_put_and_patch_take_the_same_body(noun: str, document: dict[str, Any]) -> None:
    """Both change only what they name."""
    operations = operations_of(document)
    put, patch = (
        operations[f"{method} /v1/auto-install/{noun}/{{id}}"]["requestBody"]["content"]
        for method in ("PUT", "PATCH")
    )
    bodies = [named_by(document, content["application/json"]["schema"]) for content in (put, patch)]

    assert bodies[0]["properties"] == bodies[1]["properties"]


def test_it_holds_every_route_of_the_contract(document: dict[str, Any]) -> None:
    assert set(operations_of(document)) >= CONTRACT


def test_it_holds_every_route_of_the_url_map_and_no_other(document: dict[str, Any]) -> None:
    served = {f"{route.method} {route.path}" for route in ROUTES}
    documentation = {"GET /v1/openapi.json", "GET /v1/docs", "GET /v1/redoc"}

    described = {name for name in operations_of(document) if not name.startswith("GET /health")}

    assert served - documentation <= described
    assert described <= served


def test_it_leaves_out_what_installers_call_and_other_manners(document: dict[str, Any]) -> None:
    """Those are Proxmox's protocol, which is not ours to describe."""
    described = {name.partition(" ")[2] for name in operations_of(document)}

    assert not described & INSTALLER
    assert not [path for path in described if path.startswith("/api2")]


@pytest.mark.parametrize("noun", ["tokens", "prepared", "installations", "attempts"])
def test_what_auto_install_answers_is_described_in_its_own_spelling(
    noun: str, document: dict[str, Any]
) -> None:
    """Kebab-case, as Proxmox spells it."""
    operation = operations_of(document)[f"GET /v1/auto-install/{noun}"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    listed = named_by(document, schema)
    assert listed["type"] == "array"

    keys = named_by(document, listed["items"])["properties"]
    assert len(keys) > 10
    assert not [key for key in keys if "_" in key]


def named_by(document: dict[str, Any], reference: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][reference["$ref"].rpartition("/")[2]]
    return found


def test_no_request_is_described_as_taking_null(document: dict[str, Any]) -> None:
    """None of auto-install's does: leaving out is how to unset, or `delete`."""

    def nulls(schema: Any, path: str) -> Iterator[str]:
        if isinstance(schema, dict):
            if schema.get("type") == "null" or schema.get("nullable"):
                yield path
            for key, value in schema.items():
                yield from nulls(value, f"{path}.{key}")
        elif isinstance(schema, list):
            for value in schema:
                yield from nulls(value, path)

    bodies = {
        name: operation["requestBody"]["content"]["application/json"]["schema"]
        for name, operation in operations_of(document).items()
        if "/auto-install/" in name and "requestBody" in operation
    }
    assert len(bodies) == 8

    found = [
        path for name, body in bodies.items() for path in nulls(named_by(document, body), name)
    ]

    assert found == []


def test_every_operation_has_a_summary_and_its_own_id(document: dict[str, Any]) -> None:
    operations = operations_of(document)

    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    assert not [name for name, operation in operations.items() if not operation.get("summary")]


def test_every_operation_tells_the_error_body_of_its_refusals(document: dict[str, Any]) -> None:
    for name, operation in operations_of(document).items():
        if name.startswith("GET /health") or name == "GET /v1/openapi.json":
            continue
        wrong = {status: r for status, r in operation["responses"].items() if status >= "400"}
        assert wrong, name
        for response in wrong.values():
            assert response["content"]["application/json"]["schema"]["$ref"].endswith("/Error")


def test_only_what_is_public_needs_no_token(document: dict[str, Any]) -> None:
    for (method, path), (_, who) in EXPECTED.items():
        operation = operations_of(document).get(f"{method} {path}")
        if operation is None:
            continue
        needs_token = bool(operation.get("security")) and {} not in operation["security"]
        assert needs_token == (who != PUBLIC), (method, path)


def test_the_permission_stands_in_the_description(document: dict[str, Any]) -> None:
    operations = operations_of(document)

    for route in ROUTES:
        operation = operations.get(f"{route.method} {route.path}")
        needed = route.view.required_permissions[route.action]
        if operation is not None and needed not in (PUBLIC, ANY_USER):
            assert f"`{needed}`" in operation["description"]


def test_a_launch_is_described_as_202_or_200_for_who_prefers_to_wait(
    document: dict[str, Any],
) -> None:
    for name, operation in operations_of(document).items():
        if name.endswith(("/create", "/submit")) and name.startswith("POST"):
            assert "202" in operation["responses"], name
            replay = operation["responses"].get("200", operation["responses"]["202"])
            assert replay["content"] == operation["responses"]["202"]["content"], name
            assert "200" in operation["responses"], name
            assert "Prefer" in {parameter["name"] for parameter in operation["parameters"]}, name


def test_its_examples_match_its_schemas(document: dict[str, Any]) -> None:
    checked = 0
    for name, operation in operations_of(document).items():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in body.get("examples", {}).values():
            schema = body["schema"] | {"components": document["components"]}
            jsonschema.validate(example["value"], schema, jsonschema.Draft202012Validator)
            checked += 1
            assert name
    assert checked >= 5


# --- The pages ---------------------------------------------------------------------------------

ASSET = re.compile(r"<(?:script|link|img)\b[^>]*?\b(?:src|href)=\"([^\"]*)\"", re.IGNORECASE)


@pytest.mark.parametrize("path", ["/v1/docs", "/v1/redoc"])
def test_a_page_loads_everything_from_here(path: str, client: Client) -> None:
    page = client.get(path).content.decode()

    assets = [asset for asset in ASSET.findall(page) if not asset.startswith("data:")]
    assert assets
    for asset in assets:
        assert asset.startswith("/"), asset
        assert not asset.startswith("//"), asset


@pytest.mark.parametrize("path", ["/v1/docs", "/v1/redoc"])
def test_a_page_finds_what_it_loads(path: str, client: Client) -> None:
    page = client.get(path).content.decode()

    for asset in ASSET.findall(page):
        if asset.startswith("/"):
            answer = client.get(asset)
            assert answer.status_code == 200, asset
            assert answer.getvalue(), asset


@pytest.mark.parametrize("path", ["/v1/docs", "/v1/redoc"])
def test_a_page_runs_no_inline_script(path: str, client: Client) -> None:
    page = client.get(path).content.decode()

    scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", page, re.IGNORECASE | re.DOTALL)
    assert scripts
    for attributes, text in scripts:
        assert "src=" in attributes
        assert not text.strip()
    assert not re.search(r"\son[a-z]+=", page)


@pytest.mark.parametrize("path", ["/v1/docs", "/v1/redoc"])
def test_a_page_shows_the_document_of_this_server(path: str, client: Client) -> None:
    page = client.get(path).content.decode()
    scripts = "".join(
        client.get(src).content.decode() for src in ASSET.findall(page) if src.startswith("/v1/")
    )

    assert "/v1/openapi.json" in page + scripts
