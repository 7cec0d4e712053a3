"""A config tried before it is saved: checked as one types, and previewed on a machine."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse

from accounts.actor import actor_of
from autoinstall.admin.configs import suggesting, wire
from autoinstall.admin.configs.editing import Draft
from autoinstall.admin.configs.form import ConfigForm
from autoinstall.documents import ConfigDocument
from autoinstall.filters import compile_filter
from autoinstall.models import PreparedConfig
from autoinstall.services import preview, seen
from autoinstall.services.preview import Question
from autoinstall.sysinfo import SystemInfo
from provisioning.errors import Forbidden, Invalid, ProductError

UNNAMED = "this config"  # while it has no id
MOST_OTHERS = 8
# Not needed to try an answer.
_NOT_ASKED = ("root-password", "root-password-hashed", "keep-root-password", "id")


def check(request: HttpRequest, stored: PreparedConfig | None) -> HttpResponse:
    """`{"fields": {name: sentences}, "general": sentences, "warnings", "reach", "document"}`."""
    draft = Draft(ConfigForm(request.POST), stored)
    checked = draft.check()
    errors = {name: list(map(str, texts)) for name, texts in draft.form.errors.items()}
    return JsonResponse(
        {
            "general": errors.pop("__all__", []),
            "fields": errors,
            "warnings": checked.warnings,
            "reach": _reach(request, draft.form),
            "document": wire.shown(draft.wire),
        }
    )


def _reach(request: HttpRequest, form: ConfigForm) -> dict[str, Any] | None:
    """How many of the machines seen each row matches, and all of them together; null for a blank row."""
    if not suggesting.may_see_machines(actor_of(request)):
        return None
    rows = [(key.strip(), text) for key, text in form["target_filter"].value() or []]
    filled = [row for row in rows if any(row)]
    reach = seen.reach(filled, seen.machines_seen())
    each = iter(reach.each)
    return {
        "machines": reach.machines,
        "matched": reach.matched,
        "each": [next(each) if any(row) else None for row in rows],
    }


def machines(request: HttpRequest) -> HttpResponse:
    """`[{"id", "title"}]` of those that have what is searched for. Raises Forbidden."""
    _demand_installations(request)
    found = seen.machines_seen(request.GET.get("q", "")[:200])
    return JsonResponse(suggesting.options(found), safe=False)


def _demand_installations(request: HttpRequest) -> None:
    if not suggesting.may_see_machines(actor_of(request)):
        raise Forbidden("This needs the permission installation_read, which you do not hold.")


def asked_machine(request: HttpRequest) -> SystemInfo:
    """The machine that was chosen or pasted. Raises Invalid, Forbidden."""
    if pasted := request.POST.get("system_info", "").strip():
        return preview.info_of_json(pasted.encode())
    if chosen := request.POST.get("machine", ""):
        _demand_installations(request)
        return preview.info_of_attempt(chosen)
    raise Invalid("Choose a machine, or paste what one tells of itself.")


# --- Preview -----------------------------------------------------------------------------------


def preview_of_form(request: HttpRequest, draft: Draft) -> dict[str, Any]:
    """What the preview pane shows of the form as it is; its `refusal` where it can show nothing."""
    draft.wire.setdefault("id", UNNAMED)
    try:
        info = asked_machine(request)
    except Forbidden:
        raise
    except ProductError as error:
        return {"refusal": error.message}
    checked = draft.check()
    problems = {key: texts for key, texts in checked.errors.items() if key not in _NOT_ASKED}
    if checked.document is None or problems:
        found = wire.by_field(problems, draft.form.cleaned_data.get("filesystem", ""))
        return {
            "machine": _machine(info),
            "own": _own_filters(draft, info),
            "problems": _named(found, draft.form),
        }
    return _shown(info, checked.document, checked.document.id)


def preview_of_saved(request: HttpRequest, stored: PreparedConfig) -> dict[str, Any]:
    try:
        return _shown(asked_machine(request), None, stored.name)
    except Forbidden:
        raise
    except ProductError as error:
        return {"refusal": error.message}


def _shown(info: SystemInfo, document: ConfigDocument | None, name: str) -> dict[str, Any]:
    found = preview.preview(Question(info=info, draft=document))
    own = next((one for one in found["configs"] if one["id"] == name), None)
    answer = found["answer"]
    if found["winner"] != name:
        answer = (
            preview.rendered_draft(draft=document, info=info)
            if document
            else preview.rendered(name=name, info=info)
        )
    return {
        "machine": _machine(info),
        "name": name,
        "why": found["why"],
        "winner": found["winner"],
        "wins": found["winner"] == name,
        "is_default": bool(own and own["is-default"]),
        "own": own["filters"] if own else [],
        "others": [one for one in found["configs"] if one["id"] != name][:MOST_OTHERS],
        "answer": {**answer, "json": _pretty(answer["json"])},
    }


def _pretty(answer: Any) -> str:
    return wire.shown(answer) if answer else ""


def _machine(info: SystemInfo) -> dict[str, str]:
    return {
        "Serial number": info.serial,
        "Model": str(info.info["dmi"]["system"].get("name", "")),
        "Identity": info.identity,
        "Image": f"{info.product} {info.release}",
        "Installer": "{}.{}".format(*info.installer),
    }


def _own_filters(draft: Draft, info: SystemInfo) -> list[dict[str, Any]]:
    """Of a config that cannot be tried yet, at least which of its filters match."""
    rows = draft.form.cleaned_data.get("target_filter") or {}
    verdicts = [compile_filter(*row).explain(info.info) for row in rows.items()]
    return [
        {
            "pointer": one.pointer,
            "pattern": one.pattern,
            "found": one.found,
            "matches": one.matched,
            "reason": one.reason,
        }
        for one in verdicts
    ]


def _named(found: dict[str | None, list[str]], form: ConfigForm) -> list[str]:
    return [
        f"{form.fields[name].label}: {text}" if name else text
        for name, texts in found.items()
        for text in texts
    ]


def fragment(request: HttpRequest, shown: dict[str, Any]) -> HttpResponse:
    """The pane alone, for the script that puts it into the page."""
    template = "admin/autoinstall/preparedconfig/preview.html"
    return TemplateResponse(request, template, {"preview": shown})


def wants_fragment(request: HttpRequest) -> bool:
    return request.headers.get("X-Requested-With") == "fetch"
