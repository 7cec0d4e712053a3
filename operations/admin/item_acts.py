"""What can be done to servers, taskservs and clusters: create, ask how it is, delete."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.actor import Actor, actor_of
from accounts.permissions import require, visible_workspace
from operations import sync
from operations.admin import words
from operations.admin.acting import Done, acting, launch_by_form
from operations.admin.launching import LaunchForm, add_errors, suggestions
from operations.admin.workspaces import workspaces_for
from operations.commands import Kind
from operations.inventory import KEYS
from operations.models import InventoryItem, Operation
from operations.services.submit import submit_operation
from provisioning.errors import ProductError
from provisioning.exception_handler import record_refusal
from provisioning.serializers import StrictSerializer


class ItemActs:
    """Mixed into the admin of each; `noun` names its kinds and permissions, `body` is the API's."""

    noun: ClassVar[str]
    body: ClassVar[type[StrictSerializer]]
    model: Any
    admin_site: Any
    opts: Any
    media: Any
    has_add_permission: Any

    def one(self, request: HttpRequest, pk: int) -> Any:
        raise NotImplementedError

    def page_of(self, item: InventoryItem) -> str:
        return reverse(f"admin:operations_{self.noun}_change", args=[item.pk])

    def refresh_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask the CLI how it is; who may see an item may ask, as in the API."""
        item = self.one(request, pk)

        def act() -> Done:
            _, _, source = sync.observe(item)
            if source == "live":
                return f"The CLI says: {item.status}.", self.page_of(item)
            return "The CLI did not answer in time: this is what was seen last.", self.page_of(item)

        return acting(request, act, back=self.page_of(item))

    def remove_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Launch the operation that deletes it; with `check` only what it would do."""
        item = self.one(request, pk)
        actor = actor_of(request)
        is_check = "check" in request.POST

        def act() -> Done:
            require(actor, f"{self.noun}_delete", item.workspace)
            params = {name: value for name in KEYS[self.model] if (value := getattr(item, name))}
            operation = launch_by_form(
                request,
                {**params, "check_mode": is_check},
                lambda: submit_operation(
                    actor=actor,
                    kind=Kind(f"{self.noun}_delete"),
                    workspace=item.workspace,
                    params=params,
                    check_mode=is_check,
                ),
            )
            words_ = (
                "What deleting it would do is being asked." if is_check else "It is on its way."
            )
            return words_, words.page_of(operation)

        return acting(request, act, back=self.page_of(item))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """The form that starts a create."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        actor = actor_of(request)
        names = workspaces_for(actor, f"{self.noun}_create")
        form = LaunchForm(
            request.POST if request.method == "POST" else None,
            body=self.body,
            noun=self.noun,
            workspaces=names,
            initial={name: request.GET[name] for name in request.GET},
        )
        status = 200
        if request.method == "POST" and form.is_valid():
            try:
                return HttpResponseRedirect(words.page_of(self.launch(request, form, actor)))
            except ProductError as error:
                if error.status == 403:
                    record_refusal(request, error)
                    status = error.status
                add_errors(form, error)
        shown = {
            **self.admin_site.each_context(request),
            "title": f"New {self.noun}",
            "opts": self.opts,
            "media": self.media,
            "form": form,
            "form_key": request.POST.get("form_key") or uuid.uuid4(),
            "noun": self.noun,
            "has_workspaces": bool(names),
            "suggestions": suggestions(self.noun, workspaces_for(actor, "server_read")),
        }
        return TemplateResponse(request, "admin/operations/launch.html", shown, status=status)

    def launch(self, request: HttpRequest, form: LaunchForm, actor: Actor) -> Operation:
        params = dict(form.cleaned_data)
        workspace = visible_workspace(actor, params.pop("workspace"))
        require(actor, f"{self.noun}_create", workspace)
        check_mode = params.pop("check_mode")
        return launch_by_form(
            request,
            form.cleaned_data,
            lambda: submit_operation(
                actor=actor,
                kind=Kind(f"{self.noun}_create"),
                workspace=workspace,
                params=params,
                check_mode=check_mode,
            ),
        )
