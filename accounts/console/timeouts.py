"""When a login at the console ends by itself: nobody did anything, or it has lasted long enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from accounts.console.looks import duration

CONSOLE = "/admin/"
LOGIN = "/admin/login/"
BEGAN, SEEN = "console_began", "console_seen"  # of a session: seconds since the epoch
NOTED_EVERY_SECONDS: Final = 60  # a row is written this often, not with every page

IDLE, TOO_LONG = "idle", "too-long"


class ConsoleTimeoutMiddleware:
    """Ends a session of the console and leads to the login page, which says why and leads back.

    What a page asks for by itself while it lies open (a log that follows, a figure that renews itself)
    does not count as somebody's doing: else no console that stands open would ever be idle.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_guarded = request.path.startswith(CONSOLE) and request.path != LOGIN
        if is_guarded and request.user.is_authenticated:
            if reason := why_ended(request.session):
                logout(request)
                return HttpResponseRedirect(
                    f"{LOGIN}?{urlencode({'next': way_back(request), 'ended': reason})}"
                )
            if is_of_a_person(request):
                note_presence(request.session)
        return self.get_response(request)


def begin(session: SessionBase) -> None:
    """Somebody has just given his password."""
    session[BEGAN] = session[SEEN] = int(time.time())


def why_ended(session: SessionBase) -> str:
    """`idle`, `too-long`, or empty while it goes on."""
    now = time.time()
    if now - session.get(BEGAN, now) > settings.CONSOLE_SESSION_SECONDS:
        return TOO_LONG
    return IDLE if now - session.get(SEEN, now) > settings.CONSOLE_IDLE_SECONDS else ""


def note_presence(session: SessionBase) -> None:
    if BEGAN not in session:
        begin(session)
    elif time.time() - session.get(SEEN, 0) >= min(
        NOTED_EVERY_SECONDS, settings.CONSOLE_IDLE_SECONDS / 4
    ):
        session[SEEN] = int(time.time())


def is_of_a_person(request: HttpRequest) -> bool:
    """A page that is opened, or anything that is sent; browsers tell the first by a header where the
    connection is safe, and what does not tell counts."""
    mode = request.META.get("HTTP_SEC_FETCH_MODE", "navigate")
    return mode == "navigate" or request.method not in ("GET", "HEAD")


def way_back(request: HttpRequest) -> str:
    """The page to return to: this one, or the one that the form was on."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    came_from = urlsplit(request.META.get("HTTP_REFERER", ""))
    is_ours = came_from.netloc == request.get_host() and came_from.path.startswith(CONSOLE)
    return f"{came_from.path}?{came_from.query}".rstrip("?") if is_ours else CONSOLE


def sentence(reason: str) -> str:
    """What the login page says; empty for a word that is none of ours."""
    return {
        IDLE: f"Nothing was done for {duration(settings.CONSOLE_IDLE_SECONDS)}, so you were logged out.",
        TOO_LONG: f"A login lasts {duration(settings.CONSOLE_SESSION_SECONDS)}: log in again.",
    }.get(reason, "")
