"""The form of an answer token: fields for a person, the documents and services of the API behind them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from django import forms

from autoinstall.documents import Document, TokenChange, TokenCreate, read
from autoinstall.models import AnswerToken
from provisioning.errors import ProductError

# Field of the form -> field on the wire.
WIRE = {
    "name": "id",
    "secret": "secret",
    "comment": "comment",
    "enabled": "enabled",
    "expires_at": "expire-at",
    "networks": "source-cidrs",
    "max_uses": "max-uses",
    "allow_in_path": "allow-in-path",
    "allow_without_secret": "allow-without-secret",
}
FORM = {wire: field for field, wire in WIRE.items()}
UNSETTABLE = ("comment", "expires_at", "networks", "max_uses")
Saved = tuple[AnswerToken, str | None]
Wanted = TypeVar("Wanted", bound=Document)


class InstantInput(forms.DateTimeInput):
    """The browser's own field for a date and a time of day; seconds show where there are some."""

    input_type = "datetime-local"

    def format_value(self, value: Any) -> str:
        if isinstance(value, datetime):
            return f"{value:%Y-%m-%dT%H:%M:%S}" if value.second else f"{value:%Y-%m-%dT%H:%M}"
        return value or ""


class InstantField(forms.DateTimeField):
    """UTC; empty or 0 is None: never."""

    widget = InstantInput

    def to_python(self, value: Any) -> datetime | None:
        return super().to_python(None if value == "0" else value)


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    """`act` saves by the service, while the form is being checked: so a refusal of the service stands
    beside its field, and what was typed stays."""

    name = forms.CharField(
        label="ID",
        max_length=64,
        help_text="3 to 64 letters, digits, dots, dashes or underscores. Cannot be changed later.",
    )
    comment = forms.CharField(
        required=False, max_length=128, help_text="Where the token is used, for example a rack."
    )
    enabled = forms.BooleanField(
        required=False, initial=True, help_text="A disabled token is refused until it is enabled."
    )
    expires_at = InstantField(
        required=False,
        label="Expires",
        help_text="UTC. Empty: never. From that instant on the token is refused.",
    )
    max_uses = forms.IntegerField(
        required=False,
        label="Most uses",
        help_text=(
            "How many answers it may fetch, a second one for the same machine included. "
            "Empty: any number."
        ),
    )
    networks = forms.CharField(
        required=False,
        label="Source networks",
        widget=forms.Textarea(attrs={"rows": 3, "class": "code", "placeholder": "10.7.0.0/24"}),
        help_text="One a line, such as 10.7.0.0/24 or 2001:db8::/64. Empty: from anywhere.",
    )
    allow_in_path = forms.BooleanField(
        required=False,
        label="Allow in the path",
        help_text=(
            "For images before 9.2, and for DHCP or DNS: id:secret is a part of the URL, which "
            "proxies and logs on the way may keep."
        ),
    )
    allow_without_secret = forms.BooleanField(
        required=False,
        label="Allow without secret",
        help_text=(
            "Whoever asks from the source networks without any token is served: everybody there "
            "can read the answer. Needs source networks."
        ),
    )
    secret = forms.CharField(
        required=False,
        strip=False,
        label="Existing secret",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Only for images that hold one already. Empty: a new one is made.",
    )
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)

    act: Callable[[TokenForm], Saved | None]
    saved: Saved | None = None

    class Meta:
        model = AnswerToken
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        token = self.instance
        if token.pk:
            for field in ("name", "secret"):
                self.fields.pop(field, None)
            self.initial = {
                "comment": token.comment or "",
                "enabled": token.enabled is not False,
                "expires_at": token.expires_at,
                "max_uses": token.max_uses,
                "networks": "\n".join(token.source_cidrs),
                "allow_in_path": token.allow_in_path,
                "allow_without_secret": token.allow_without_secret,
                "seen": token.generation,
            }

    def clean_networks(self) -> list[str]:
        lines = [line.strip() for line in self.cleaned_data["networks"].splitlines()]
        return [line for line in lines if line]

    def clean(self) -> dict[str, Any]:
        if not self.errors:
            try:
                self.saved = self.act(self)
            except ProductError as error:
                self.say(error.details or {"": [error.message]})
        return self.cleaned_data

    def _post_clean(self) -> None:
        """Django would compare the row with the form anew; the service has."""

    def say(self, errors: Any) -> None:
        """Sentences about fields of the wire, beside those of the form."""
        for wire, sentences in errors.items():
            field = FORM.get(wire.partition(".")[0])
            for sentence in sentences:
                text = f"{sentence[:1].upper()}{sentence[1:]}".rstrip(".")
                self.add_error(field if field in self.fields else None, f"{text}.")

    def wanted(self) -> TokenCreate | None:
        """What is to be created; None when the form says why it cannot be."""
        values = {WIRE[name]: self.wire(name) for name in WIRE if self.is_given(name)}
        return self.read(TokenCreate, values)

    def change(self) -> TokenChange | None:
        """What differs from how the form was shown; None when the form says why it cannot be."""
        changed = [name for name in self.changed_data if name in WIRE]
        unset = [name for name in changed if name in UNSETTABLE and not self.is_given(name)]
        values: dict[str, Any] = {
            WIRE[name]: self.wire(name) for name in changed if name not in unset
        }
        return self.read(TokenChange, {**values, "delete": [WIRE[name] for name in unset]})

    def read(self, shape: type[Wanted], values: dict[str, Any]) -> Wanted | None:
        document, errors = read(shape, values)
        self.say(errors)
        return document

    def is_given(self, name: str) -> bool:
        return self.cleaned_data[name] not in (None, "", [])

    def wire(self, name: str) -> Any:
        value = self.cleaned_data[name]
        return int(value.astimezone(UTC).timestamp()) if isinstance(value, datetime) else value
