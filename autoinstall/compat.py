"""The manners of Proxmox Datacenter Manager on `/api2/json`: same services, another envelope.

Success is `{"data": ..., "digest"?: ...}`, an error one sentence of plain text with its status, the
digest is over a whole collection, and a wrong one is 400. Who may do what is asked as everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar

import orjson
from django.http import HttpRequest, HttpResponse, QueryDict
from django.views.decorators.csrf import csrf_exempt
from rest_framework.parsers import BaseParser, FormParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.actor import Actor, actor_of
from accounts.permissions import ANY_USER
from autoinstall.documents import TokenChange, TokenCreate
from autoinstall.models import (
    AnswerToken,
    Attempt,
    PreparedConfig,
    TemplateCounter,
)
from autoinstall.services import configs, installing, tokens
from autoinstall.services.configs import Saved
from autoinstall.services.tokens import Precondition
from autoinstall.shapes import info_of
from autoinstall.views.installations import uuid_of
from autoinstall.views.manners import read_delete, read_shape, take_secrets
from provisioning.errors import Invalid
from provisioning.exception_handler import handle
from provisioning.formats import JSONParser
from provisioning.logs import path_without_secrets

LISTS = frozenset(
    {"authorized-tokens", "root-ssh-keys", "disk-list", "delete", "source-cidrs"}
)  # in a form, a repeated key
REALM = "provisioning"  # of `user@realm`, as Datacenter Manager writes people


# --- Envelope ----------------------------------------------------------------------------------


def data(value: Any, **attributes: Any) -> Response:
    return Response({"data": value, **attributes})


def plain_text(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """The same sentence and status as everywhere, without the body around it."""
    response = handle(error, context)
    assert isinstance(response.data, dict)
    refused = sentence(response.status_code, str(response.data["message"]))
    for name in ("Retry-After", "WWW-Authenticate"):
        if name in response:
            refused[name] = response[name]
    return refused


def sentence(status: int, text: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")


@csrf_exempt
def unknown(request: HttpRequest) -> HttpResponse:
    return sentence(404, f"There is no path {path_without_secrets(request.path)[:200]!r}.")


class UndeclaredParser(BaseParser):
    """What declares no type is a form; more types than JSON and forms there are not."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        if not media_type:
            return FormParser().parse(stream, media_type, parser_context)
        raise Invalid(
            f"Content-Type: {media_type[:80]!r} is not read here: send application/json, or a form as "
            "application/x-www-form-urlencoded."
        )


class CompatView(APIView):
    """`required_permissions` by method; a method that is not there is an unknown path."""

    parser_classes = (JSONParser, FormParser, UndeclaredParser)
    required_permissions: ClassVar[dict[str, str]] = {}
    schema = None

    def get_exception_handler(self) -> Callable[..., HttpResponse]:
        return plain_text

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return unknown(request._request)

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    def body(self) -> tuple[dict[str, Any], bool]:
        """The body, and whether it came as a form, whose values are all texts."""
        given = self.request.data
        if not isinstance(given, QueryDict):
            return dict(given), False
        return {key: given.getlist(key) if key in LISTS else given[key] for key in given}, True


class IndexView(CompatView):
    required_permissions: ClassVar[dict[str, str]] = {"get": ANY_USER}

    def get(self, request: Request) -> Response:
        names = ("answer", "installations", "prepared", "tokens")
        return data([{"subdir": name} for name in names])


# --- Digest ------------------------------------------------------------------------------------


def digest_of(rows: list[Any]) -> str:
    """SHA-256 over whatever tells one state of a collection from another; of nothing for none."""
    return hashlib.sha256(orjson.dumps(rows) if rows else b"").hexdigest()


def digest_of_tokens() -> str:
    return digest_of(list(AnswerToken.objects.order_by("pk").values_list("pk", "generation")))


def digest_of_configs() -> str:
    rows = list(PreparedConfig.objects.order_by("pk").values_list("pk", "generation"))
    counters = TemplateCounter.objects.order_by("pk").values_list("pk", "value")
    return digest_of([*rows, *counters])


def expected(body: dict[str, Any], present: Callable[[], str]) -> Precondition:
    """Take the digest that the caller has seen out of the body, as a check under the catalogue's lock."""
    if "digest" not in body:
        return tokens.any_state
    wanted = body.pop("digest")
    if not (isinstance(wanted, str) and _is_digest(wanted)):
        raise Invalid("must be 64 lower-case hexadecimal digits", field="digest")

    def check(row: Any) -> None:
        if wanted != present():
            raise Invalid("The configuration was changed by somebody else: read it again.")

    return check


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


# --- Tokens ------------------------------------------------------------------------------------


