"""`answer.toml` into the form, and out of a saved config."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import get_valid_filename

from accounts.actor import actor_of
from accounts.console import ConsoleAdmin
from autoinstall.admin.configs.editing import NEW, Editor
from autoinstall.answer_file import AnswerFileError, Imported, read_answer_file
from autoinstall.models import PreparedConfig
from autoinstall.services import files

MOST_BYTES = 256 * 1024
NOTE = "Read from the file, nothing is saved yet. Complete it: a file does not say which machines it is for."


class ImportForm(forms.Form):
    text = forms.CharField(
        required=False,
        strip=False,
        label="Text of an answer.toml",
        help_text="Of Proxmox VE 8.2 to 9.2, and the other products' of that time.",
        widget=forms.Textarea(attrs={"rows": 16, "class": "code", "spellcheck": "false"}),
    )
    file = forms.FileField(required=False, label="Or the file itself")

    problems: list[str]

    def read(self) -> Imported | None:
        """The whole file or nothing; `problems` says line and key of each error."""
        self.problems = []
        try:
            return read_answer_file(self._text())
        except AnswerFileError as error:
            self.problems = [str(problem) for problem in error.problems[: files.MOST_PROBLEMS]]
        except ValueError as error:
            self.problems = [str(error)]
        return None

    def _text(self) -> str:
        upload = self.files.get("file")
        if upload is None:
            text = str(self.data.get("text", ""))
            if not text.strip():
                raise ValueError("Paste the text of a file, or choose one.")
            return text
        if (upload.size or 0) > MOST_BYTES:
            raise ValueError(f"The file has {upload.size} bytes, and {MOST_BYTES} are allowed.")
        try:
            return str(upload.read().decode())
        except UnicodeDecodeError:
            raise ValueError("The file is not UTF-8 text: is it an answer.toml?") from None


def import_page(page: ConsoleAdmin, request: HttpRequest) -> HttpResponse:
    """Ask for a file; a good one opens the form with what it says."""
    form = ImportForm(request.POST or None, request.FILES or None)
    if request.method == "POST":
        form = ImportForm(request.POST, request.FILES)
        imported = form.read()
        if imported is not None:
            wire = {**NEW, **imported.config}
            secrets = dict(imported.secrets)
            if key := wire.pop("subscription-key", None):
                secrets["subscription-key"] = key
            return Editor(page, request).open(wire, secrets=secrets, note=NOTE)
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": "Import an answer.toml",
        "form": form,
        "problems": getattr(form, "problems", []),
    }
    return TemplateResponse(request, "admin/autoinstall/preparedconfig/import.html", context)


def export(request: HttpRequest, config: PreparedConfig) -> HttpResponse:
    text = files.export_config(name=config.name, actor=actor_of(request))
    response = HttpResponse(text, content_type="application/toml; charset=utf-8")
    name = get_valid_filename(f"{config.name}.answer.toml".lstrip("."))
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
