"""The shapes of a prepared config and of an answer token, as they are on the wire: kebab-case keys.

Names, types and ranges are those of Proxmox Datacenter Manager 1.1 (`pdm-api-types`,
`auto_installer.rs`); what is ours beyond them is marked. Shapes only: what the installer makes of
the values is in `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

KEYBOARDS = (
    *(
        "de",
        "de-ch",
        "dk",
        "en-gb",
        "en-us",
        "es",
        "fi",
        "fr",
        "fr-be",
        "fr-ca",
        "fr-ch",
        "hu",
        "is",
    ),
    *("it", "jp", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "se", "si", "tr"),
)
MAX_COUNTER = 2**31 - 1
MAX_INSTANT = 2**53  # JSON numbers are exact up to here
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def matching(pattern: str, rule: str, *, is_secret: bool = False) -> AfterValidator:
    """A whole-string pattern with its own sentence, which shows the value unless it is a secret."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(rule if is_secret else f"{value!r} {rule}")
        return value

    return AfterValidator(check)


def _without_control(value: str) -> str:
    if CONTROL.search(value):
        raise ValueError("must not hold control characters")
    return value


NO_CONTROL = AfterValidator(_without_control)
Text = Annotated[str, Field(max_length=4096), NO_CONTROL]
TokenName = Annotated[
    str,
    Field(min_length=3, max_length=64),
    matching(
        r"[A-Za-z0-9_][A-Za-z0-9._\-]*",
        "must begin with a letter, a digit or '_' and hold only letters, digits, '.', '_' and '-'",
    ),
]
ConfigName = Annotated[str, Field(min_length=3, max_length=64), NO_CONTROL]
Comment = Annotated[str, Field(max_length=128), NO_CONTROL]
MailTo = Annotated[str, Field(min_length=2, max_length=64), NO_CONTROL]
Fingerprint = Annotated[
    str,
    matching(
        r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){31}",
        "must be a SHA-256 fingerprint: 32 pairs of hexadecimal digits with ':' between them",
    ),
]
_HOST = r"(?:\[[0-9a-fA-F:.]+\]|[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*|[A-Za-z0-9._-]+)"
_PORT = r"(?:[0-9]{1,4}|[1-5][0-9]{4}|6(?:[0-4][0-9]{3}|5(?:[0-4][0-9]{2}|5(?:[0-2][0-9]|3[0-5]))))"
HttpUrl = Annotated[
    str,
    Field(max_length=2048),
    matching(rf"https?://{_HOST}(:{_PORT})?([/?][^\x00-\x20\x7f]*)?", "must be an http(s) URL"),
]
BaseUrl = Annotated[
    str,
    Field(max_length=2048),
    matching(
        rf"https?://{_HOST}(:{_PORT})?(/[^\x00-\x20\x7f?#]*)?",
        "must be an http(s) URL without '?' and '#', to which the path of the hook is added",
    ),
]
# PDM leaves the alternation half anchored: what it lets pass (sda1) is not refused here either.
BlockDevice = Annotated[
    str,
    Field(min_length=3, max_length=64),
    matching(
        r"(?s:(?:h|s|x?v)d[a-z]+.*|.*nvme\d+n\d+)",
        "must be a disk's name such as sda, vdb or nvme0n1",
    ),
]
UdevKey = Annotated[str, matching(r"[A-Z_]+", "must hold only upper-case letters and '_'")]
VariableName = Annotated[
    str,
    Field(max_length=64),
    matching(r"[A-Za-z_][A-Za-z0-9_]*", "must be a name of letters, digits and '_'"),
]
SubscriptionKey = Annotated[
    str,
    Field(min_length=11, max_length=32),
    matching(
        r"(?:pve[0-9]+|pbs|pmg)[cbsp]-[0-9a-f]{10}",
        "must be a subscription key such as pve1c-0123456789",
    ),
]
Counter = Annotated[int, Field(ge=0, le=MAX_COUNTER)]
UdevFilter = dict[UdevKey, Text]
RootPassword = Annotated[str, Field(min_length=8, max_length=64), NO_CONTROL]
_CRYPT = r"\$(?:[156]|2[aby]|y|gy|7|sha1|md5)\$[^\s:*!;\\]{8,512}"
PasswordHash = Annotated[
    str, matching(_CRYPT, "must be a crypt(3) hash such as $y$... or $6$...", is_secret=True)
]


def kebab(name: str) -> str:
    return name.replace("_", "-")


