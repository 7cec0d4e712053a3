"""A prepared config and a machine give the answer: rendered and written.

The mapping follows Proxmox Datacenter Manager 1.1 (`server/src/api/auto_installer`). Templates are
MiniJinja, the engine that Datacenter Manager uses.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import tomli_w
from minijinja import Environment, TemplateError

from autoinstall import rules
from autoinstall.documents import CONTROL

Answer = dict[str, Any]
Wire = Mapping[str, Any]  # a prepared config in its wire form

# The key of the config that holds the template -> the path it fills in the answer.
TEMPLATED = {
    "fqdn": "global.fqdn",
    "mailto": "global.mailto",
    "cidr": "network.cidr",
    "dns": "network.dns",
    "gateway": "network.gateway",
}
CHECKS: Mapping[str, Callable[[str], str | None]] = {
    "mailto": rules.check_email,
    "fqdn": rules.check_fqdn,
    "cidr": rules.check_cidr,
    "dns": rules.check_address,
    "gateway": rules.check_address,
}
# Far more than any sensible template takes; one that loops without end is stopped here.
FUEL = 50_000
HOOK = "post-installation-webhook"
SECRET = "********"  # noqa: S105 - what is shown instead of one


class RenderFailed(ValueError):
    """One sentence for the person at the machine's console."""


def has_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


# --- From config to answer ---------------------------------------------------------------------


def skeleton(config: Wire, password_hash: str) -> Answer:
    """The answer with its templates as they stand: what is the same for every machine."""
    answer: Answer = {
        "global": _global(config, password_hash),
        "network": _network(config),
        "disk-setup": _disks(config),
    }
    if "first-boot" in config:
        answer["first-boot"] = {"ordering": "fully-up", **config["first-boot"]}
    return answer


def _global(config: Wire, password_hash: str) -> Answer:
    fqdn: Any = config.get("fqdn", "")
    if config.get("use-dhcp-fqdn"):
        domain = config.get("dhcp-fqdn-domain")
        fqdn = {"source": "from-dhcp", **({"domain": domain} if domain else {})}
    return {
        "country": config["country"],
        "fqdn": fqdn,
        "keyboard": config["keyboard"],
        "mailto": config["mailto"],
        "timezone": config["timezone"],
        "root-password-hashed": password_hash,
        "reboot-on-error": config["reboot-on-error"],
        "reboot-mode": config["reboot-mode"],
        "root-ssh-keys": config.get("root-ssh-keys", []),
        **_given(config, "subscription-key"),
    }


def _network(config: Wire) -> Answer:
    network: Answer = {"source": "from-dhcp"}
    if not config["use-dhcp-network"]:
        network = {
            "source": "from-answer",
            **_given(config, "cidr", "dns", "gateway"),
            "filter": config.get("netdev-filter", {}),
        }
    if config.get("netif-name-pinning-enabled"):
        mapping = config.get("netif-name-mapping", {})
        network["interface-name-pinning"] = {
            "enabled": True,
            **({"mapping": mapping} if mapping else {}),
        }
    return network


def _disks(config: Wire) -> Answer:
    options = dict(config["filesystem"])
    filesystem = options.pop("filesystem")
    is_fixed = config["disk-mode"] == "fixed"
    disks: Answer = {
        "filesystem": filesystem,
        "disk-list": config.get("disk-list", []) if is_fixed else [],
        "filter": {} if is_fixed else config.get("disk-filter", {}),
    }
    if "disk-filter-match" in config:
        disks["filter-match"] = config["disk-filter-match"]
    if options:
        disks["lvm" if filesystem in ("ext4", "xfs") else filesystem] = options
    return disks


def _given(config: Wire, *keys: str) -> Answer:
    return {key: config[key] for key in keys if key in config}


def used_templates(config: Wire) -> dict[str, str]:
    """Config key -> text, for the fields of this config that are rendered for each machine."""
    used = ["mailto"]
    used += [] if config.get("use-dhcp-fqdn") else ["fqdn"]
    used += [] if config["use-dhcp-network"] else ["cidr", "dns", "gateway"]
    return {key: config[key] for key in used if has_template(config.get(key, ""))}


class CompiledConfig:
    """Everything of a config's answer that is the same for every machine, made once."""

    def __init__(self, config: Wire, password_hash: str) -> None:
        self._skeleton = skeleton(config, password_hash)
        self._variables = dict(config.get("template-variables", {}))
        self._hook_base = str(config.get("post-hook-base-url", "")).rstrip("/")
        self._hook_fingerprint = config.get("post-hook-cert-fp")
        self._templates = used_templates(config)
        self._environment = new_environment()
        for key, source in self._templates.items():
            with panics_as_errors():
                self._environment.add_template(key, source)

    @property
    def wants_hook(self) -> bool:
        return bool(self._hook_base)

    def render(self, info: Wire, counters: Mapping[str, int]) -> Answer:
        """The answer for this machine, without a hook. Raises RenderFailed.

        A counter named like a key of the system information hides it, as in Datacenter Manager.
        """
        answer = dict(self._skeleton)
        if self._templates:
            answer["global"] = dict(answer["global"])
            answer["network"] = dict(answer["network"])
            context = {**info, **self._variables, **counters}
            for key in self._templates:
                section, name = TEMPLATED[key].split(".")
                answer[section][name] = self._render_field(key, context)
        return answer

    def _render_field(self, key: str, context: Wire) -> str:
        try:
            with panics_as_errors():
                text = str(self._environment.render_template(key, **context))
        except TemplateError as error:
            raise RenderFailed(f"{key}: the template failed: {plain(error)}.") from None
        if CONTROL.search(text):
            raise RenderFailed(f"{key}: rendered {text!r}, which holds control characters.")
        if key in CHECKS and (sentence := CHECKS[key](text)):
            raise RenderFailed(f"{key}: {sentence}")
        return text

    def with_hook(self, answer: Answer, attempt: str, secret: str, *, is_json: bool) -> Answer:
        """The answer with the webhook that reports back. An installer before 9.2 sends no token of its
        own: the secret then is in the URL."""
        url = f"{self._hook_base}/api2/json/auto-install/installations/{attempt}/post-hook"
        hook = {"url": url if is_json else f"{url}?token={secret}"}
        if self._hook_fingerprint:
            hook["cert-fingerprint"] = self._hook_fingerprint
        if is_json:
            hook["auth-token"] = secret
        return {**answer, HOOK: hook}


