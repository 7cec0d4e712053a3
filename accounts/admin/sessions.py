"""Sessions of the API: one row for each login that goes on."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Min, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts import sessions
from accounts.actor import Actor
from accounts.admin.acts import ActingAdmin, user_link
from accounts.console.looks import badge, duration, moment
from accounts.models import RefreshSession


def with_began(rows: QuerySet[RefreshSession]) -> QuerySet[Any]:
    """Each with the instant of its login, `began`: the row itself is as young as its last renewal."""
    family = RefreshSession.objects.filter(family=OuterRef("family")).order_by()
    first = family.values("family").annotate(first=Min("created_at")).values("first")
    return rows.annotate(began=Subquery(first))


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("ended", "Ended"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield first | {"display": "Live"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        live = sessions.live_sessions(timezone.now())
        match self.value():
            case "all":
                return queryset
            case "ended":
                return queryset.exclude(pk__in=live.values("pk"))
        return queryset.filter(pk__in=live.values("pk"))


@admin.register(RefreshSession)
class RefreshSessionAdmin(ActingAdmin):
    section, position = "People", 4
    permissions = {"view": "user_manage"}
    acts = {"end": "user_manage"}
    key = "<uuid:pk>"
    extra_permissions = {"accounts_refreshsession_end": "user_manage"}
    empty = "Who logs in by the API has a session here."
    list_display = ("person", "since", "renewed", "until", "source", "agent", "state", "act")
    list_display_links = None
    list_filter = (StateFilter,)
    list_select_related = ("user",)
    search_fields = ("user__username", "=source")
    ordering = ("-created_at",)
    fields = ("person", "since", "renewed", "until", "source", "user_agent", "state")

    @property
    def intro(self) -> str:  # type: ignore[override]  # it holds the configured times
        return (
            "Logins by the API. A session ends at once, its access tokens within five seconds. Logins at "
            f"this console end after {duration(settings.CONSOLE_IDLE_SECONDS)} in which nothing is done, "
            f"after {duration(settings.CONSOLE_SESSION_SECONDS)} in any case, with a new password, and with "
            "“End all sessions” on the page of the user."
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """One row for a session: all its tokens but the last are spent."""
        return with_began(super().get_queryset(request).filter(spent_at=None))

    @admin.display(description="user", ordering="user__username")
    def person(self, row: RefreshSession) -> SafeString:
        return user_link(row.user_id, row.user.username)

    @admin.display(description="since")
    def since(self, row: Any) -> SafeString | str:
        return moment(row.began)

    @admin.display(description="last renewed", ordering="created_at")
    def renewed(self, row: RefreshSession) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description="ends", ordering="expires_at")
    def until(self, row: RefreshSession) -> SafeString | str:
        return moment(row.revoked_at or row.expires_at)

    @admin.display(description="client")
    def agent(self, row: RefreshSession) -> str:
        return row.user_agent if len(row.user_agent) <= 40 else f"{row.user_agent[:40]}..."

    @admin.display(description="state")
    def state(self, row: RefreshSession) -> SafeString:
        if row.revoked_at:
            return badge("ended", tone="quiet")
        return badge("live", tone="good") if row.expires_at > timezone.now() else badge("expired")

    @admin.display(description="")
    def act(self, row: RefreshSession) -> SafeString | str:
        if row.revoked_at or row.expires_at <= timezone.now():
            return ""
        question = f"End this session of {row.user.username}?"
        return self.button("end", row.pk, "End", confirm=question)

    def end(self, row: RefreshSession, actor: Actor, request: HttpRequest) -> str:
        sessions.revoke_session(family=row.family, user=row.user, actor=actor)
        return f"The session of {row.user.username} has ended."
