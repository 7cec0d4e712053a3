"""What is asked for about a user."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts import passwords
from accounts.admin.bindings import role_field, workspace_field
from accounts.models import User
from provisioning.errors import ProductError


class PasswordField(forms.CharField):
    """Typed, or left empty for a generated one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False,
            strip=False,
            widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
            help_text="Left empty: one is generated and shown once. Else at least ten characters.",
            **kwargs,
        )


class AddForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    password = PasswordField()

    class Meta:
        model = User
        fields = ("username", "email", "full_name")
        help_texts = {
            "username": "What the person logs in with. It stays as it is.",
            "email": "May be left empty; the server sends no mail.",
            "full_name": "Shown beside the name.",
        }

    def clean(self) -> dict[str, Any]:
        """Whether the name is taken is the service's to say: Django would say it twice."""
        return self.cleaned_data


class ChangeForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    class Meta:
        model = User
        fields = ("email", "full_name")
        help_texts = AddForm.Meta.help_texts


class NewPasswordForm(forms.Form):
    password = PasswordField(label="New password")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        typed: str = self.cleaned_data["password"]
        try:
            if typed:
                passwords.check(typed, self.user)
        except ProductError as error:
            raise ValidationError((error.details or {})["password"]) from None
        return typed


class BindForm(forms.Form):
    """A role for the user whose page it is on."""

    role = role_field()
    workspace = workspace_field()
