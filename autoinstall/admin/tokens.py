"""Answer tokens in the console: made, changed, rotated; a secret is on the page that made it and no other."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import ShowFacets
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.actor import actor_of
from accounts.console import ConsoleAdmin
from accounts.console.looks import badge, moment
from autoinstall.admin.filters import FlagFilter, TokenStateFilter
from autoinstall.admin.token_form import Saved, TokenForm
from autoinstall.documents import TokenChange
from autoinstall.images import Recipe, fingerprint_of
from autoinstall.models import AnswerToken, Attempt, PreparedConfig
from autoinstall.services import tokens
from autoinstall.services.tokens import Precondition
from provisioning.errors import PreconditionFailed, ProductError

NAMED = 3
MOST_NAMED = 50
MARKS = (("allow_in_path", "in the path"), ("allow_without_secret", "without secret"))
WORDS = {"used-up": "used up"}


@admin.register(AnswerToken)
class AnswerTokenAdmin(ConsoleAdmin):
    section, position = "Auto-install", 4
    permissions = {
        "view": "answer_token_read",
        **dict.fromkeys(("add", "change", "delete"), "answer_token_manage"),
    }
    extra_permissions = {"autoinstall_answertoken_rotate": "answer_token_manage"}
    intro = (
        "What installers show to get their answer. A token opens the prepared configs that name it, and "
        "no others."
    )
    empty = "Make one, then put it into an image with the prepare-iso line that its page shows."
    form = TokenForm
    add_form_template = change_form_template = "admin/autoinstall/answertoken/change_form.html"
    list_display = (
        "name",
        "state_badge",
        "comment",
        "used",
        "times",
        "marks",
        "used_by",
        "expires",
    )
    list_filter = (TokenStateFilter, FlagFilter)
    search_fields = ("name", "comment", "created_by", "last_used_from")
    search_help_text = (
        "A part of the id, the comment, who made it, or the address it was used from."
    )
    ordering = ("name",)
    show_facets = ShowFacets.NEVER

    # --- The list ---

    def get_list_display(self, request: HttpRequest) -> Any:
        may_read = actor_of(request).grants.allows("prepared_config_read")
        return [name for name in self.list_display if may_read or name != "used_by"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        some = PreparedConfig.objects.only("id", "name").order_by("name")[: NAMED + 1]
        rows = super().get_queryset(request)
        return rows.prefetch_related(Prefetch("configs", queryset=some, to_attr="some_configs"))

    @admin.display(description="state")
    def state_badge(self, token: AnswerToken) -> SafeString:
        return state_badge(token)

    @admin.display(description="last used", ordering="last_used_at")
    def used(self, token: AnswerToken) -> SafeString | str:
        if token.last_used_at is None:
            return "never"
        return format_html(
            '{}<span class="second">{}</span>', moment(token.last_used_at), token.last_used_from
        )

    @admin.display(description="uses", ordering="uses")
    def times(self, token: AnswerToken) -> SafeString:
        shown = str(token.uses) if token.max_uses is None else f"{token.uses} of {token.max_uses}"
        return format_html('<span class="whole">{}</span>', shown)

    @admin.display(description="marks")
    def marks(self, token: AnswerToken) -> SafeString | str:
        return marks(token) or "-"

    @admin.display(description="used by")
    def used_by(self, token: Any) -> SafeString | str:
        names = config_links(token.some_configs[:NAMED])
        more = ", ..." if len(token.some_configs) > NAMED else ""
        return format_html("{}{}", names, more) if names else "no config"

    @admin.display(description="expires", ordering="expire_at")
    def expires(self, token: AnswerToken) -> SafeString | str:
        return moment(token.expires_at, empty="never")

    # --- The form ---

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What it is, who may use it, and what makes it worth less."""
        first = ("comment", "enabled", "expires_at", "max_uses", "networks")
        older = {
            "fields": ("allow_in_path", "allow_without_secret"),
            "description": "Each makes the token worth less: give it configs of its own.",
        }
        if obj is not None:
            return [(None, {"fields": (*first, "seen")}), ("Images that send no token", older)]
        return [
            (None, {"fields": ("name", *first)}),
            ("Images that send no token", older),
            (
                "Images that hold a secret already",
                {"fields": ("secret",), "classes": ("collapse",)},
            ),
        ]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Bound to the service and to who asks."""
        base: Any = super().get_form(request, obj, change, **kwargs)
        actor = actor_of(request)

        def act(form: TokenForm) -> Saved | None:
            if form.instance.pk is None:
                wanted = form.wanted()
                return tokens.create_token(wanted=wanted, actor=actor) if wanted else None
            change = form.change()
            if change is None:
                return None
            unchanged = as_seen(form.cleaned_data.get("seen"))
            return tokens.change_token(
                name=form.instance.name, change=change, actor=actor, precondition=unchanged
            )

        return type(base.__name__, (base,), {"act": staticmethod(act)})

    def write(self, request: HttpRequest, obj: Any, form: Any) -> Any:
        return form.saved[0]  # the form has asked the service

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """No redirect: the secret is on the answer to this one request, and kept nowhere."""
        form = request.console_token  # type: ignore[attr-defined]
        return self.secret_page(request, *form.saved, verb="created")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        request.console_token = form  # type: ignore[attr-defined]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **more: Any
    ) -> Any:
        token = context.get("original")
        context["title"] = token.name if token else "New answer token"
        if token is not None:
            context |= self.page(request, token)
        return super().render_change_form(request, context, *args, **more)

    def page(self, request: HttpRequest, token: AnswerToken) -> dict[str, Any]:
        """What stands beside the form."""
        may = actor_of(request).grants.allows
        configs = token.configs.only("id", "name").order_by("name")[: MOST_NAMED + 1]
        return {
            "token": token,
            "badge": state_badge(token),
            "marks": marks(token),
            "used": moment(token.last_used_at, empty="never"),
            "created": moment(token.created_at),
            "rotated": moment(token.rotated_at, empty="never"),
            "expires": moment(token.expires_at, empty="never"),
            "configs": list(configs) if may("prepared_config_read") else None,
            **(last_request(token) if may("installation_read") else {}),
            "recipe": recipe(request, f"{token.name}:SECRET"),
        }

    # --- The secret ---

    def get_urls(self) -> Any:
        rotate = self.admin_site.admin_view(self.rotate)
        return [
            path("<int:pk>/rotate/", rotate, name="autoinstall_answertoken_rotate"),
            *super().get_urls(),
        ]

    def rotate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A new secret; the old one ends at once. Sent again (by reloading), it is refused: the token is not
        as it was shown any more."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        token = self.get_object(request, str(pk))
        if token is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, str(pk))  # type: ignore[attr-defined, no-any-return]
        try:
            saved = tokens.change_token(
                name=token.name,
                change=TokenChange(regenerate_secret=True),
                actor=actor_of(request),
                precondition=as_seen(request.POST.get("seen")),
            )
        except ProductError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(page_of(token))
        return self.secret_page(request, *saved, verb="rotated")

    def secret_page(
        self, request: HttpRequest, token: AnswerToken, secret: str | None, *, verb: str
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{token.name}: {verb}",
            "token": token,
            "verb": verb,
            "page_url": page_of(token),
            "recipe": recipe(request, f"{token.name}:{secret}"),
        }
        response = TemplateResponse(request, "admin/autoinstall/answertoken/secret.html", context)
        response["Cache-Control"] = "no-store"  # and Django adds the rest
        return response

    # --- Deleting ---

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The row alone; that a config uses it is the service's to say."""
        return [str(obj) for obj in objs], {}, set(), []

    def remove(self, request: HttpRequest, obj: AnswerToken) -> None:
        tokens.delete_token(name=obj.name, actor=actor_of(request))

    def _refused(self, request: HttpRequest, error: ProductError) -> HttpResponseRedirect:
        back = super()._refused(request, error)
        is_deleting = request.path.endswith("/delete/")
        return HttpResponseRedirect("../change/") if is_deleting else back


