"""The WSGI application, warm before it takes its first request.

A cold worker was measured to need 0.8 to 1.5 s for its first requests: routes, serializers and
templates are loaded at the first use. One request through the whole stack loads them here.
"""

from __future__ import annotations

import gc
import io
import logging
import os
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "provisioning.settings")

django_application = get_wsgi_application()

from django.core.handlers.wsgi import WSGIRequest  # noqa: E402 - Django has to be set up first
from django.db import close_old_connections  # noqa: E402

from provisioning.middleware import (  # noqa: E402
    MachineRoutesMiddleware,
    RequestContextMiddleware,
    call_machine_route,
)


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Django, which reads a body only as far as its Content-Length: one that comes in chunks is read
    here, up to the limit, and given its length. What is longer is refused by its length."""
    if environ.get("HTTP_TRANSFER_ENCODING") and not environ.get("CONTENT_LENGTH"):
        body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = io.BytesIO(body)
    if MachineRoutesMiddleware.PATHS.match(environ.get("PATH_INFO", "")):
        return answer_machine(environ, start_response)
    return django_application(environ, start_response)


# The installers' requests pass through what stands first in settings.MIDDLEWARE, and nothing else.
machine_routes = RequestContextMiddleware(call_machine_route)


def answer_machine(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The same views by a shorter way: Django's handler, its signals and the wrappers around each
    middleware were measured at a fifth of an answer's cost. These views let no exception out."""
    close_old_connections()
    response = machine_routes(MachineRequest(environ))
    status = f"{response.status_code} {response.reason_phrase}"
    start_response(status, list(response.items()))
    return [response.content]


class MachineRequest(WSGIRequest):
    """What a machine sends is read as it is, whatever Content-Type it declares."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Django's own, which takes the header apart, was measured at 5 % of an answer's cost."""
        self.content_type, self.content_params = meta.get("CONTENT_TYPE", ""), {}


def warm_up() -> None:
    """One request through the whole stack, without a line in the log."""
    from django.test import RequestFactory
    from django.urls import resolve

    from accounts import sessions  # noqa: F401 - loads what the first login needs

    resolve("/v1/operations")
    load_catalogue()
    log = logging.getLogger("provisioning.access")
    log.disabled = True
    request: Any = RequestFactory().get("/health")
    django_application.get_response(request).close()
    log.disabled = False


def load_catalogue() -> None:
    """The prepared configs, of which there may be thousands, before the first machine asks."""
    from django.db import connection

    from autoinstall import snapshot

    try:
        snapshot.current()
    except Exception as error:  # no database, or not migrated: readiness tells, and this goes on
        logging.getLogger("provisioning").warning("prepared configs not loaded: %s", error)
    connection.close()


warm_up()
# What is loaded stays: a collection that went through all of it, and thousands of prepared configs, would
# hold up every request that is under way.
gc.collect()
gc.freeze()