def token_wire(token: AnswerToken) -> dict[str, Any]:
    wire = {
        "id": token.name,
        "created-by": f"{token.created_by}@{REALM}",
        "comment": token.comment,
        "enabled": token.enabled,
        "expire-at": token.expire_at,
    }
    return {key: value for key, value in wire.items() if value is not None}


class TokensView(CompatView):
    required_permissions: ClassVar[dict[str, str]] = {
        "get": "answer_token_read",
        "post": "answer_token_manage",
    }

    def get(self, request: Request) -> Response:
        rows = AnswerToken.objects.order_by("pk")
        return data([token_wire(row) for row in rows], digest=digest_of_tokens())

    def post(self, request: Request) -> Response:
        body, is_form = self.body()
        wanted = read_shape(TokenCreate, body, lax=is_form)
        token, secret = tokens.create_token(wanted=wanted, actor=self.actor)
        return data({"token": token_wire(token), "secret": secret})


class TokenView(CompatView):
    required_permissions: ClassVar[dict[str, str]] = {
        "put": "answer_token_manage",
        "delete": "answer_token_manage",
    }

    def put(self, request: Request, name: str) -> Response:
        body, is_form = self.body()
        body.pop("id", None)
        precondition = expected(body, digest_of_tokens)
        token, secret = tokens.change_token(
            name=name,
            change=read_shape(TokenChange, body, lax=is_form),
            actor=self.actor,
            precondition=precondition,
        )
        return data({"token": token_wire(token), "secret": secret})

    def delete(self, request: Request, name: str) -> Response:
        tokens.delete_token(name=name, actor=self.actor)
        return data(None)


# --- Prepared configs --------------------------------------------------------------------------


def saved_wire(saved: Saved) -> Response:
    token = None
    if saved.token is not None:
        token = {"token": token_wire(saved.token), "secret": saved.secret}
    answer: dict[str, Any] = {"config": configs.wire_of(saved.config), "token": token}
    return data(answer, **({"warnings": saved.warnings} if saved.warnings else {}))


class ConfigsView(CompatView):
    required_permissions: ClassVar[dict[str, str]] = {
        "get": "prepared_config_read",
        "post": "prepared_config_manage",
    }

    def get(self, request: Request) -> Response:
        rows = list(PreparedConfig.objects.order_by("pk"))
        return data(configs.wires_of(rows), digest=digest_of_configs())

    def post(self, request: Request) -> Response:
        body, is_form = self.body()
        rest, secrets = take_secrets(body)
        saved = configs.create_config(
            document=configs.read_document(rest, lax=is_form), secrets=secrets, actor=self.actor
        )
        return saved_wire(saved)


class ConfigView(CompatView):
    required_permissions: ClassVar[dict[str, str]] = {
        "get": "prepared_config_read",
        "put": "prepared_config_manage",
        "delete": "prepared_config_manage",
    }

    def get(self, request: Request, name: str) -> Response:
        return data(configs.wire_of(configs.find_config(name)))

    def put(self, request: Request, name: str) -> Response:
        body, is_form = self.body()
        body.pop("id", None)
        precondition = expected(body, digest_of_configs)
        rest, secrets = take_secrets(body)
        saved = configs.change_config(
            name=name,
            delete=read_delete(rest),
            values=rest,
            secrets=secrets,
            actor=self.actor,
            precondition=precondition,
            lax=is_form,
        )
        return saved_wire(saved)

    def delete(self, request: Request, name: str) -> Response:
        configs.delete_config(name=name, actor=self.actor)
        return data(None)


# --- Installations -----------------------------------------------------------------------------


def installation_wire(row: Attempt) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "uuid": str(row.id),
        "received-at": int(row.received_at.timestamp()),
        "status": row.status,
        "info": info_of(row),
    }
    if row.config_name:
        wire["answer-id"] = row.config_name
    if row.hook_data is not None:
        wire["post-hook-data"] = row.hook_data
    return wire


class InstallationsView(CompatView):
    required_permissions: ClassVar[dict[str, str]] = {"get": "installation_read"}

    def get(self, request: Request) -> Response:
        rows = list(Attempt.installations.order_by("pk"))
        states = [[str(row.id), row.status, row.hook_digest] for row in rows]
        return data([installation_wire(row) for row in rows], digest=digest_of(states))


class InstallationView(CompatView):
    required_permissions: ClassVar[dict[str, str]] = {"delete": "installation_manage"}

    def delete(self, request: Request, attempt: str) -> Response:
        row = Attempt.installations.filter(pk=uuid_of(attempt)).first()
        if row is None:
            return sentence(404, f"There is no installation {attempt}.")  # type: ignore[return-value]
        installing.delete_installation(attempt=row, actor=self.actor)
        return data(None)
