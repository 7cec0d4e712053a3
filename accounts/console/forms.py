"""Login and password change in the browser: the services of the API behind Django's forms."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError

from accounts import passwords, sessions
from accounts.actor import Actor, actor_of
from accounts.models import User
from provisioning.errors import ProductError

NO_ROLE = "The password is right, but you hold no role: ask an admin to give you one."


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
            if not self.user_cache.is_staff:
                raise ValidationError(NO_ROLE)
            self.user_cache.backend = "accounts.backends.RoleBackend"
        return self.cleaned_data


def sentence_of(error: ProductError) -> str:
    """Without the name of the field, where it stands beside the field."""
    found = [text for texts in (error.details or {}).values() for text in texts]
    return f"It {found[0]}." if found else error.message


class PasswordForm(AdminPasswordChangeForm):
    """One's own password, changed by the service of the API: counted, audited, every other session
    ended."""

    actor: Actor

    def clean_old_password(self) -> str:
        password: str = self.cleaned_data["old_password"]
        try:
            sessions.check_present_password(user=self.user, password=password, actor=self.actor)
        except ProductError as error:
            raise ValidationError(sentence_of(error)) from None
        return password

    def clean_new_password1(self) -> str:
        password: str = self.cleaned_data["new_password1"]
        if len(password) > passwords.MAX_LENGTH:
            raise ValidationError(f"It may have at most {passwords.MAX_LENGTH} characters.")
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
