"""What all acts of these pages share: POST only, a refusal is audited, a service's no is a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect

from accounts.actor import Actor
from accounts.models import User
from accounts.permissions import require
from operations.admin.words import may
from operations.models import Operation
from operations.services import idempotency
from provisioning.errors import Forbidden, ProductError
from provisioning.exception_handler import plain, record_refusal

# What was done, in one sentence, and the page to go on with.
Done = tuple[str, str]


def acting(request: HttpRequest, act: Callable[[], Done], *, back: str) -> HttpResponse:
    """Do it and go on; where a service refuses, say so on the page `back`."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        said, url = act()
    except Forbidden as error:
        record_refusal(request, error)
        return plain(request, error.status, error.message)
    except ProductError as error:
        messages.error(request, error.message)
        return HttpResponseRedirect(back)
    messages.success(request, said)
    return HttpResponseRedirect(url)


def require_for(actor: Actor, permission: str, operation: Operation) -> None:
    """Raise Forbidden unless the actor holds it where the operation is."""
    if operation.workspace is not None:
        require(actor, permission, operation.workspace)
    elif not may(actor, permission, operation):
        raise Forbidden(f"This needs the permission {permission}, which you do not hold.")


def launch_by_form(
    request: HttpRequest, said: Mapping[str, Any], launch: Callable[[], Operation]
) -> Operation:
    """Launch once, however often the same filled form arrives: a double click, a reload. The form brings
    a key of its own; filled in another way it asks for something else."""
    user = request.user
    form_key = request.POST.get("form_key", "")
    if not form_key or not isinstance(user, User):
        return launch()
    body = orjson.loads(orjson.dumps(said, default=str))
    asked = idempotency.request_of(user, "form", "POST", request.path, body)
    key = f"form-{form_key[:64]}-{asked.digest}"
    asked = idempotency.request_of(user, key, "POST", request.path, body)
    found = idempotency.earlier(asked)
    return found if found is not None else idempotency.launch_once(asked, launch)[0]
