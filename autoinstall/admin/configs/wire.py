"""Between the guided form and the wire document. Translation: it decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from autoinstall import keys
from autoinstall.admin.configs.form import ConfigForm
from autoinstall.documents import OURS, Errors
from autoinstall.rules import OPTIONS, options_table
from autoinstall.services import checks

Wire = dict[str, Any]
# What is taken and not shown. It travels encrypted while the form is open: from an imported file, from
# the config that is copied, or from a try that was refused.
SECRETS = ("root-password", "root-password-hashed", "subscription-key")
FLAGS = (
    *("is-default", "reboot-on-error", "netif-name-pinning-enabled", "sticky-counters"),
    "keep-root-password",
)
MODES = {"use-dhcp-network": ("static", "dhcp"), "use-dhcp-fqdn": ("own", "dhcp")}
SAME = (
    *("id", "authorized-tokens", "target-filter", "country", "fqdn", "keyboard", "mailto"),
    *("timezone", "reboot-mode", "root-ssh-keys", "cidr", "gateway", "dns", "netdev-filter"),
    *("disk-mode", "disk-list", "disk-filter", "disk-filter-match", "post-hook-base-url"),
    *("post-hook-cert-fp", "dhcp-fqdn-domain", "netif-name-mapping", "template-variables"),
)
NUMBERS = ("priority", "post-hook-deadline-minutes")
FIRST_BOOT = ("source", "url", "ordering", "cert-fingerprint")
_WHOLE = frozenset({"ashift", "arc-max", "copies", *NUMBERS})


def snake(key: str) -> str:
    return key.replace("-", "_")


# --- To the form -------------------------------------------------------------------------------


def initial_of(wire: Mapping[str, Any]) -> dict[str, Any]:
    """What the form begins with; fields that are not in `wire` at their defaults."""
    wire = {**OURS, **wire}
    initial: dict[str, Any] = {snake(key): wire[key] for key in (*SAME, *FLAGS) if key in wire}
    for key in NUMBERS:
        initial[snake(key)] = str(wire[key]) if wire[key] else ""
    for key, names in MODES.items():
        initial[snake(key)] = names[bool(wire.get(key))]
    options = wire.get("filesystem", {})
    initial["filesystem"] = options.get("filesystem", "")
    table = options_table(options.get("filesystem"))
    for key in OPTIONS.get(table, ()):
        initial[f"{table}_{snake(key)}"] = _plain(options.get(key, ""))
    first_boot = wire.get("first-boot") or {}
    initial |= {f"first_boot_{snake(key)}": first_boot.get(key, "") for key in FIRST_BOOT}
    initial["template_counters"] = wire.get("template-counters", {})
    initial["counters_shown"] = orjson.dumps(initial["template_counters"]).decode()
    return initial


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)


# --- From the form -----------------------------------------------------------------------------


def wire_of(form: ConfigForm) -> Wire:
    """The document that the form describes, without secrets. What is empty is left out, and so is what
    goes only with another choice."""
    values = form.cleaned_data
    wire: Wire = {key: values.get(snake(key)) for key in SAME}
    wire["filesystem"] = _filesystem(values)
    wire["first-boot"] = _first_boot(values)
    wire |= {key: _number(values.get(snake(key), ""), key) for key in NUMBERS}
    counters = values.get("template_counters") or {}
    wire["template-counters"] = {
        name: _number(value.strip(), "", is_whole=True) for name, value in counters.items()
    }
    wire = {key: value for key, value in wire.items() if value not in ("", None, [], {})}
    wire |= {key: bool(values.get(snake(key))) for key in FLAGS}
    wire |= {key: values.get(snake(key)) == "dhcp" for key in MODES}
    wire["fqdn"] = values.get("fqdn", "")
    if not wire["netif-name-pinning-enabled"]:
        wire.pop("netif-name-mapping", None)
    if not wire["use-dhcp-fqdn"]:
        wire.pop("dhcp-fqdn-domain", None)
    return wire


def _filesystem(values: Mapping[str, Any]) -> Wire:
    table = options_table(values.get("filesystem"))
    options = {key: values.get(f"{table}_{snake(key)}", "") for key in OPTIONS.get(table, ())}
    return {
        "filesystem": values.get("filesystem", ""),
        **{key: _option(key, value) for key, value in options.items() if value},
    }


def _option(key: str, value: str) -> Any:
    is_text = key in ("raid", "compress", "checksum")
    return value if is_text else _number(value, key)


def _first_boot(values: Mapping[str, Any]) -> Wire:
    source = values.get("first_boot_source", "")
    given = {key: values.get(f"first_boot_{snake(key)}", "") for key in FIRST_BOOT if source}
    if source != "from-url":
        given = {key: given[key] for key in ("source", "ordering") if key in given}
    return {key: value for key, value in given.items() if value}


def _number(text: str, key: str, *, is_whole: bool = False) -> Any:
    """A number, or the text as it is: the shape says then what it should be."""
    try:
        if is_whole or key in _WHOLE:
            return int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() else text
        return float(text)
    except ValueError:
        return text


# --- Secrets -----------------------------------------------------------------------------------


def secrets_of(form: ConfigForm) -> dict[str, str]:
    """What was typed, else what was carried over."""
    typed = {key: form.cleaned_data.get(snake(key), "") for key in SECRETS}
    typed = {key: value for key, value in typed.items() if value}
    carried = uncarried(form.cleaned_data.get("carried", ""))
    if typed.keys() & {"root-password", "root-password-hashed"}:  # a new one of either kind
        carried = {key: carried[key] for key in carried if key == "subscription-key"}
    return {**carried, **typed}


def carried(secrets: Mapping[str, str]) -> str:
    return keys.sealed(orjson.dumps(dict(secrets)).decode()) if secrets else ""


def uncarried(text: str) -> dict[str, str]:
    """Nothing where it was not sealed by this server, as in a forged form."""
    try:
        found = orjson.loads(keys.unsealed(text)) if text else {}
    except (keys.WrongKey, orjson.JSONDecodeError):
        return {}
    is_ours = isinstance(found, dict) and found.keys() <= set(SECRETS)
    return found if is_ours else {}


def shown(wire: Mapping[str, Any]) -> str:
    """The document as JSON, its secrets masked."""
    # Python's own: a number that somebody types may be larger than orjson takes.
    return json.dumps(checks.shown(wire), indent=2, ensure_ascii=False)


# --- Errors ------------------------------------------------------------------------------------


def by_field(errors: Errors, filesystem: str) -> dict[str | None, list[str]]:
    """Sentences by the form's field; those of no field under None, with the key before them."""
    found: dict[str | None, list[str]] = {}
    for key, sentences in errors.items():
        name = field_of(key, filesystem)
        texts = sentences if name else [f"{key}: {text}" for text in sentences]
        found.setdefault(name, []).extend(_without_path(text) for text in texts)
    return found


def field_of(key: str, filesystem: str) -> str | None:
    """`filesystem.raid` is `zfs_raid`, `target-filter./dmi` is `target_filter`."""
    first, _, rest = key.partition(".")
    name = snake(first)
    if first == "filesystem" and rest:
        name = f"{options_table(filesystem)}_{snake(rest)}"
    elif first == "first-boot":
        name = f"first_boot_{snake(rest or 'source')}"
    return name if name in ConfigForm.base_fields else None


def _without_path(sentence: str) -> str:
    """The rules begin with the path in the answer, which the place of the sentence says already."""
    path, colon, rest = sentence.partition(": ")
    return rest if colon and " " not in path and path.partition(".")[0] in _PARTS else sentence


_PARTS = frozenset({"global", "network", "disk-setup", "post-installation-webhook", "first-boot"})
