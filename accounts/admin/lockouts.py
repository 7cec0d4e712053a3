"""Names that wrong passwords have locked out, or soon will."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts import lockout
from accounts.actor import Actor
from accounts.admin.acts import ActingAdmin, user_link
from accounts.console.looks import badge, moment
from accounts.models import LoginThrottle, User


class StateFilter(admin.SimpleListFilter):
    """What is locked now, unless somebody asks for all that is counted."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("all", "All with failures")]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield first | {"display": "Locked now"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return (
            queryset if self.value() == "all" else queryset.filter(locked_until__gt=timezone.now())
        )


@admin.register(LoginThrottle)
class LoginThrottleAdmin(ActingAdmin):
    section, position = "People", 5
    permissions = {"view": "user_manage"}
    acts = {"unlock": "user_manage"}
    extra_permissions = {"accounts_loginthrottle_unlock": "user_manage"}
    intro = (
        "Wrong passwords lock a name out for a while, for the address they come from; ten times as many "
        "from anywhere lock it for every address. Unlocking forgets all failures of the name."
    )
    empty = "Nobody is locked out."
    list_display = ("username", "person", "origin", "failures", "state", "until", "act")
    list_display_links = None
    list_filter = (StateFilter,)
    search_fields = ("username", "=source")
    ordering = ("-locked_until", "-first_failure_at")
    fields = ("username", "person", "origin", "failures", "state", "until")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        person = User.objects.annotate(low=Lower("username")).filter(low=OuterRef("username"))
        rows: QuerySet[Any] = super().get_queryset(request)
        annotated: QuerySet[Any] = rows.annotate(person_id=Subquery(person.values("pk")[:1]))
        return annotated

    @admin.display(description="user")
    def person(self, row: Any) -> SafeString | str:
        return user_link(row.person_id, row.username) if row.person_id else "nobody of this name"

    @admin.display(description="from", ordering="source")
    def origin(self, row: LoginThrottle) -> str:
        return "anywhere" if row.source == lockout.EVERYWHERE else row.source or "unknown"

    @admin.display(description="state")
    def state(self, row: LoginThrottle) -> SafeString:
        is_locked = bool(row.locked_until and row.locked_until > timezone.now())
        return badge("locked") if is_locked else badge("counted", tone="quiet")

    @admin.display(description="locked until", ordering="locked_until")
    def until(self, row: LoginThrottle) -> SafeString | str:
        return moment(row.locked_until)

    @admin.display(description="")
    def act(self, row: LoginThrottle) -> SafeString:
        return self.button("unlock", row.pk, "Unlock")

    def unlock(self, row: LoginThrottle, actor: Actor, request: HttpRequest) -> str:
        lockout.unlock_name(row.username, actor=actor)
        return f"{row.username} can log in again."
