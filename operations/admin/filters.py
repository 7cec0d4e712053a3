"""Filters of the operations list; each has an index to go by."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib.admin import ChoicesFieldListFilter, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.actor import actor_of
from accounts.console.took import TookFilter
from accounts.models import Workspace
from accounts.permissions import within
from operations.admin.words import KIND_WORDS
from operations.commands import Kind
from operations.models import Operation

MOST_CHOICES = 50
# So many of the newest operations are asked who requested them.
ROWS_FOR_PEOPLE = 500


class KindFilter(ChoicesFieldListFilter):
    """Kinds as people say them."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": KIND_WORDS.get(str(choice["display"]), choice["display"])}


class WorkspaceFilter(SimpleListFilter):
    title, parameter_name = "workspace", "workspace"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        needed = model_admin.permissions["view"]
        mine = Workspace.objects.filter(within(actor_of(request), needed, "pk"))
        names = list(mine.order_by("name").values_list("name", flat=True)[:MOST_CHOICES])
        chosen = self.value()
        if chosen and chosen not in names:
            names.append(chosen)
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (name := self.value()):
            return queryset
        key = Workspace.objects.filter(name=name).values_list("pk", flat=True).first()
        # Operations of a workspace that is gone keep its name alone.
        return queryset.filter(workspace=key) if key else queryset.filter(workspace_name=name)


class PersonFilter(SimpleListFilter):
    """Who has asked for something lately; by hand (`?who=name`) everybody else, too."""

    title, parameter_name = "who asked", "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = Operation.objects.filter(within(actor_of(request), "operation_read"))
        lately = rows.order_by("-pk").values_list("requested_by_name", flat=True)
        names = {name for name in (*lately[:ROWS_FOR_PEOPLE], self.value()) if name}
        return [(name, name) for name in sorted(names)[:MOST_CHOICES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        return queryset.filter(requested_by_name=name) if name else queryset


class WorkflowFilter(SimpleListFilter):
    """`?workflow=` also takes the id of one: its steps."""

    title, parameter_name = "workflow", "workflow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = [("whole", "Workflows"), ("steps", "Steps"), ("none", "All but steps")]
        chosen = self.value()
        if chosen and chosen not in dict(known):
            known.append((chosen, "Steps of one workflow"))
        return known

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case None | "":
                return queryset
            case "whole":
                return queryset.filter(kind=Kind.WORKFLOW)
            case "steps":
                return queryset.filter(workflow__isnull=False)
            case "none":
                return queryset.filter(workflow=None)
            case chosen:
                try:
                    return queryset.filter(workflow=uuid.UUID(chosen))
                except ValueError as error:
                    raise IncorrectLookupParameters(error) from None


class RanFilter(TookFilter):
    ended: ClassVar[dict[str, Any]] = {"status": Operation.Status.COMPLETED}
