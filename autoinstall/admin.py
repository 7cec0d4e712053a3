"""Console pages of auto-install: to look. Changes are made by the API and the commands."""

from __future__ import annotations

from typing import Any

import orjson
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.actor import actor_of
from accounts.console import ConsoleAdmin
from autoinstall.models import AnswerToken, Attempt, PreparedConfig
from autoinstall.services import checks, configs, installing, tokens


@admin.register(AnswerToken)
class AnswerTokenAdmin(ConsoleAdmin):
    permissions = {"view": "answer_token_read", "delete": "answer_token_manage"}
    list_display = (
        *("name", "comment", "created_by", "is_active", "uses", "last_used_at"),
        "last_used_from",
    )
    list_filter = ("allow_in_path", "allow_without_secret")
    search_fields = ("name", "comment", "created_by")
    fields = (
        *("name", "comment", "created_by", "created_at", "rotated_at", "enabled", "expires_at"),
        *("source_cidrs", "max_uses", "uses", "allow_in_path", "allow_without_secret"),
        *("last_used_at", "last_used_from"),
    )

    @admin.display(boolean=True, description="active")
    def is_active(self, token: AnswerToken) -> bool:
        return token.is_active

    def remove(self, request: HttpRequest, obj: AnswerToken) -> None:
        tokens.delete_token(name=obj.name, actor=actor_of(request))


@admin.register(PreparedConfig)
class PreparedConfigAdmin(ConsoleAdmin):
    permissions = {"view": "prepared_config_read", "delete": "prepared_config_manage"}
    list_display = ("name", "is_default", "priority", "updated_at")
    list_filter = ("is_default",)
    search_fields = ("name",)
    fields = ("name", "is_default", "priority", "created_at", "updated_at", "whole")

    @admin.display(description="config")
    def whole(self, config: PreparedConfig) -> SafeString:
        return as_json(checks.shown(configs.wire_of(config)))

    def remove(self, request: HttpRequest, obj: PreparedConfig) -> None:
        configs.delete_config(name=obj.name, actor=actor_of(request))


@admin.register(Attempt)
class AttemptAdmin(ConsoleAdmin):
    permissions = {"view": "installation_read", "delete": "installation_manage"}
    list_display = (
        *("received_at", "outcome", "state", "config_name", "serial", "product", "source"),
        *("token_name", "reason"),
    )
    list_filter = ("outcome", "status", "credential", "product")
    search_fields = ("=id", "=serial", "=identity", "=source", "=token_name", "=config_name")
    fields = (
        *("id", "received_at", "outcome", "reason", "repeats", "state", "source", "token_name"),
        *("credential", "user_agent", "request_id", "identity", "product", "release", "serial"),
        *("config_name", "counters", "answer_format", "answer_digest", "omitted", "deadline_at"),
        *("finished_at", "system_information", "report"),
    )

    @admin.display(description="state")
    def state(self, attempt: Attempt) -> str:
        return attempt.state

    @admin.display(description="system information")
    def system_information(self, attempt: Attempt) -> SafeString:
        return format_html("<pre>{}</pre>", attempt.raw or "None came.")

    @admin.display(description="report of the installed machine")
    def report(self, attempt: Attempt) -> str:
        return as_json(attempt.hook_data) if attempt.hook_data else "None came."

    def remove(self, request: HttpRequest, obj: Attempt) -> None:
        installing.delete_installation(attempt=obj, actor=actor_of(request))


def as_json(value: Any) -> SafeString:
    return format_html("<pre>{}</pre>", orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