class Document(BaseModel):
    """`model_dump(by_alias=True)` gives the wire form; unknown keys are refused."""

    model_config = ConfigDict(
        alias_generator=kebab, validate_by_name=True, extra="forbid", strict=True, frozen=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_absent(cls, data: Any) -> Any:
        """JSON null is a value, not an absent key: leaving the key out, or `delete`, is how to unset."""
        if isinstance(data, Mapping):
            for key, value in data.items():
                if value is None:
                    raise ValueError(f"{key}: must not be null (leave it out)")
        return data


Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # GiB
BigSize = Annotated[float, Field(ge=2, allow_inf_nan=False)]  # GiB


class LvmFilesystem(Document):
    filesystem: Literal["ext4", "xfs"]
    hdsize: BigSize | None = None
    swapsize: Size | None = None
    maxroot: BigSize | None = None
    maxvz: Size | None = None
    minfree: Size | None = None


class ZfsFilesystem(Document):
    filesystem: Literal["zfs"]
    raid: Literal["RAID0", "RAID1", "RAID10", "RAIDZ-1", "RAIDZ-2", "RAIDZ-3"] | None = None
    ashift: Annotated[int, Field(ge=9, le=16)] | None = None
    arc_max: Annotated[int, Field(ge=64)] | None = Field(None, description="MiB")
    checksum: Literal["on", "fletcher4", "sha256"] | None = None
    compress: Literal["on", "off", "lzjb", "lz4", "zle", "gzip", "zstd"] | None = None
    copies: Annotated[int, Field(ge=1, le=3)] | None = None
    hdsize: BigSize | None = None


class BtrfsFilesystem(Document):
    filesystem: Literal["btrfs"]
    raid: Literal["RAID0", "RAID1", "RAID10"] | None = None
    compress: Literal["on", "off", "zlib", "lzo", "zstd"] | None = None
    hdsize: BigSize | None = None


Filesystem = Annotated[
    LvmFilesystem | ZfsFilesystem | BtrfsFilesystem, Field(discriminator="filesystem")
]


class FirstBoot(Document):
    """Ours: the script that runs when the installed machine first boots."""

    source: Literal["from-url", "from-iso"]
    ordering: Literal["before-network", "network-online", "fully-up"] | None = None
    url: HttpUrl | None = None
    cert_fingerprint: Fingerprint | None = None


class ConfigDocument(Document):
    """A prepared config, but for the password. PDM demands most booleans; here they have defaults."""

    id: ConfigName
    authorized_tokens: list[TokenName] = []
    is_default: bool = False
    target_filter: dict[Text, Text] = {}
    country: Annotated[str, matching(r"[a-z]{2}", "must be two lower-case letters such as at")]
    fqdn: Annotated[Text, Field(description="Template; unused with use-dhcp-fqdn")] = ""
    use_dhcp_fqdn: bool = False
    keyboard: str
    mailto: Annotated[MailTo, Field(description="Template")]
    timezone: Annotated[str, Field(max_length=64), NO_CONTROL]
    reboot_on_error: bool = False
    reboot_mode: Literal["reboot", "power-off"] = "reboot"
    root_ssh_keys: list[Text] = []
    use_dhcp_network: bool = True
    cidr: Annotated[Text, Field(description="Template")] | None = None
    gateway: Annotated[Text, Field(description="Template")] | None = None
    dns: Annotated[Text, Field(description="Template")] | None = None
    netdev_filter: UdevFilter = {}
    netif_name_pinning_enabled: bool = False
    filesystem: Filesystem
    disk_mode: Literal["fixed", "filter"] = "fixed"
    disk_list: list[BlockDevice] = []
    disk_filter: UdevFilter = {}
    disk_filter_match: Literal["any", "all"] | None = None
    post_hook_base_url: BaseUrl | None = None
    post_hook_cert_fp: Fingerprint | None = None
    template_counters: dict[VariableName, Counter] = {}
    subscription_key: SubscriptionKey | None = None
    # --- Ours, beyond PDM's ---
    priority: Annotated[
        int, Field(ge=-1_000_000, le=1_000_000, description="Smaller is tried first")
    ] = 0
    dhcp_fqdn_domain: (
        Annotated[Text, Field(description="Domain where DHCP gives only the host's name")] | None
    ) = None
    netif_name_mapping: Annotated[
        dict[Text, Text], Field(description="MAC address -> name of the pinned interface")
    ] = {}
    first_boot: FirstBoot | None = None
    template_variables: Annotated[
        dict[VariableName, Text], Field(description="More names for the templates")
    ] = {}
    sticky_counters: Annotated[
        bool, Field(description="The same machine gets the same counter values again")
    ] = True
    post_hook_deadline_minutes: Annotated[int, Field(ge=1, le=60 * 24 * 30)] = 60
    keep_root_password: Annotated[
        bool,
        Field(
            description="Keep root-password itself too, encrypted: only for installers before 8.3, which "
            "take no hash"
        ),
    ] = False

    def wire(self) -> dict[str, Any]:
        """The document as it is stored and answered: empty lists and maps and what is unset are left
        out, and so is what of ours stands at its default, which PDM's clients would not know."""
        plain = self.model_dump(by_alias=True, exclude_none=True)
        return {
            key: value
            for key, value in plain.items()
            if value not in ({}, []) and (key not in OURS or value != OURS[key])
        }


OURS: dict[str, Any] = {
    kebab(name): ConfigDocument.model_fields[name].default
    for name in (
        *("priority", "dhcp_fqdn_domain", "netif_name_mapping", "first_boot", "template_variables"),
        *("sticky_counters", "post_hook_deadline_minutes", "keep_root_password"),
    )
}
DELETABLE = frozenset(
    {
        *("target-filter", "netdev-filter", "disk-filter", "root-ssh-keys", "post-hook-base-url"),
        *("post-hook-cert-fp", "template-counters", "subscription-key"),
        # Those that PDM forgot:
        *("cidr", "gateway", "dns", "disk-list", "disk-filter-match"),
        *OURS,
    }
)


class Secrets(Document):
    """What a prepared config takes and never gives back."""

    root_password: RootPassword | None = None
    root_password_hashed: PasswordHash | None = None


GivenSecret = Annotated[
    str,
    Field(
        min_length=32,
        max_length=128,
        description="One that images hold already, as those prepared for Datacenter Manager; else "
        "a new one is made",
    ),
    matching(r"[!-~]+", "must hold no blanks and only ASCII characters", is_secret=True),
]


class TokenCreate(Document):
    id: TokenName
    secret: GivenSecret | None = Field(None, repr=False)
    comment: Comment | None = None
    enabled: bool | None = None
    expire_at: (
        Annotated[int, Field(ge=0, le=MAX_INSTANT, description="Epoch seconds; 0 is never")] | None
    ) = None
    # --- Ours ---
    source_cidrs: list[str] = Field([], max_length=100)
    max_uses: Annotated[int, Field(ge=1, le=MAX_COUNTER)] | None = None
    allow_in_path: bool = False
    allow_without_secret: bool = False


class TokenChange(Document):
    comment: Comment | None = None
    enabled: bool | None = None
    expire_at: Annotated[int, Field(ge=0, le=MAX_INSTANT)] | None = None
    source_cidrs: list[str] | None = Field(None, max_length=100)
    max_uses: Annotated[int, Field(ge=1, le=MAX_COUNTER)] | None = None
    allow_in_path: bool | None = None
    allow_without_secret: bool | None = None
    delete: list[Literal["comment", "expire-at", "source-cidrs", "max-uses"]] = []
    regenerate_secret: bool = False


Shape = TypeVar("Shape", bound=Document)
# pydantic's kinds of errors as the rest of a sentence that begins with the field's name.
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is no field of this request",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be true or false",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "may have at most {max_length} characters",
    "too_long": "may have at most {max_length} entries",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "finite_number": "must be a finite number",
    "union_tag_not_found": "needs the key 'filesystem': ext4, xfs, zfs or btrfs",
    "union_tag_invalid": "must have a 'filesystem' of {expected_tags}",
}


