"""Which fields stand where in the guided form, and on the page of who only reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django import forms


@dataclass(frozen=True)
class Group:
    """Fields that stand together. With a `title` they are folded away while none of them is used."""

    names: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True)
class Section:
    key: str
    title: str
    intro: str
    groups: tuple[Group, ...]

    @property
    def names(self) -> Iterator[str]:
        return (name for group in self.groups for name in group.names)


SECTIONS = (
    Section(
        "who",
        "Who it is for",
        "Which machines get this config, and who may fetch it.",
        (
            Group(("id", "target_filter", "is_default", "authorized_tokens")),
            Group(("priority",), "Order"),
        ),
    ),
    Section(
        "global",
        "Global",
        "Name, place and password of the machine.",
        (
            Group(
                (
                    *("use_dhcp_fqdn", "fqdn", "dhcp_fqdn_domain", "mailto", "country", "timezone"),
                    *("keyboard", "root_password", "root_ssh_keys", "reboot_mode"),
                )
            ),
            Group(
                (
                    *("root_password_hashed", "keep_root_password", "reboot_on_error"),
                    *("subscription_key", "forget_subscription_key"),
                ),
                "Hash, older installers, errors, subscription",
            ),
        ),
    ),
    Section(
        "network",
        "Network",
        "The management interface of the installed machine.",
        (
            Group(("use_dhcp_network", "cidr", "gateway", "dns", "netdev_filter")),
            Group(("netif_name_pinning_enabled", "netif_name_mapping"), "Names of interfaces"),
        ),
    ),
    Section(
        "disks",
        "Disks",
        "Where the system goes. What is on these disks is lost.",
        (
            Group(
                (
                    *("filesystem", "zfs_raid", "btrfs_raid", "disk_mode", "disk_list"),
                    *("disk_filter", "disk_filter_match"),
                )
            ),
            Group(
                (
                    *("lvm_hdsize", "lvm_swapsize", "lvm_maxroot", "lvm_maxvz", "lvm_minfree"),
                    *("zfs_hdsize", "zfs_ashift", "zfs_arc_max", "zfs_copies", "zfs_compress"),
                    *("zfs_checksum", "btrfs_hdsize", "btrfs_compress"),
                ),
                "Sizes and options",
            ),
        ),
    ),
    Section(
        "templating",
        "Templating",
        "Host name, e-mail, address, gateway and DNS may be templates. They see the system information "
        "(product, iso, dmi, network_interfaces) and what you name here.",
        (Group(("template_counters", "sticky_counters", "template_variables")),),
    ),
    Section(
        "hooks",
        "Hooks",
        "What happens when the installation is finished, and at the first boot.",
        (
            Group(("post_hook_base_url", "post_hook_cert_fp", "post_hook_deadline_minutes")),
            Group(
                (
                    *("first_boot_source", "first_boot_url", "first_boot_cert_fingerprint"),
                    "first_boot_ordering",
                ),
                "First boot",
            ),
        ),
    ),
)


@dataclass(frozen=True)
class BoundGroup:
    title: str
    fields: list[forms.BoundField]

    @property
    def is_open(self) -> bool:
        """Folded away only while nothing in it is set or wrong."""
        return not self.title or any(self._is_used(field) for field in self.fields)

    @staticmethod
    def _is_used(field: forms.BoundField) -> bool:
        value = field.value()
        is_used = any(map(any, value)) if isinstance(value, list) else bool(value)
        return is_used or bool(field.errors)


@dataclass(frozen=True)
class BoundSection:
    key: str
    title: str
    intro: str
    groups: list[BoundGroup]

    @property
    def problems(self) -> int:
        return sum(bool(field.errors) for group in self.groups for field in group.fields)


def bound_sections(form: forms.Form, *, without: tuple[str, ...] = ()) -> list[BoundSection]:
    return [
        BoundSection(
            section.key,
            section.title,
            section.intro,
            [
                BoundGroup(group.title, [form[name] for name in group.names if name not in without])
                for group in section.groups
            ],
        )
        for section in SECTIONS
    ]


SECTION_OF = {name: section.key for section in SECTIONS for name in section.names}
