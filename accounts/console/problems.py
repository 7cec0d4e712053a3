"""What the console answers instead of a page: to a browser in its own look, to a script as the API does."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from accounts.console.timeouts import CONSOLE

log = logging.getLogger("provisioning.console")


@dataclass(frozen=True)
class Problem:
    """A heading, a sentence, and a way on."""

    status: int
    title: str
    sentence: str
    way: str = "Go to the overview"
    way_url: str = CONSOLE


def wants_page(request: HttpRequest) -> bool:
    """Whether a person looks: a script, of a page of the console too, asks for no HTML."""
    return request.path.startswith(CONSOLE) and "text/html" in request.META.get("HTTP_ACCEPT", "")


def page_of(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The page within the frame of the console, or bare for who is not logged in."""
    shown = {
        "title": problem.title,
        "sentence": problem.sentence,
        "way": problem.way,
        "way_url": problem.way_url,
        "request_id": getattr(request, "request_id", ""),
    }
    response = HttpResponse(
        render_to_string("admin/problem.html", frame(request) | shown, request),
        status=problem.status,
    )
    response["Cache-Control"] = "no-store"
    return response


def frame(request: HttpRequest) -> dict[str, Any]:
    """What the frame shows; without a database, which may be the problem, its bare form."""
    try:
        return admin.site.each_context(request)
    except DatabaseError:
        log.warning("the page of a problem is shown bare", exc_info=True)
        return {"site_title": admin.site.site_title, "has_permission": False}
