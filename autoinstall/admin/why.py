"""Why a machine gets its answer: the preview's explanation, for one attempt."""

from __future__ import annotations

from typing import Any

import orjson

from accounts.actor import Actor
from autoinstall.models import Attempt, PreparedConfig
from autoinstall.services import preview
from autoinstall.services.preview import Question
from provisioning.errors import Invalid

# With more of them it is explained when somebody asks, so that the page itself is quick.
EXPLAINED_AT_ONCE = 200
MOST_FOUND = 8
OPENED = 3


def explain(attempt: Attempt, actor: Actor, *, is_asked_for: bool) -> dict[str, Any] | None:
    """None where there is nothing to explain, or not for this person; `{"is_short": True}` where it has to
    be asked for; else the preview with `note` and `verdicts`.

    It is judged by the configs as they are now, for the token that came."""
    may_see = actor.grants.allows("prepared_config_read")
    if not attempt.product or not may_see:
        return None
    if not is_asked_for and PreparedConfig.objects.count() > EXPLAINED_AT_ONCE:
        return {"is_short": True}
    try:
        info = preview.info_of_attempt(str(attempt.pk))
    except Invalid:
        return None
    token, note = attempt.token_name or None, ""
    try:
        found = preview.preview(Question(info=info, token=token))
    except Invalid:
        note = (
            f"The token {token} is gone, so every config is judged as if any token could have it."
        )
        found = preview.preview(Question(info=info))
    return {
        **found,
        "note": note,
        "verdicts": opened([verdict(one, found["winner"]) for one in found["configs"]]),
        "left_out": found["configs-left-out"],
    }


def opened(verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The winner and the first few that this token may fetch are open."""
    ours = [one for one in verdicts if one["is_authorized"]]
    return [{**one, "is_open": one["state"] == "wins" or one in ours[:OPENED]} for one in verdicts]


def verdict(config: dict[str, Any], winner: str | None) -> dict[str, Any]:
    """Keys that a template can say, and what the machine has as text."""
    state, tone = "no match", "quiet"
    if config["id"] == winner:
        state, tone = "wins", "good"
    elif not config["authorized"]:
        state, tone = "not for this token", "quiet"
    elif config["matches"]:
        state, tone = "matches, but comes later", "warn"
    elif config["is-default"]:
        state, tone = "default", "quiet"
    return {
        "id": config["id"],
        "priority": config["priority"],
        "is_default": config["is-default"],
        "is_authorized": config["authorized"],
        "state": state,
        "tone": tone,
        "filters": [{**one, "found": shown(one["found"])} for one in config["filters"]],
    }


def shown(found: list[Any]) -> str:
    texts = [one if isinstance(one, str) else orjson.dumps(one).decode() for one in found]
    more = f" and {len(texts) - MOST_FOUND} more" if len(texts) > MOST_FOUND else ""
    return ", ".join(texts[:MOST_FOUND]) + more
