"""Filters beside the lists. None of them counts or looks through the rows to know its choices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django.contrib.admin import ListFilter, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import F, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.actor import actor_of
from accounts.console.took import TookFilter
from autoinstall.admin import lists
from autoinstall.admin.lists import newest
from autoinstall.models import AnswerToken, Attempt, PreparedConfig

MOST_SUGGESTED = 200
EXPIRING_DAYS = 14
PRODUCTS = {
    "pve": "Virtual Environment",
    "pbs": "Backup Server",
    "pmg": "Mail Gateway",
    "pdm": "Datacenter Manager",
}
ANSWERED = Attempt.Outcome.ANSWERED
Rows = QuerySet[Any]


class ChoiceFilter(SimpleListFilter):
    """One of a few values that are known beforehand; any other is refused as Django refuses it."""

    choices_of: ClassVar[Sequence[tuple[str, str]]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return self.choices_of

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        value = self.value()
        if not value:
            return queryset
        if value not in dict(self.choices_of):
            raise IncorrectLookupParameters
        return queryset.filter(self.condition(value))

    def condition(self, value: str) -> Q:
        return Q(**{str(self.parameter_name): value})


def unanswered(outcome: str) -> Q:
    """As the index of these rows wants to be asked."""
    return Q(outcome=outcome) & ~Q(outcome=ANSWERED)


class OutcomeFilter(ChoiceFilter):
    title, parameter_name = "outcome", "outcome"
    choices_of = [(one.value, one.value) for one in Attempt.Outcome]

    def condition(self, value: str) -> Q:
        return Q(outcome=value) if value == ANSWERED else unanswered(value)


class SiftingFilter(ChoiceFilter):
    """By a column without an index: of a rare value all rows would be read, so it looks at the newest."""

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        rows = super().queryset(request, queryset)
        return newest(rows, lists.MOST_SIFTED) if self.is_sifting() else rows

    def is_sifting(self) -> bool:
        return self.value() is not None


class CredentialFilter(SiftingFilter):
    title, parameter_name = "credential", "credential"
    choices_of = (
        ("header", "in the header"),
        ("path", "in the path"),
        ("source", "by address, no secret"),
        ("none", "none that counts"),
    )


class ProductFilter(SiftingFilter):
    title, parameter_name = "product", "product"
    choices_of = tuple(PRODUCTS.items())


class InstallationStateFilter(SiftingFilter):
    """`timed-out` is read from the deadline, and such a row is not `in-progress` any more."""

    def is_sifting(self) -> bool:
        return self.value() in (Attempt.Status.ANSWER_SENT, Attempt.Status.FINISHED)

    title, parameter_name = "state", "state"
    choices_of = [(one, one) for one in (*Attempt.Status.values, Attempt.TIMED_OUT)]

    def condition(self, value: str) -> Q:
        overdue = Q(status=Attempt.Status.IN_PROGRESS, deadline_at__lte=timezone.now())
        if value == Attempt.TIMED_OUT:
            return overdue
        if value == Attempt.Status.IN_PROGRESS:
            return Q(status=value) & ~overdue
        if value == Attempt.Status.NO_ANSWER_FOUND:
            return Q(status=value) & unanswered(Attempt.Outcome.NO_MATCH)
        return Q(status=value)


class TokenStateFilter(ChoiceFilter):
    """As `AnswerToken.state` says it, and those that will expire soon."""

    title, parameter_name = "state", "state"
    choices_of = (
        ("active", "active"),
        ("expiring", f"expires within {EXPIRING_DAYS} days"),
        ("expired", "expired"),
        ("used-up", "used up"),
        ("disabled", "disabled"),
    )

    def condition(self, value: str) -> Q:
        now = int(timezone.now().timestamp())
        is_enabled = Q(enabled__isnull=True) | Q(enabled=True)
        is_expired = Q(expire_at__gt=0, expire_at__lte=now)
        never = Q(expire_at__isnull=True) | Q(expire_at=0)
        is_used_up = Q(max_uses__isnull=False, uses__gte=F("max_uses"))
        is_alive = is_enabled & (never | Q(expire_at__gt=now))
        soon = Q(expire_at__gt=now, expire_at__lte=now + EXPIRING_DAYS * 86400)
        return {
            "active": is_alive & ~is_used_up,
            "expiring": is_enabled & soon,
            "expired": is_enabled & is_expired,
            "used-up": is_alive & is_used_up,
            "disabled": Q(enabled=False),
        }[value]


class FlagFilter(ChoiceFilter):
    """Tokens that are worth less than others."""

    title, parameter_name = "mark", "mark"
    choices_of = (
        ("allow_in_path", "allowed in the path"),
        ("allow_without_secret", "without secret"),
    )

    def condition(self, value: str) -> Q:
        return Q(**{value: True})


class ReportedFilter(TookFilter):
    """From the answer to the report."""

    ended: ClassVar[dict[str, Any]] = {"status": Attempt.Status.FINISHED}
    begin = "received_at"


# --- By a name that is typed -------------------------------------------------------------------


class NameFilter(ListFilter):
    """Exactly this name, typed with suggestions: there may be ten thousand of them."""

    template = "admin/autoinstall/name_filter.html"
    parameter = ""
    suggests: type[PreparedConfig] | type[AnswerToken]
    permission = ""

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: Any,
    ) -> None:
        super().__init__(request, params, model, model_admin)
        if self.parameter in params:
            self.used_parameters[self.parameter] = params.pop(self.parameter)[-1]

    @property
    def value(self) -> str:
        return str(self.used_parameters.get(self.parameter, ""))

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        value = self.value.replace("\x00", "")  # PostgreSQL would not even compare it
        return queryset.filter(**{f"{self.parameter}_name": value}) if value else queryset

    def suggestions(self) -> list[str]:
        if not actor_of(self.request).grants.allows(self.permission):
            return []
        names = self.suggests._default_manager.order_by("name").values_list("name", flat=True)
        return list(names[:MOST_SUGGESTED])

    def choices(self, changelist: ChangeList) -> Any:
        """One, for the template of this filter."""
        others = changelist.get_query_string({}, [self.parameter])
        yield {
            "parameter": self.parameter,
            "value": self.value,
            "others": [item for item in changelist.params.items() if item[0] != self.parameter],
            "suggestions": self.suggestions(),
            "query_string": others,
        }


class ConfigFilter(NameFilter):
    title, parameter = "prepared config", "config"
    suggests, permission = PreparedConfig, "prepared_config_read"


class TokenFilter(NameFilter):
    title, parameter = "token", "token"
    suggests, permission = AnswerToken, "answer_token_read"
