"""The form over the audit trail."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin

from accounts.console import ConsoleAdmin
from accounts.models import AuditEvent
from accounts.sentences import known_events
from accounts.trail import TrailFilter

TEXT = {"autocomplete": "off", "spellcheck": "false"}


def event_choices() -> list[tuple[str, Any]]:
    """Grouped by noun; of nouns with more than one event, all of them can be chosen at once."""
    nouns: dict[str, list[tuple[str, str]]] = {}
    for name in known_events():
        noun = name.partition(".")[0]
        nouns.setdefault(noun, []).append((name, name))
    return [
        ("", "Any event"),
        *(
            (noun, [(f"{noun}.", f"{noun}: all")] * (len(events) > 1) + events)
            for noun, events in nouns.items()
        ),
    ]


def target_choices() -> list[tuple[str, str]]:
    """What has a page in the console."""
    models = [
        model._meta
        for model, page in admin.site._registry.items()
        if isinstance(page, ConsoleAdmin) and model is not AuditEvent
    ]
    kinds = sorted((str(one.model_name), str(one.verbose_name)) for one in models)
    return [("", "Anything"), *((name, shown[:1].upper() + shown[1:]) for name, shown in kinds)]


class TrailForm(forms.Form):
    """Everything in the query string, so that a filtered trail is a link."""

    q = forms.CharField(label="Search", required=False, max_length=200)
    event = forms.ChoiceField(choices=event_choices, required=False)
    outcome = forms.ChoiceField(
        choices=[("", "Any outcome"), *AuditEvent.Outcome.choices], required=False
    )
    actor = forms.CharField(label="Who", required=False, max_length=150)
    target_type = forms.ChoiceField(label="What", choices=target_choices, required=False)
    workspace = forms.CharField(required=False, max_length=63)
    source = forms.CharField(label="From address", required=False, max_length=45)
    since = forms.DateField(
        label="From day", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label="To day", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    # Set by links, shown as a mark that can be taken away.
    target_id = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    request_id = forms.CharField(required=False, max_length=128, widget=forms.HiddenInput)

    def asked(self) -> TrailFilter:
        """What is right of it; what is wrong is told beside its field."""
        self.is_valid()
        return TrailFilter(**self.cleaned_data)