def state_badge(token: AnswerToken) -> SafeString:
    tone = "warn" if token.state == "used-up" else ""
    return badge(token.state, WORDS.get(token.state, token.state), tone=tone)


def marks(token: AnswerToken) -> SafeString | str:
    shown = [(badge(words, tone="warn"),) for column, words in MARKS if getattr(token, column)]
    return format_html_join(" ", "{}", shown)


def config_links(configs: list[PreparedConfig]) -> SafeString | str:
    pairs = [
        (reverse("admin:autoinstall_preparedconfig_change", args=[config.pk]), config.name)
        for config in configs
    ]
    return format_html_join(", ", '<a href="{}">{}</a>', pairs)


def page_of(token: AnswerToken) -> str:
    return reverse("admin:autoinstall_answertoken_change", args=[token.pk])


def attempts_of(token: AnswerToken) -> str:
    return f"{reverse('admin:autoinstall_attempt_changelist')}?{urlencode({'token': token.name})}"


def last_request(token: AnswerToken) -> dict[str, Any]:
    """Which machine showed it last and what became of that, for who may read it."""
    rows = Attempt.objects.filter(token_name=token.name).order_by("-id")
    last = rows.only("received_at", "outcome", "serial", "identity").first()
    shown = {"attempts_url": attempts_of(token), "last": last}
    return shown if last is None else {**shown, "last_outcome": badge(last.outcome)}


def as_seen(generation: Any) -> Precondition:
    """Nobody else has changed it since the page was made."""

    def check(token: AnswerToken) -> None:
        if str(generation) != str(token.generation):
            raise PreconditionFailed(
                f"The answer token {token} has changed since this page was shown: look at it again."
            )

    return check


def recipe(request: HttpRequest, credential: str) -> Recipe:
    """With this server's public URL, else the one by which the browser reaches it."""
    base = settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/")
    is_ours = base.startswith("https://")
    return Recipe(credential, base, fingerprint_of(settings.TLS_CERT) if is_ours else "")
