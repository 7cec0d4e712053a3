"""The browser console: Django's admin under our name, with our permissions and our login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest

from accounts import sessions
from accounts.actor import actor_of
from accounts.models import User
from provisioning.errors import ProductError


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
            self.user_cache.backend = "accounts.backends.RoleBackend"  # type: ignore[union-attr]
            self.confirm_login_allowed(self.user_cache)  # type: ignore[arg-type]
        return self.cleaned_data


class ConsoleSite(AdminSite):
    site_header = "Provisioning Server"
    site_title = "Provisioning Server"
    index_title = "Console"
    site_url = "/v1/docs"
    enable_nav_sidebar = False
    login_form = LoginForm

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
    list_per_page = 50
    show_full_result_count = False

    def _may(self, request: HttpRequest, act: str) -> bool:
        needed = self.permissions.get(act)
        return bool(needed) and isinstance(request.user, User) and request.user.has_perm(needed)

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
