"""The WSGI application, warm before it takes its first request.

A cold worker was measured to need 0.8 to 1.5 s for its first requests: routes, serializers and
templates are loaded at the first use. One request through the whole stack loads them here.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "provisioning.settings")

application = get_wsgi_application()


def warm_up() -> None:
    """One request through the whole stack, without a line in the log."""
    from django.test import RequestFactory
    from django.urls import resolve

    from accounts import sessions  # noqa: F401 - loads what the first login needs

    resolve("/v1/operations")
    log = logging.getLogger("provisioning.access")
    log.disabled = True
    request: Any = RequestFactory().get("/health")
    application.get_response(request).close()
    log.disabled = False


warm_up()
