"""Forms that start an operation. Made of the API's own request bodies: the same fields, rules, texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from django import forms
from rest_framework import serializers

from operations.models import Server
from provisioning.errors import Invalid, ProductError
from provisioning.exception_handler import validation_error
from provisioning.formats import read_json
from provisioning.serializers import StrictSerializer

LABELS: Final[Mapping[str, str]] = {
    "hostname": "Host name",
    "check_mode": "Check only",
    "name": "Name",
}
# Where the API has no text, or one that a form tells otherwise.
HELP: Final[Mapping[str, str]] = {
    "workspace": "Where it belongs. Only those in which you may do this are offered.",
    "check_mode": "Change nothing: the CLI says what it would do.",
    "hostname": "Letters, digits and '-', labels joined by '.'. Left empty: the CLI picks one.",
    "zone": "Where the provider puts it, in its own words. Left empty: the provider's default.",
    "tags": "Words to find it by, separated by commas.",
    "version": "Left empty: what the CLI takes for the newest.",
    "settings": "A JSON object. The CLI gets it in a private file; pages and logs do not show it.",
    "server": "Host name of the server to install it on. Left empty: the CLI decides.",
    "cluster": "Which cluster, e.g. `kubernetes`.",
}
MOST_SUGGESTIONS = 200
DEEPEST = "The JSON is nested too deep."


class LaunchForm(forms.Form):
    """One field for each of the body's, in its order: the workspace first, the check last."""

    def __init__(
        self,
        *args: Any,
        body: type[StrictSerializer],
        noun: str,
        workspaces: list[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self.body = body
        described: Mapping[str, Any] = body().fields
        order = sorted(described, key=lambda name: {"workspace": 0, "check_mode": 2}.get(name, 1))
        for name in order:
            self.fields[name] = form_field(name, noun, described[name], workspaces)
        if len(workspaces) == 1:
            self.initial.setdefault("workspace", workspaces[0])

    def clean(self) -> dict[str, Any]:
        """The body as the API would have understood it; its errors beside the fields."""
        values = dict(self.cleaned_data)
        if self.errors:
            return values
        given = {name: value for name, value in values.items() if value not in ("", None, [], {})}
        serializer = self.body(data=given)
        try:
            serializer.is_valid(raise_exception=True)
        except serializers.ValidationError as error:
            add_errors(self, validation_error(error))
            return values
        return dict(serializer.validated_data)


def form_field(
    name: str, noun: str, described: serializers.Field[Any, Any, Any, Any], workspaces: list[str]
) -> forms.Field:
    help_text = HELP.get(name) or str(described.help_text or HELP.get(noun, ""))
    common: dict[str, Any] = {
        "label": LABELS.get(name, name.replace("_", " ").capitalize()),
        "required": described.required,
        "help_text": help_text.replace("`", ""),
    }
    if name == "workspace":
        choices = [("", "Choose ..."), *((one, one) for one in workspaces)]
        return forms.ChoiceField(choices=choices, **common)
    match described:
        case serializers.BooleanField():
            return forms.BooleanField(**{**common, "required": False})
        case serializers.ListField():
            return WordsField(**common)
        case serializers.DictField():
            return ObjectField(**common)
    attrs = {"list": f"known-{name}", "autocomplete": "off", "spellcheck": "false"}
    # The API strips nothing; a blank at an end is a slip of the hand here.
    return forms.CharField(strip=True, widget=forms.TextInput(attrs=attrs), **common)


class WordsField(forms.CharField):
    """`web, edge` -> ["web", "edge"]."""

    def clean(self, value: Any) -> Any:
        return [word.strip() for word in super().clean(value).split(",") if word.strip()]


class ObjectField(forms.CharField):
    """JSON; what it must hold the API's own field checks."""

    widget = forms.Textarea(attrs={"rows": 8, "class": "code", "spellcheck": "false"})

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text.strip():
            return None
        return json_object(text, 'It must be a JSON object, e.g. {"replicas": 3}.')


def json_object(text: str, wanted: str) -> dict[str, Any]:
    """The object, read as the API reads a body. Raises ValidationError: where it breaks, or `wanted`."""
    try:
        found = read_json(text.encode("utf-8", "surrogatepass"))
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("depth limit"):
            raise forms.ValidationError(DEEPEST) from None
        where = f"Line {error.lineno}, column {error.colno}"
        raise forms.ValidationError(f"{where}: {error.msg}.") from None
    except Invalid as error:
        raise forms.ValidationError(f"{error.message}.") from None
    if not isinstance(found, dict):
        raise forms.ValidationError(wanted)
    return found


def add_errors(form: forms.Form, error: ProductError) -> None:
    """Beside the field that is meant, or above them all; what was typed stays."""
    details = dict(error.details or {})
    if not isinstance(error, Invalid) or not details:
        details = {"": [error.message]}
    for path, sentences in details.items():
        name = path.partition("[")[0].partition(".")[0]
        for sentence in sentences:
            form.add_error(name if name in form.fields else None, sentence)


def suggestions(noun: str, workspace_names: list[str]) -> dict[str, list[str]]:
    """What servers that are there already say, for `<datalist>`: nothing that the person may not see."""
    rows = Server.objects.filter(workspace__name__in=workspace_names).order_by()
    if noun == "taskserv":
        names = rows.order_by("-id").values_list("hostname", flat=True)[:MOST_SUGGESTIONS]
        return {"server": sorted(names)}
    if noun != "server":
        return {}
    newest = list(rows.order_by("-id").values_list("provider", "plan", "zone")[:MOST_SUGGESTIONS])
    columns = zip(("provider", "plan", "zone"), zip(*newest, strict=True), strict=False)
    return {name: sorted({one for one in values if one}) for name, values in columns}
