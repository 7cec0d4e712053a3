"""Filters of the list of users."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from accounts.console.keys import key_of
from accounts.models import Role, RoleBinding


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("inactive", "Inactive"), ("locked", "Locked out")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "active":
                return queryset.filter(is_active=True)
            case "inactive":
                return queryset.filter(is_active=False)
            case "locked":
                return queryset.filter(is_locked=True)
        return queryset


class RoleFilter(admin.SimpleListFilter):
    """Who holds a role anywhere, and who holds none at all."""

    title = "role"
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        roles = Role.objects.order_by("-is_built_in", "id").values_list("pk", "name")
        return [(str(pk), name) for pk, name in roles] + [("none", "No role")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        held = RoleBinding.objects.filter(user=OuterRef("pk"))
        value = self.value() or ""
        if value == "none":
            return queryset.filter(~Exists(held))
        key = key_of(Role, value)
        return queryset.filter(Exists(held.filter(role_id=key))) if key else queryset