def read(shape: type[Shape], data: object, *, lax: bool = False) -> tuple[Shape | None, Errors]:
    """`(document, {})`, or `(None, {field: [sentences]})`. `lax` reads form values ("1", "on")."""
    try:
        strict = False if lax else None
        # On the wire only kebab-case counts; `validate_by_name` is for our own calls.
        return shape.model_validate(data, strict=strict, by_alias=True, by_name=False), {}
    except ValidationError as error:
        return None, sentences(error)


Errors = dict[str, list[str]]


def sentences(error: ValidationError) -> Errors:
    """Field -> sentences. A value is shown only where the rule names it; secrets have no such rule."""
    found: Errors = {}
    for item in error.errors(include_url=False):
        steps = [str(step) for step in item["loc"] if step not in _TAGS]
        field = ".".join(steps) or "body"
        context = item.get("ctx", {})
        known = _SENTENCES.get(item["type"])
        # Only our own texts are formats: pydantic's quote what the caller sent.
        text = known.format(**context) if known else item["msg"]
        if item["type"] == "value_error":
            text = str(context.get("error", item["msg"]))
            if text.endswith("(leave it out)"):
                key, _, text = text.partition(": ")
                field = ".".join([*steps, key])
        found.setdefault(field, []).append(text)
    return found


_TAGS = frozenset({"ext4", "xfs", "zfs", "btrfs", "[key]", "function-after[check(), str]"})
