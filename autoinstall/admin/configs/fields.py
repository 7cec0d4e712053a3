"""The kinds of fields of the guided form. They take whatever is typed: the rules are the services'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from django import forms

from autoinstall.documents import Document

BLANK_ROWS = 2  # beyond those that are filled: without script no row can be added
Choices = Sequence[tuple[str, str]]


def one_of(
    shape: type[Document], name: str, *, unset: str = "The installer's default"
) -> list[tuple[str, str]]:
    """The words that this field of a document may be (a `Literal | None`), or nothing."""
    words = get_args(get_args(shape.model_fields[name].annotation)[0])
    return [("", unset), *((word, word) for word in words)]


class TextField(forms.CharField):
    """`when` is the field that has to have one of `values` for this one to matter."""

    kind = "text"

    def __init__(
        self,
        label: str,
        help_text: str,
        *,
        example: str = "",
        when: tuple[str, str] | None = None,
        widget: forms.Widget | None = None,
        **attributes: str,
    ) -> None:
        super().__init__(required=False, label=label, help_text=help_text, widget=widget)
        self.when = when
        self.widget.attrs.update({"autocomplete": "off", "spellcheck": "false", **attributes})
        if example:
            self.widget.attrs["placeholder"] = example


class SecretField(TextField):
    """Taken, never shown again."""

    kind = "secret"

    def __init__(self, label: str, help_text: str) -> None:
        box = forms.PasswordInput(render_value=False)
        super().__init__(label, help_text, widget=box)
        self.strip = False
        self.widget.attrs["autocomplete"] = "new-password"


class NumberField(TextField):
    kind = "number"

    def __init__(self, label: str, help_text: str, **more: Any) -> None:
        super().__init__(label, help_text, inputmode="decimal", **more)


class ChoiceField(TextField):
    """A select that keeps a value which is not among its choices: the rules name it then."""

    kind = "choice"

    def __init__(self, label: str, help_text: str, choices: Choices, **more: Any) -> None:
        super().__init__(label, help_text, widget=forms.Select(choices=choices), **more)


class RadioField(TextField):
    kind = "radio"

    def __init__(self, label: str, help_text: str, choices: Choices) -> None:
        super().__init__(label, help_text, widget=forms.RadioSelect(choices=choices))


class FlagField(forms.BooleanField):
    kind = "flag"

    def __init__(self, label: str, help_text: str, *, when: tuple[str, str] | None = None) -> None:
        super().__init__(required=False, label=label, help_text=help_text)
        self.when = when


class LinesField(TextField):
    """A list of texts, one a line."""

    kind = "lines"

    def __init__(self, label: str, help_text: str, **more: Any) -> None:
        box = forms.Textarea(attrs={"rows": 3, "class": "code"})
        super().__init__(label, help_text, widget=box, **more)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        return [line for line in super().clean(value).splitlines() if line.strip()]


class WordsField(LinesField):
    """A list of names with blanks or commas between them."""

    kind = "text"

    def __init__(self, label: str, help_text: str, **more: Any) -> None:
        TextField.__init__(self, label, help_text, **more)

    def prepare_value(self, value: Any) -> Any:
        return " ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        return str(TextField.clean(self, value)).replace(",", " ").split()


# --- Rows --------------------------------------------------------------------------------------

Row = tuple[str, str]


class RowsInput(forms.Widget):
    """Inputs that come again for each row: `<name>-key` and, in pairs, `<name>-value`."""

    def __init__(self, *, is_pairs: bool) -> None:
        super().__init__()
        self.is_pairs = is_pairs

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[Row]:
        keys = data.getlist(f"{name}-key")
        if not self.is_pairs:
            return [(key, "") for key in keys]
        # A forged form may bring more of the one than of the other.
        return list(zip(keys, data.getlist(f"{name}-value"), strict=False))

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}-key" not in data


class BoundRows(forms.BoundField):
    """`rows` are those to show."""

    @property
    def rows(self) -> list[Row]:
        value = self.value() or []
        filled = list(value.items()) if isinstance(value, Mapping) else list(value)
        filled = [one if isinstance(one, tuple) else (one, "") for one in filled]
        filled = [row for row in filled if any(row)]
        return [*filled, *[("", "")] * BLANK_ROWS]


class RowsField(forms.Field):
    """A list of names, or with `value` names and their values. `what` is what a row says."""

    kind = "rows"

    def __init__(
        self,
        label: str,
        help_text: str,
        *,
        what: str,
        key: str,
        value: str = "",
        examples: Row = ("", ""),
        suggestions: str = "",
        when: tuple[str, str] | None = None,
    ) -> None:
        box = RowsInput(is_pairs=bool(value))
        super().__init__(required=False, label=label, help_text=help_text, widget=box)
        self.what, self.key, self.value, self.examples = what, key, value, examples
        self.suggestions, self.when = suggestions, when

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> BoundRows:
        return BoundRows(form, self, field_name)

    def clean(self, value: list[Row]) -> Any:
        rows = [(key.strip(), text) for key, text in value if key.strip() or text]
        keys = [key for key, _ in rows]
        if not self.value:
            return list(dict.fromkeys(keys))
        if lost := next((text for key, text in rows if not key), None):
            raise forms.ValidationError(f"{lost!r} has no {self.key.lower()} before it.")
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise forms.ValidationError(f"{twice!r} is there twice.")
        return dict(rows)
