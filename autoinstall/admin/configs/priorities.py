"""The priorities that can be changed in the list: of each row what the person saw, so that nobody writes back
what somebody else has changed meanwhile."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from autoinstall.models import PreparedConfig
from provisioning.errors import PreconditionFailed


class SeenField(forms.CharField):
    """The generation of the row that the page shows. It travels along; nobody types it."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class PriorityForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    """One row. It has changed where its value is not the one that the page showed, whatever it is now."""

    generation = SeenField(required=False)

    class Meta:
        model = PreparedConfig
        fields = ("priority",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["priority"].show_hidden_initial = True
        self.fields["generation"].initial = self.instance.generation

    def clean(self) -> Any:
        """A row that changed meanwhile is told with what was typed; sent again, it is written."""
        cleaned = super().clean()
        if self.instance.pk is not None and self.has_changed():
            try:
                self.refuse_changed(self.instance)
            except PreconditionFailed as error:
                self.add_error("priority", ValidationError(error.message))
                data: Any = self.data
                data = data.copy()
                data[self.add_prefix("generation")] = str(self.instance.generation)
                self.data = data
        return cleaned

    def refuse_changed(self, config: PreparedConfig) -> None:
        """The precondition of writing: raises PreconditionFailed."""
        seen = self.data.get(self.add_prefix("generation"), "")
        if seen and seen != str(config.generation):
            raise PreconditionFailed(
                f"Somebody else has changed {config} since this list was shown: its priority is "
                f"{config.priority} now. Save again to replace it."
            )