@contextlib.contextmanager
def panics_as_errors() -> Iterator[None]:
    """A panic in the engine, as of a text that is repeated beyond all bounds, comes as an exception that is
    no Exception and would tear down whoever does not expect it."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise TemplateError("the engine gave up: a number in it is far too large") from None
        raise


def new_environment() -> Environment:
    environment = Environment()
    environment.fuel = FUEL
    return environment


def plain(error: TemplateError) -> str:
    """The engine's own sentence, without its picture of the source."""
    first = str(error).splitlines()[0]
    return re.sub(r" \(in [^)]*:(\d+)\)$", "", first)


# --- What templates may say --------------------------------------------------------------------

EXPRESSION = re.compile(r"\{[{%](.*?)[%}]\}", re.DOTALL)
# Nobody needs one, and repeating or padding a text so often would end the process for want of memory.
LONG_NUMBER = re.compile(r"\d{7}")
TEXT = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
FILTER = re.compile(r"(?:\||^[-+]?\s*filter\s)\s*([A-Za-z_]\w*)")
TEST = re.compile(r"\bis\s+(?:not\s+)?([A-Za-z_]\w*)")
OTHER_TEMPLATE = re.compile(r"[-+]?\s*(?:include|import|from|extends)\s")
GLOBALS = frozenset({"range", "dict", "debug", "namespace", "lipsum", "cycler", "joiner"})
KNOWN_INFO: Mapping[str, frozenset[str] | None] = {
    "product": frozenset({"fullname", "product", "enable_btrfs"}),
    "iso": frozenset({"release", "isorelease"}),
    "dmi": frozenset({"system", "baseboard", "chassis"}),
    "network_interfaces": None,
}


def template_problem(source: str, names: frozenset[str]) -> str | None:
    """One sentence when the template does not compile or uses a name that no machine will bring.

    `names` are the config's own counters and variables.
    """
    if any(LONG_NUMBER.search(part) for part in EXPRESSION.findall(source)):
        return f"the template {source!r} holds a number of more than six digits"
    environment = new_environment()
    try:
        with panics_as_errors():
            environment.add_template("template", source)
            used = environment.undeclared_variables_in_template("template", nested=True)
    except TemplateError as error:
        return f"the template {source!r} does not compile: {plain(error)}"
    for part in EXPRESSION.findall(source):
        if sentence := _call_problem(TEXT.sub("''", part)):
            return f"the template {source!r} {sentence}"
    for path in sorted(used):
        first, _, rest = path.partition(".")
        if first in names or first in GLOBALS:
            continue
        if first not in KNOWN_INFO:
            return (
                f"the template uses {first!r}, which is neither system information "
                f"({', '.join(KNOWN_INFO)}) nor a counter or variable of this config "
                f"({', '.join(sorted(names)) or 'it has none'})"
            )
        known = KNOWN_INFO[first]
        second = rest.partition(".")[0]
        if known is not None and second and second not in known:
            return f"the template uses {first}.{second}, but {first} only has {', '.join(sorted(known))}"
    return None


def _call_problem(code: str) -> str | None:
    """The engine looks up filters, tests and other templates only when it renders, which is too late."""
    if OTHER_TEMPLATE.match(code):
        return "uses another template, and there is none"
    for name in FILTER.findall(code):
        if _is_unknown(f"{{{{ ''|{name} }}}}", "unknown filter"):
            return f"uses the filter {name!r}, which there is not"
    for name in TEST.findall(code):
        if _is_unknown(f"{{{{ '' is {name} }}}}", "unknown test"):
            return f"uses the test {name!r}, which there is not"
    return None


@functools.lru_cache(256)
def _is_unknown(source: str, complaint: str) -> bool:
    try:
        with panics_as_errors():
            new_environment().render_str(source)
    except TemplateError as error:  # of others, as of missing arguments, nothing is said here
        return str(error).startswith(complaint)
    return False


# --- Writing -----------------------------------------------------------------------------------


def to_json(answer: Answer) -> bytes:
    return orjson.dumps(answer)


def to_toml(answer: Answer) -> bytes:
    return tomli_w.dumps(answer).encode()


def masked(answer: Answer) -> Answer:
    """The answer as it may be shown: hash, key and one-time secret replaced."""
    shown = {section: dict(values) for section, values in answer.items()}
    for section, names in _SECRETS.items():
        for name in names:
            if name in shown.get(section, {}):
                shown[section][name] = SECRET
    hook = shown.get(HOOK, {})
    if "url" in hook:
        hook["url"] = re.sub(r"([?&]token=)[^&]*", rf"\1{SECRET}", hook["url"])
    return shown


_SECRETS: Mapping[str, tuple[str, ...]] = {
    "global": (
        *("root-password", "root_password", "root-password-hashed", "root_password_hashed"),
        *("subscription-key", "subscription_key"),
    ),
    HOOK: ("auth-token", "auth_token"),
}
