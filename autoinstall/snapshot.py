"""The catalogue of this process: tokens and prepared configs, compiled and indexed.

It is loaded once and then only brought up to date: each change of the catalogue has a generation, and
what changed since the snapshot's own is loaded and nothing else. Nobody trusts it blindly: whoever
decides by it compares its generation with the database's inside the transaction that records the
decision, and on a difference calls `refresh` and decides again. For this reason a reader may also see a
change half applied.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import orjson
from django.db import models
from django.db.models.functions import Cast

from autoinstall import keys
from autoinstall.answers import CompiledConfig
from autoinstall.filters import compile_filter
from autoinstall.installers import CannotServe
from autoinstall.matching import Entry, Index
from autoinstall.models import (
    AnswerToken,
    AuthorizedToken,
    Catalogue,
    CatalogueChange,
    PreparedConfig,
    TemplateCounter,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# With more changes than this, loading everything anew is cheaper.
MANY_CHANGES = 2000


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """What of an answer token decides about a request."""

    pk: int
    name: str
    secret_digest: str
    enabled: bool
    expire_at: int
    networks: tuple[Network, ...]
    allow_in_path: bool
    allow_without_secret: bool
    generation: int

    def covers(self, source: str) -> bool:
        """Whether one of its networks holds this address."""
        return self.narrowness(source) >= 0

    def narrowness(self, source: str) -> int:
        """The longest prefix among its networks that hold this address; -1 when none does."""
        try:
            address = ipaddress.ip_address(source)
        except ValueError:
            return -1
        mapped = getattr(address, "ipv4_mapped", None) or address
        return max((net.prefixlen for net in self.networks if mapped in net), default=-1)


@dataclass(frozen=True)
class ConfigEntry:
    """What of a prepared config makes its answer; compiled when it is first served."""

    pk: int
    name: str
    document: dict[str, Any]
    password_hash: str
    counters: tuple[str, ...]
    password_sealed: str = ""

    @property
    def is_sticky(self) -> bool:
        return bool(self.document.get("sticky-counters", True))

    @property
    def deadline_minutes(self) -> int:
        return int(self.document.get("post-hook-deadline-minutes", 60))

    def kept_password(self) -> str | None:
        """The root password itself, if the config keeps it. Raises CannotServe."""
        try:
            return keys.unsealed(self.password_sealed) if self.password_sealed else None
        except keys.WrongKey:
            raise CannotServe(
                "The kept root password cannot be read with this server's auto_install.secrets_key: set "
                "root-password again."
            ) from None

    @cached_property
    def compiled(self) -> CompiledConfig:
        return CompiledConfig(self.document, self.password_hash)


class Snapshot:
    """`tokens` by name, `configs` as an index by what machines say; as of `generation`."""

    def __init__(self) -> None:
        self.generation = 0
        self.tokens: dict[str, TokenEntry] = {}
        self.configs = Index()
        self._names: dict[int, str] = {}

    @property
    def secretless(self) -> list[TokenEntry]:
        """Tokens that need no secret from their networks; rare."""
        return [token for token in list(self.tokens.values()) if token.allow_without_secret]

    def replace_token(self, pk: int, row: AnswerToken | None) -> None:
        if name := self._names.pop(pk, None):
            self.tokens.pop(name, None)
        if row is not None:
            self._names[pk] = row.name
            self.tokens[row.name] = token_entry(row)

    def replace_config(self, pk: int, entry: Entry | None) -> None:
        if self.configs.get(pk) is not None:
            self.configs.remove(pk)
        if entry is not None:
            self.configs.add(entry)


# --- Rows -> entries ---------------------------------------------------------------------------


def token_entry(row: AnswerToken) -> TokenEntry:
    return TokenEntry(
        pk=row.pk,
        name=row.name,
        secret_digest=row.secret_digest,
        enabled=row.enabled is not False,
        expire_at=row.expire_at or 0,
        networks=tuple(ipaddress.ip_network(text) for text in row.source_cidrs),
        allow_in_path=row.allow_in_path,
        allow_without_secret=row.allow_without_secret,
        generation=row.generation,
    )


class ConfigRow(NamedTuple):
    """The columns of a prepared config that decide and answer."""

    pk: int
    name: str
    priority: int
    is_default: bool
    document: dict[str, Any]
    root_password_hash: str
    root_password_sealed: str


def config_entry(row: ConfigRow, tokens: Iterable[int], counters: Iterable[str]) -> Entry:
    filters = row.document.get("target-filter", {})
    return Entry(
        key=row.pk,
        order=(row.priority, row.pk),
        filters=tuple(compile_filter(*item) for item in filters.items()),
        tokens=frozenset(tokens),
        is_default=row.is_default,
        payload=ConfigEntry(
            pk=row.pk,
            name=row.name,
            document=row.document,
            password_hash=row.root_password_hash,
            counters=tuple(counters),
            password_sealed=row.root_password_sealed,
        ),
    )


def config_entries(**wanted: Any) -> Iterable[Entry]:
    """Entries of the configs with `pk__in`, or of all: three queries, however many they are."""
    of_config = {key.replace("pk", "config"): value for key, value in wanted.items()}
    tokens: dict[int, list[int]] = {}
    for config, token in AuthorizedToken.objects.filter(**of_config).values_list(
        "config_id", "token_id"
    ):
        tokens.setdefault(config, []).append(token)
    counters: dict[int, list[str]] = {}
    for config, name in TemplateCounter.objects.filter(**of_config).values_list(
        "config_id", "name"
    ):
        counters.setdefault(config, []).append(name)
    for row in config_rows(**wanted):
        yield config_entry(row, tokens.get(row.pk, ()), counters.get(row.pk, ()))


def config_rows(**wanted: Any) -> Iterable[ConfigRow]:
    """Ten thousand instances of the model would take four times as long as their columns."""
    rows = PreparedConfig.objects.filter(**wanted).annotate(
        text=Cast("document", output_field=models.TextField())
    )
    columns = ("pk", "name", "priority", "is_default", "text", *_PASSWORD)
    for pk, name, priority, is_default, text, *password in rows.values_list(*columns).iterator(
        chunk_size=2000
    ):
        yield ConfigRow(pk, name, priority, is_default, orjson.loads(text), *password)


_PASSWORD = ("root_password_hash", "root_password_sealed")


# --- One for each process ----------------------------------------------------------------------


class _Holder:
    snapshot: Snapshot | None = None


_lock = threading.Lock()


def current() -> Snapshot:
    """The snapshot of this process, loaded at the first call."""
    return _Holder.snapshot or _load_once()


def _load_once() -> Snapshot:
    with _lock:
        if _Holder.snapshot is None:
            _Holder.snapshot = load()
        return _Holder.snapshot


def refresh() -> None:
    """Bring the snapshot up to date with the database."""
    with _lock:
        snapshot = _Holder.snapshot
        if snapshot is None or not _apply_changes(snapshot):
            _Holder.snapshot = load()


def forget() -> None:
    """The next use loads it anew (tests undo what a generation said)."""
    with _lock:
        _Holder.snapshot = None


def load() -> Snapshot:
    """Everything anew. The generation is read first: what changes meanwhile is applied again later,
    which does no harm."""
    snapshot = Snapshot()
    generation = generation_of_database()
    for row in AnswerToken.objects.all():
        snapshot.replace_token(row.pk, row)
    for entry in config_entries():
        snapshot.configs.add(entry)
    snapshot.generation = generation
    return snapshot


def _apply_changes(snapshot: Snapshot) -> bool:
    """False where the changes are not all known any more, or are many."""
    generation = generation_of_database()
    missing = generation - snapshot.generation
    if not 0 <= missing <= MANY_CHANGES:
        return False
    changes = CatalogueChange.objects.filter(
        generation__gt=snapshot.generation, generation__lte=generation
    ).values_list("noun", "row_id")
    rows: dict[str, set[int]] = {noun: set() for noun in CatalogueChange.Noun}
    found = 0
    for noun, row_id in changes:
        rows[noun].add(row_id)
        found += 1
    if found != missing:
        return False
    _reload(snapshot, rows[CatalogueChange.Noun.TOKEN], rows[CatalogueChange.Noun.CONFIG])
    snapshot.generation = generation
    return True


def _reload(snapshot: Snapshot, tokens: set[int], configs: set[int]) -> None:
    """Rows that are gone leave the snapshot."""
    token_rows = AnswerToken.objects.in_bulk(tokens)
    entries = {entry.key: entry for entry in config_entries(pk__in=configs)} if configs else {}
    # Those that are gone first: another row may have their name by now.
    for pk in sorted(tokens, key=token_rows.__contains__):
        snapshot.replace_token(pk, token_rows.get(pk))
    for pk in sorted(configs, key=entries.__contains__):
        snapshot.replace_config(pk, entries.get(pk))


def generation_of_database() -> int:
    row = Catalogue.objects.filter(pk=Catalogue.ID).values_list("generation", flat=True).first()
    return row or 0
