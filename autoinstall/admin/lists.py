"""Searches that stay quick with a million rows."""

from __future__ import annotations

import re
from typing import Any, Final

from django.db.models import Q, QuerySet

from autoinstall.models import Attempt

MOST_FOUND: Final = 500
# What no index knows is looked for among the newest rows only; columns are read faster than texts.
MOST_READ: Final = 50_000
MOST_SIFTED: Final = 100_000
INDEXED = ("identity", "config_name", "token_name", "serial")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}")
Rows = QuerySet[Any]


def found(rows: Rows, text: str) -> Rows:
    """Attempts that have exactly this id, serial, identity, token or config; of the newest `MOST_READ` also
    those with this source or request id, or with a network card of this address.

    Each is a look-up of its own: one condition for all of them would read every row."""
    text = text.strip().replace("\x00", "")
    looked_up = [rows.filter(**{column: text}) for column in INDEXED if text]
    if is_uuid(text):  # an attempt's own id, and that of a machine's board
        looked_up += [rows.filter(pk=text), rows.filter(identity=f"uuid {text.lower()}")]
    looked_up.append(newest(rows, MOST_READ).filter(in_no_index(text)))
    return rows.filter(pk__in={pk for some in looked_up for pk in first_of(some)})


def first_of(rows: Rows) -> Rows:
    keys: Rows = rows.order_by("-pk").values_list("pk", flat=True)[:MOST_FOUND]
    return keys


def newest(rows: Rows, count: int) -> Rows:
    """Those among the newest `count` of all attempts, which the primary key alone finds."""
    keys = Attempt.objects.order_by("-pk").values_list("pk", flat=True)
    oldest = keys[count : count + 1].first()
    return rows.filter(pk__gt=oldest) if oldest else rows


def in_no_index(text: str) -> Q:
    """Installers before 9.2 write MAC addresses in lower case."""
    wanted = Q(source=text) | Q(request_id=text)
    if _MAC.fullmatch(text):
        mac = text.replace("-", ":")
        wanted |= Q(raw__contains=mac.upper()) | Q(raw__contains=mac.lower())
    return wanted


def is_uuid(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text))
