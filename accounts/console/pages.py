"""The base of every page of rows: our permissions, our services, our look."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ModelAdmin, ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.http import urlencode

from accounts.actor import actor_of
from accounts.console.keys import key_of
from accounts.console.paging import BoundedPaginator
from accounts.models import User
from accounts.permissions import within
from provisioning.errors import Conflict, Forbidden, ProductError
from provisioning.exception_handler import record_refusal

if TYPE_CHECKING:
    BaseAdmin = ModelAdmin[Any]
else:  # Django's own class takes no parameter
    BaseAdmin = ModelAdmin


OF_DJANGO = ("changelist", "add", "history", "delete", "change")


def lookups_of(one: Any) -> tuple[str, ...]:
    """The parameters that an entry of `list_filter` reads: a field's, or a class's own."""
    field = one[0] if isinstance(one, tuple) else one
    if isinstance(field, str):
        return (field, f"{field}__exact", f"{field}__id__exact", f"{field}__isnull")
    names: tuple[str, ...] = getattr(field, "NAMES", ())
    named = (getattr(field, "parameter_name", ""), getattr(field, "parameter", ""))
    return (*names, *(name for name in named if name))


class ConsoleAdmin(BaseAdmin):
    """A page of the console. `permissions` names what view, add, change and delete need; what is not
    named nobody may do. Writing goes through services, never through `save_model` alone.

    A page with URLs beyond Django's own names in `extra_permissions` what each needs, by the name of the
    URL. It is asked before the view, which asks again for the workspace; one that is not named is refused.

    `section` and `position` place it in the navigation. `intro` says what the rows are, `empty` what to do
    while there are none, `deleting` what goes with a row that is deleted.
    """

    permissions: ClassVar[dict[str, str]] = {}
    extra_permissions: ClassVar[dict[str, str]] = {}
    section = "System"
    position = 0
    intro = ""
    empty = ""
    deleting = ""
    workspace_path = ""
    list_per_page = 50
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # each would count all rows

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Narrowed to the workspaces that the person may see, where rows belong to one."""
        rows: QuerySet[Any] = super().get_queryset(request)
        needed = self.permissions.get("view")
        if self.workspace_path and needed:
            rows = rows.filter(within(actor_of(request), needed, self.workspace_path))
        return rows

    @property
    def urls(self) -> list[URLPattern]:
        """As Django's site takes them, each of our own behind its permission."""
        own = f"{self.opts.app_label}_{self.opts.model_name}_"
        of_django = {own + name for name in OF_DJANGO}
        return [
            one if not one.name or one.name in of_django else self._guarded(one)
            for one in self.get_urls()
        ]

    def _guarded(self, one: URLPattern) -> URLPattern:
        needed = self.extra_permissions.get(str(one.name))
        view = one.callback

        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            # Whoever is not logged in goes on, to be sent to the login page.
            if self.admin_site.has_permission(request) and not self._holds(request, needed):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return URLPattern(one.pattern, guarded, one.default_args, one.name)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what a filter of this list asks. Django lets everybody compare every column with anything:
        digests, hashes and passwords could be guessed letter by letter, or a regex keep a thread."""
        return lookup in self._lookups

    @functools.cached_property
    def _lookups(self) -> frozenset[str]:
        return frozenset(name for one in self.list_filter or () for name in lookups_of(one))

    def get_actions(self, request: HttpRequest) -> Any:
        """Rows go one at a time through their service: Django's own bulk delete would pass it by."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        self._refuse_forged_action(request)
        # PostgreSQL would not even compare it.
        if any("\x00" in value for _, values in request.GET.lists() for value in values):
            raise BadRequest("A null character is part of no name.")
        # Whoever may not look or write is Django's to refuse.
        is_wrong = request.method == "POST" and not self._are_keys(request)
        needed = "change" if "_save" in request.POST else "view"
        if is_wrong and self._may(request, needed):
            self.message_user(request, "This names a row that there cannot be.", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        name = str(self.opts.verbose_name_plural)
        shown = {"title": name[:1].upper() + name[1:], "intro": self.intro, "empty": self.empty}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def _refuse_forged_action(self, request: HttpRequest) -> None:
        """Django passes over an action that it did not offer in silence."""
        chosen = request.POST.get("action")
        if chosen and chosen not in self.get_actions(request):
            raise PermissionDenied

    def _are_keys(self, request: HttpRequest) -> bool:
        """Django asks the database for what is selected or edited in the list as it was sent."""
        edited = re.compile(rf"form-[0-9]+-{re.escape(str(self.opts.pk.name))}")
        sent = [
            text
            for name, texts in request.POST.lists()
            if name == ACTION_CHECKBOX_NAME or edited.fullmatch(name)
            for text in texts
        ]
        return all(key_of(self.model, str(text)) is not None for text in sent)

    def find(self, request: HttpRequest, rows: QuerySet[Any], pk: Any) -> Any:
        """The row among those that the person may see, else Http404. An act upon another is remembered: it
        was forged, as no page shows a button for it."""
        row = rows.filter(pk=pk).first()
        if row is None:
            if request.method == "POST":
                record_refusal(
                    request, Forbidden("There is nothing with this id that you may see.")
                )
            raise Http404
        return row

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The service decides what may go and says why not: Django's own count of what hangs on a row
        would ask for permissions that nobody holds, and list rows by the thousand."""
        return [], {}, set(), []

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """After a refusal of the service the same form again, with what was typed and the sentence."""
        form = super().get_form(request, obj, change, **kwargs)
        refusal: ProductError | None = getattr(request, "refusal", None)
        return refused_form(form, refusal) if refusal else form

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **more: Any
    ) -> Any:
        """One button to save; beside the form, a way to what the audit trail knows of the row."""
        context.setdefault("show_save_and_add_another", False)
        context.setdefault("show_save_and_continue", False)
        context["may_read_audit"] = actor_of(request).grants.allows("audit_read")
        return super().render_change_form(request, context, *args, **more)

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        """Create or change by the service; returns the row as it is then."""
        raise PermissionDenied

    def remove(self, request: HttpRequest, obj: Any) -> None:
        """Delete by the service."""
        raise PermissionDenied

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # `obj` already carries the form's values; the service compares with what is stored.
        stored = self.model._default_manager.get(pk=obj.pk) if change else obj
        seen = request.POST.get("_seen")
        if change and seen and seen != stored.updated_at.isoformat():
            raise Conflict("Somebody changed this meanwhile: look at it again before you save.")
        obj.pk = self.write(request, stored, form).pk

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.remove(request, obj)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """A service's refusal stands over the form, which keeps what was typed."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ProductError as error:
            request.refusal = error  # type: ignore[attr-defined]  # for `get_form`
            if error.status == 403:
                record_refusal(request, error)
            response = super().changeform_view(request, object_id, form_url, extra_context)
            response.status_code = 403 if error.status == 403 else 200
            return response

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        shown = {"deleting": self.deleting, **(extra_context or {})}
        try:
            return super().delete_view(request, object_id, shown)
        except ProductError as error:
            return self._refused(request, error)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """What became of a row the audit trail knows; Django's own log stays empty."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None or not actor_of(request).grants.allows("audit_read"):
            raise Http404
        about = urlencode({"target_type": str(self.opts.model_name), "target_id": str(row.pk)})
        return HttpResponseRedirect(f"{reverse('admin:accounts_auditevent_changelist')}?{about}")

    def _refused(self, request: HttpRequest, error: ProductError) -> HttpResponseRedirect:
        if error.status == 403:
            record_refusal(request, error)
        self.message_user(request, error.message, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())

    # The audit trail is ours; Django's own log of the console would be a second, weaker one.
    def log_addition(self, *args: Any, **kwargs: Any) -> Any: ...

    def log_change(self, *args: Any, **kwargs: Any) -> Any: ...

    def log_deletions(self, *args: Any, **kwargs: Any) -> Any: ...

    def _may(self, request: HttpRequest, act: str) -> bool:
        return self._holds(request, self.permissions.get(act))

    def _holds(self, request: HttpRequest, needed: str | None) -> bool:
        if needed is None or not isinstance(request.user, User):
            return False
        return request.user.has_perm(needed)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "view")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "delete")


def refused_form(form: Any, error: ProductError) -> Any:
    """This class of forms, whose forms are never valid: the service has refused what they hold."""

    class Refused(form):  # type: ignore[misc]
        def clean(self) -> Any:
            cleaned = super().clean()
            told = {
                name: said for name, said in (error.details or {}).items() if name in self.fields
            }
            for name, sentences in told.items():
                self.add_error(name, list(sentences))
            if not told:
                self.add_error(None, error.message)
            return cleaned

    return Refused
