"""The browser console: Django's admin under our name, with our permissions and our login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts import sessions
from accounts.actor import Actor, actor_of
from accounts.models import User
from accounts.permissions import within
from provisioning.errors import ProductError
from provisioning.exception_handler import record_refusal


class LoginForm(AdminAuthenticationForm):
    """The same verification as the API's login: counted, locked out, audited."""

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username")
        password = self.cleaned_data.get("password")
        if username and password and self.request:
            try:
                self.user_cache = sessions.verify_login(
                    username=username,
                    password=password,
                    actor=actor_of(self.request),
                    request=self.request,
                )
            except ProductError as error:
                raise ValidationError(error.message) from None
            self.user_cache.backend = "accounts.backends.RoleBackend"
            self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data


class PasswordForm(AdminPasswordChangeForm):
    """One's own password, changed by the service of the API: counted, audited, every other session
    ended."""

    actor: Actor

    def clean_old_password(self) -> str:
        password: str = self.cleaned_data["old_password"]
        try:
            sessions.check_present_password(user=self.user, password=password, actor=self.actor)
        except ProductError as error:
            raise ValidationError(error.message) from None
        return password

    def save(self, commit: bool = True) -> User:
        sessions.set_password(
            user=self.user, new_password=self.cleaned_data["new_password1"], actor=self.actor
        )
        self.user.refresh_from_db()  # the session that Django renews is made from the new row
        return self.user


class PasswordView(PasswordChangeView):
    form_class = PasswordForm

    def get_form(self, form_class: type[Any] | None = None) -> Any:
        form: Any = super().get_form(form_class)
        form.actor = actor_of(self.request)
        return form


class ConsoleSite(AdminSite):
    site_header = "Provisioning Server"
    site_title = "Provisioning Server"
    index_title = "Console"
    site_url = "/v1/docs"
    enable_nav_sidebar = False
    login_form = LoginForm

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Django's page with our form."""
        view = PasswordView.as_view(
            extra_context={**self.each_context(request), **(extra_context or {})},
            success_url=reverse("admin:password_change_done"),
            template_name="registration/password_change_form.html",
        )
        request.current_app = self.name
        return view(request)  # type: ignore[return-value]

    def has_permission(self, request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.is_staff


if TYPE_CHECKING:
    BaseAdmin = ModelAdmin[Any]
else:  # Django's own class takes no parameter
    BaseAdmin = ModelAdmin


class ConsoleAdmin(BaseAdmin):
    """A page of the console. `permissions` names what view, add, change and delete need; what is not
    named nobody may do. Writing goes through services, never through `save_model` alone."""

    permissions: ClassVar[dict[str, str]] = {}
    workspace_path = ""
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Narrowed to the workspaces that the person may see, where rows belong to one."""
        rows: QuerySet[Any] = super().get_queryset(request)
        needed = self.permissions.get("view")
        if self.workspace_path and needed:
            rows = rows.filter(within(actor_of(request), needed, self.workspace_path))
        return rows

    def get_actions(self, request: HttpRequest) -> Any:
        """Rows go one at a time through their service: Django's own bulk delete would pass it by."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        """Create or change by the service; returns the row as it is then."""
        raise PermissionDenied

    def remove(self, request: HttpRequest, obj: Any) -> None:
        """Delete by the service."""
        raise PermissionDenied

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # `obj` already carries the form's values; the service compares with what is stored.
        stored = self.model._default_manager.get(pk=obj.pk) if change else obj
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
        """A service's refusal is a message on the page, not an error page."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ProductError as error:
            return self._refused(request, error)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except ProductError as error:
            return self._refused(request, error)

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
        needed = self.permissions.get(act)
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
