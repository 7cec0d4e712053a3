"""The guided form: every field of a prepared config, what it does, and an example."""

from __future__ import annotations

from django import forms

from autoinstall import values
from autoinstall.admin.configs.disk_fields import DiskFields
from autoinstall.admin.configs.fields import (
    ChoiceField,
    FlagField,
    LinesField,
    NumberField,
    RadioField,
    RowsField,
    SecretField,
    TextField,
    one_of,
)
from autoinstall.documents import KEYBOARDS, FirstBoot

STATIC = ("use_dhcp_network", "static")
SCRIPT = ("first_boot_source", "from-url from-iso")


class ConfigForm(DiskFields):
    """It says nothing of what is right: `services.drafts` does, and `wire` carries it over."""

    use_required_attribute = False
    carried = forms.CharField(required=False, widget=forms.HiddenInput)
    generation = forms.CharField(required=False, widget=forms.HiddenInput)
    counters_shown = forms.CharField(required=False, widget=forms.HiddenInput)

    # --- Who it is for ---
    id = TextField(
        "Id",
        "The name of this config, 3 to 64 characters. It cannot be changed later.",
        example="rack-7",
    )
    is_default = FlagField(
        "The default config",
        "For machines that match no other config. There can be only one, and its target filter "
        "does not count.",
    )
    target_filter = RowsField(
        "Target filter",
        "A machine gets this config when all entries match: a place in its system information, and a "
        "pattern for the whole text there. * stands for any text, ? for one character, [abc] for one of "
        "these. Upper and lower case differ, except in MAC addresses.",
        what="a filter",
        key="Pointer",
        value="Pattern",
        examples=("/dmi/system/name", "PowerEdge R6*"),
        suggestions="pointers",
    )
    priority = NumberField(
        "Priority",
        "Where two configs match, the smaller number wins, then the older config. It may be negative.",
        example="0",
    )
    authorized_tokens = RowsField(
        "Authorized tokens",
        "Whoever shows one of these answer tokens may fetch this config, and with it the hash of the root "
        "password. With none a new token is made, and its secret is shown once when you save.",
        what="a token",
        key="Token",
        examples=("rack-7", ""),
        suggestions="tokens",
    )

    # --- Global ---
    use_dhcp_fqdn = RadioField(
        "Host name",
        "",
        [("own", "A name of this config"), ("dhcp", "The name that DHCP gives")],
    )
    fqdn = TextField(
        "Full host name (FQDN)",
        "The machine's full name. As a template it differs for each machine: see Templating.",
        example="pve{{ installation_nr }}.example.com",
        when=("use_dhcp_fqdn", "own"),
    )
    dhcp_fqdn_domain = TextField(
        "Domain",
        "Stands behind the name where DHCP gives only the host's name.",
        example="example.com",
        when=("use_dhcp_fqdn", "dhcp"),
    )
    country = ChoiceField(
        "Country",
        "Chooses the nearest package mirror, among other things.",
        [("", "Choose a country")]
        + [(code, f"{name} ({code})") for code, name in values.country_names()],
    )
    timezone = TextField(
        "Time zone",
        "A name of zone.tab or UTC. The installer refuses Etc/UTC and other aliases.",
        example="Europe/Vienna",
        list="list-timezones",
    )
    keyboard = ChoiceField(
        "Keyboard",
        "The layout on the machine's own console, such as de or en-us.",
        [(name, name) for name in KEYBOARDS],
    )
    mailto = TextField(
        "E-mail of root",
        "Where the installed machine sends its notices. May be a template.",
        example="ops@example.com",
        inputmode="email",
    )
    root_password = SecretField(
        "Root password",
        "8 to 64 characters. Only a hash of it is stored; it is never shown again.",
    )
    root_password_hashed = SecretField(
        "Root password as a hash",
        "In place of the password: a crypt(3) hash, such as mkpasswd -m yescrypt prints ($y$...).",
    )
    keep_root_password = FlagField(
        "Keep the password itself, too",
        "Encrypted, only for installers of 8.2, which take no hash. Needs the password, not a hash.",
    )
    root_ssh_keys = LinesField(
        "SSH keys of root",
        "One public key a line, for root's authorized_keys.",
        example="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5... you@example.com",
    )
    reboot_mode = ChoiceField(
        "After a successful installation",
        "Power off keeps a machine that boots the image first from being installed in a loop. "
        "Needs an image of 9.0 or newer.",
        [("reboot", "Reboot"), ("power-off", "Power off")],
    )
    reboot_on_error = FlagField(
        "Reboot after a failed installation",
        "Otherwise the machine stays at the error, for you to look at.",
    )
    subscription_key = SecretField(
        "Subscription key",
        "Registered when the machine first boots, for example pve2c-a1b2c3d4e5. Needs 9.2 or newer.",
    )
    forget_subscription_key = FlagField(
        "Take the stored subscription key out", "Machines are then installed without one."
    )

    # --- Network ---
    use_dhcp_network = RadioField(
        "Address",
        "",
        [("dhcp", "From DHCP"), ("static", "A static address")],
    )
    cidr = TextField(
        "Address and prefix length",
        "Usually a template, so that each machine has its own.",
        example="10.7.0.{{ installation_nr + 10 }}/24",
        when=STATIC,
    )
    gateway = TextField(
        "Gateway", "The address of the router. May be a template.", example="10.7.0.1", when=STATIC
    )
    dns = TextField(
        "DNS server", "One address. May be a template.", example="10.7.0.1", when=STATIC
    )
    netdev_filter = RowsField(
        "Interface",
        "Which interface gets the address: a udev property and a pattern. One entry that matches is "
        "enough. *b42e99acadb4 in ID_NET_NAME_MAC picks it by its MAC address.",
        what="a filter",
        key="Property",
        value="Pattern",
        examples=("ID_NET_NAME", "eno1*"),
        suggestions="net-properties",
        when=STATIC,
    )
    netif_name_pinning_enabled = FlagField(
        "Pin the names of interfaces",
        "They keep their names through upgrades of the kernel. Needs an image of 9.1 or newer.",
    )
    netif_name_mapping = RowsField(
        "Pinned names",
        "Which interface gets which name. Those that are not named here become nic0, nic1 and so on.",
        what="a name",
        key="MAC address",
        value="Name",
        examples=("b4:2e:99:ac:ad:b4", "lan0"),
        suggestions="macs",
        when=("netif_name_pinning_enabled", "on"),
    )

    # --- Templating ---
    template_counters = RowsField(
        "Counters",
        "Each machine takes the next value of each counter: what stands here is what the next machine "
        "gets. Templates use them by name.",
        what="a counter",
        key="Name",
        value="Next value",
        examples=("installation_nr", "1"),
    )
    sticky_counters = FlagField(
        "A machine keeps its values",
        "Installed again, it gets the same values: the same name, the same address.",
    )
    template_variables = RowsField(
        "Variables",
        "More names for the templates, for example site = vie for {{ site }}.",
        what="a variable",
        key="Name",
        value="Text",
        examples=("site", "vie"),
    )

    # --- Hooks ---
    post_hook_base_url = TextField(
        "Base URL for the report",
        "This server as the machine reaches it. The installed machine reports there that it is finished; "
        "without it nobody learns how it ended.",
        example="https://provisioning.example.com",
    )
    post_hook_cert_fp = TextField(
        "Fingerprint of its certificate",
        "SHA-256, for a certificate that the installer does not trust by itself.",
        example="2F:2D:5E:4A:...",
    )
    post_hook_deadline_minutes = NumberField(
        "Deadline, minutes",
        "After so long without a report the installation counts as timed out.",
        example="60",
    )
    first_boot_source = ChoiceField(
        "First-boot script",
        "A script that the installed machine runs once when it first boots. Needs 8.3 or newer.",
        [("", "None"), ("from-url", "From a URL"), ("from-iso", "From the image")],
    )
    first_boot_url = TextField(
        "URL of the script",
        "At most 1 MiB, fetched without credentials.",
        example="https://example.com/first-boot.sh",
        when=("first_boot_source", "from-url"),
    )
    first_boot_cert_fingerprint = TextField(
        "Fingerprint of that server",
        "SHA-256, where its certificate is not trusted by itself.",
        example="2F:2D:5E:4A:...",
        when=("first_boot_source", "from-url"),
    )
    first_boot_ordering = ChoiceField(
        "When it runs",
        "fully-up, when everything else has started, is the default.",
        one_of(FirstBoot, "ordering"),
        when=SCRIPT,
    )

    def add_errors(self, found: dict[str | None, list[str]]) -> None:
        """Sentences by field; those under None stand above the form."""
        for name, sentences in found.items():
            self.add_error(name, [forms.ValidationError(one) for one in sentences])
