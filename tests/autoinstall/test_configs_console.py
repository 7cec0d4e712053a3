"""Prepared configs in the console: the form is the API's services, and nothing else is let through."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.actor import SYSTEM
from accounts.models import AuditEvent, Role, RoleBinding, User
from autoinstall.admin.configs.fields import BoundRows
from autoinstall.documents import ConfigDocument, kebab
from autoinstall.models import AnswerToken, Attempt, HeldValue, PreparedConfig, TemplateCounter
from autoinstall.services import configs
from tests.answers import nothing_changes, one_event
from tests.autoinstall.factories import (
    MODEL,
    ROOT_PASSWORD,
    STATIC,
    ask,
    config_body,
    machine,
    make_config,
    make_token,
    password_hash,
    system_info,
)

Made = tuple[AnswerToken, str]
LIST = "/admin/autoinstall/preparedconfig/"
ADD = f"{LIST}add/"
CHECK = f"{LIST}check/"
PREVIEW = f"{LIST}preview/"
IMPORT = f"{LIST}import/"
KEY = "pve1c-0123456789"

# A whole form as a browser sends it.
FORM: dict[str, Any] = {
    "id": "rack",
    "target_filter-key": ["/dmi/system/name", ""],
    "target_filter-value": [MODEL, ""],
    "authorized_tokens-key": ["rack-7"],
    "use_dhcp_fqdn": "own",
    "fqdn": "pve1.example.com",
    "country": "at",
    "timezone": "Europe/Vienna",
    "keyboard": "de",
    "mailto": "ops@example.com",
    "root_password": ROOT_PASSWORD,
    "reboot_mode": "reboot",
    "use_dhcp_network": "dhcp",
    "filesystem": "zfs",
    "zfs_raid": "RAID1",
    "disk_mode": "fixed",
    "disk_list": "sda sdb",
    "sticky_counters": "on",
}
# Every field of a config, each with a value of its own.
EVERYTHING: dict[str, Any] = {
    "target-filter": {"/dmi/system/name": "North*", "json:/product/enable_btrfs": "true"},
    "fqdn": "{{ site }}{{ nr }}.example.com",
    "reboot-on-error": True,
    "reboot-mode": "power-off",
    "root-ssh-keys": ["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"],
    **STATIC,
    "netif-name-pinning-enabled": True,
    "netif-name-mapping": {"a0:36:9f:10:20:01": "lan0"},
    "filesystem": {
        "filesystem": "zfs",
        "raid": "RAID1",
        "ashift": 12,
        "arc-max": 2048,
        "copies": 2,
        "checksum": "sha256",
        "compress": "zstd",
        "hdsize": 80.5,
    },
    "disk-filter-match": "all",
    "post-hook-base-url": "https://provisioning.example.com",
    "post-hook-cert-fp": ":".join(["AB"] * 32),
    "post-hook-deadline-minutes": 90,
    "template-counters": {"nr": 5},
    "template-variables": {"site": "vie"},
    "sticky-counters": False,
    "subscription-key": KEY,
    "priority": -3,
    "first-boot": {
        "source": "from-url",
        "url": "https://example.com/run.sh",
        "ordering": "fully-up",
        "cert-fingerprint": ":".join(["CD"] * 32),
    },
}


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client(operator: User) -> Client:
    return logged_in(operator)


def form(**fields: Any) -> dict[str, Any]:
    """FORM with these; None leaves a field out."""
    return {key: value for key, value in {**FORM, **fields}.items() if value is not None}


def text_of(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, answer.content[:500]
    text: str = answer.content.decode()
    return text


def page_of(config: PreparedConfig) -> str:
    return f"{LIST}{config.pk}/change/"


def shown_form(client: Client, path: str) -> dict[str, Any]:
    """What the form on a page would send if nobody touched it."""
    shown = client.get(path).context["form"]
    data: dict[str, Any] = {}
    for bound in shown:
        if isinstance(bound, BoundRows):
            data[f"{bound.name}-key"] = [key for key, _ in bound.rows]
            data[f"{bound.name}-value"] = [value for _, value in bound.rows]
        elif (value := bound.value()) is True:
            data[bound.name] = "on"
        elif value not in (None, False):
            data[bound.name] = value
    return data


def errors_of(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200, answer.content[:300]
    return {name: list(texts) for name, texts in answer.context["form"].errors.items()}


# --- Creating and changing ---------------------------------------------------------------------


def test_a_config_is_created_by_the_form_as_by_the_api(
    client: Client, operator: User, token: Made
) -> None:
    with one_event(event="prepared-config.created", actor=operator, target_name="rack"):
        answer = client.post(ADD, form(), follow=True)

    config = PreparedConfig.objects.get(name="rack")
    assert "The prepared config rack is saved." in text_of(answer)
    wire = configs.wire_of(config)
    body = config_body(id="rack", **{"authorized-tokens": ["rack-7"]})
    del body["root-password-hashed"]
    assert wire == configs.assembled(config, tokens=["rack-7"], counters={})
    assert {key: wire[key] for key in body} == body
    assert config.root_password_hash.startswith("$6$")


def test_without_a_token_one_is_made_and_its_secret_shown_once(client: Client) -> None:
    text = text_of(client.post(ADD, form(**{"authorized_tokens-key": [""]})))

    made = PreparedConfig.objects.get(name="rack").authorized_tokens.get()
    assert f"{made.name}:" in text
    assert "--answer-auth-token" in text
    again = text_of(client.get(page_of(PreparedConfig.objects.get(name="rack"))))
    assert f"{made.name}:" not in again


def test_a_form_that_nobody_touched_changes_nothing(
    client: Client, operator: User, token: Made
) -> None:
    config = make_config(id="rack", authorized_tokens=["rack-7"], **EVERYTHING).config
    before, held = configs.wire_of(config), config.root_password_hash

    client.post(page_of(config), shown_form(client, page_of(config)), follow=True)

    config.refresh_from_db()
    assert configs.wire_of(config) == before
    assert config.root_password_hash == held
    assert AuditEvent.objects.get(event="prepared-config.changed").data == {"changed": {}}


def test_the_form_knows_every_field_of_a_config(client: Client) -> None:
    names = {kebab(name) for name in ConfigDocument.model_fields}
    everything = {*config_body(), *EVERYTHING, "authorized-tokens", "is-default"}
    seen_elsewhere = {
        *("use-dhcp-fqdn", "dhcp-fqdn-domain", "disk-filter", "keep-root-password"),
    }

    assert names == (everything - {"root-password-hashed"}) | seen_elsewhere


def test_what_is_emptied_is_unset(client: Client, token: Made) -> None:
    config = make_config(id="rack", authorized_tokens=["rack-7"], **EVERYTHING).config
    data = shown_form(client, page_of(config))
    data |= {"root_ssh_keys": "", "post_hook_cert_fp": "", "priority": "", "first_boot_source": ""}
    data |= {"fqdn": "one.example.com", "template_counters-key": "", "template_variables-key": ""}
    data |= {"template_counters-value": "", "template_variables-value": ""}
    data |= {"forget_subscription_key": "on", "zfs_ashift": ""}

    client.post(page_of(config), data)

    wire = configs.wire_of(PreparedConfig.objects.get())
    gone = {"root-ssh-keys", "post-hook-cert-fp", "priority", "first-boot", "template-counters"}
    assert not (gone | {"template-variables", "subscription-key"}) & set(wire)
    assert "ashift" not in wire["filesystem"]


def test_an_empty_password_keeps_the_present_one_and_a_new_one_replaces_it(
    client: Client, token: Made
) -> None:
    config = make_config(id="rack", authorized_tokens=["rack-7"]).config
    data = shown_form(client, page_of(config))
    assert "root_password" not in data

    client.post(page_of(config), data)
    config.refresh_from_db()
    assert config.root_password_hash == password_hash()

    client.post(page_of(config), {**data, "generation": "", "root_password": "another-password"})
    config.refresh_from_db()
    assert config.root_password_hash != password_hash()


def test_counters_that_machines_moved_on_meanwhile_are_not_set_back(
    client: Client, token: Made
) -> None:
    config = make_config(
        **{"id": "rack", "authorized-tokens": ["rack-7"], "template-counters": {"nr": 5, "of": 1}}
    ).config
    data = shown_form(client, page_of(config))
    ask(token[1], machine(1))
    data |= {"template_counters-key": ["nr", "of"], "template_counters-value": ["5", "40"]}

    client.post(page_of(config), data)

    values = dict(TemplateCounter.objects.values_list("name", "value"))
    assert values == {"nr": 6, "of": 40}
    assert HeldValue.objects.count() == 2


def test_a_change_by_somebody_else_is_not_overwritten_unseen(client: Client, token: Made) -> None:
    config = make_config(id="rack", authorized_tokens=["rack-7"]).config
    data = shown_form(client, page_of(config))
    make_change = {**data, "mailto": "other@example.com"}
    client.post(page_of(config), make_change)

    answer = client.post(page_of(config), {**data, "country": "de"})

    assert "Somebody else has changed rack since you opened it" in text_of(answer)
    assert PreparedConfig.objects.get().document["country"] == "at"
    again = {**data, "country": "de", "generation": answer.context["form"]["generation"].value()}
    client.post(page_of(config), again)
    assert PreparedConfig.objects.get().document["country"] == "de"


def test_overlapping_filters_are_a_message(client: Client, token: Made) -> None:
    make_config(id="other", authorized_tokens=["rack-7"])

    text = text_of(client.post(ADD, form(), follow=True))

    assert "a machine may match this config and also other" in text


# --- What is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "name", "sentence"),
    [
        ({"timezone": "Etc/UTC"}, "timezone", "is no time zone of zone.tab"),
        ({"country": "xx"}, "country", "is no country code"),
        ({"mailto": ""}, "mailto", "is missing"),
        ({"mailto": "nobody"}, "mailto", "is no e-mail address"),
        ({"fqdn": "pve"}, "fqdn", "has no domain"),
        ({"fqdn": "{{ nr }}.example.com"}, "fqdn", "neither system information"),
        ({"zfs_raid": ""}, "zfs_raid", "zfs needs it"),
        ({"zfs_raid": "RAID10"}, "disk_list", "needs at least 4 disks"),
        ({"zfs_ashift": "big"}, "zfs_ashift", "must be a whole number"),
        ({"use_dhcp_network": "static"}, "cidr", "is missing"),
        ({"use_dhcp_network": "static"}, "netdev_filter", "needs an entry"),
        ({"disk_list": ""}, "disk_mode", "names no disk"),
        ({"root_password": ""}, "root_password", "must be given"),
        ({"root_password": "short"}, "root_password", "at least 8 characters"),
        ({"root_password": "", "root_password_hashed": "x"}, "root_password_hashed", "crypt(3)"),
        ({"authorized_tokens-key": ["nobody"]}, "authorized_tokens", "no answer token 'nobody'"),
        ({"target_filter-value": ["[", ""]}, "target_filter", "is never closed"),
        ({"target_filter-key": ["", ""]}, "target_filter", "has no pointer before it"),
        (
            {"target_filter-key": ["/a", "/a"], "target_filter-value": ["1", "2"]},
            "target_filter",
            "is there twice",
        ),
        ({"priority": "first"}, "priority", "must be a whole number"),
        ({"first_boot_source": "from-url"}, "first_boot_url", "is missing"),
        ({"post_hook_cert_fp": "AB"}, "post_hook_cert_fp", "SHA-256 fingerprint"),
        (
            {"template_counters-key": ["nr"], "template_counters-value": ["x"]},
            "template_counters",
            "must be a whole number",
        ),
        ({"priority": "9" * 40}, "priority", "must be at most"),
        ({"priority": "9" * 9000}, "priority", "must be a whole number"),
        ({"zfs_hdsize": "1e999"}, "zfs_hdsize", "must be a finite number"),
        ({"fqdn": "a\x00b"}, "fqdn", "Null characters"),
        ({"target_filter-key": ["/a\x00", ""]}, "target_filter", "control characters"),
        ({"authorized_tokens-key": ["a\x00b"]}, "authorized_tokens", "must begin with"),
        ({"id": "ab"}, "id", "at least 3 characters"),
        ({"id": "taken"}, "id", "exists"),
        ({"is_default": "on"}, "is_default", "is the default already"),
    ],
)
def test_what_the_rules_refuse_stands_at_its_field_and_what_was_typed_stays(
    client: Client, token: Made, fields: dict[str, Any], name: str, sentence: str
) -> None:
    make_config(id="taken", is_default=True)

    with nothing_changes():
        answer = client.post(ADD, form(**fields))
        live = client.post(CHECK, form(**fields)).json()

    assert any(sentence in text for text in errors_of(answer)[name]), errors_of(answer)
    assert live["fields"] == errors_of(answer)
    page = answer.content.decode()
    assert 'value="ops@example.com"' in page or fields.get("mailto") is not None
    assert 'value="sda sdb"' in page or fields.get("disk_list") is not None


def test_several_mistakes_are_all_said_at_once_though_a_field_is_missing(
    client: Client, token: Made
) -> None:
    wrong = form(mailto="", timezone="Etc/UTC", zfs_raid="RAID10", id="")

    assert set(errors_of(client.post(ADD, wrong))) == {"mailto", "timezone", "disk_list", "id"}


def test_a_refused_password_is_not_on_the_page_and_not_lost(client: Client, token: Made) -> None:
    answer = client.post(ADD, form(timezone="Etc/UTC"))
    text = text_of(answer)
    carried = answer.context["form"]["carried"].value()
    assert ROOT_PASSWORD not in text and carried

    with one_event(event="prepared-config.created"):
        client.post(ADD, form(root_password="", carried=carried))

    assert PreparedConfig.objects.get().root_password_hash.startswith("$6$")


def test_a_forged_carried_secret_counts_for_nothing(client: Client, token: Made) -> None:
    answer = client.post(ADD, form(root_password="", carried="gAAAAAforged"))

    assert "root_password" in errors_of(answer)
    assert not PreparedConfig.objects.exists()


# --- Who may what ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ADD, CHECK, PREVIEW, IMPORT, "change"])
def test_who_only_reads_is_refused_and_the_trail_knows(
    viewer: User, token: Made, path: str
) -> None:
    config = make_config(id="kept", authorized_tokens=["rack-7"]).config
    target = page_of(config) if path == "change" else path
    reader = logged_in(viewer)

    with (
        nothing_changes(AuditEvent),
        one_event(event="access.denied", actor=viewer, outcome="denied"),
    ):
        assert reader.post(target, form()).status_code == 403


def test_who_only_reads_sees_the_config_but_no_form_and_no_act(viewer: User, token: Made) -> None:
    config = make_config(id="kept", authorized_tokens=["rack-7"], **EVERYTHING).config
    reader = logged_in(viewer)

    text = text_of(reader.get(page_of(config)))
    listed = text_of(reader.get(LIST))

    for shown in ("provisioning.example.com", "rack-7", "North*", "eno1*", "lan0", "vie", "RAID1"):
        assert shown in text, shown
    for act in (f"{ADD}?copy", "/delete/", 'name="mailto"', 'name="_save"'):
        assert act not in text
    for act in (ADD, IMPORT, 'name="_save"', 'name="form-0-priority"'):
        assert act not in listed
    for secret in (KEY, password_hash(), config.root_password_hash):
        assert secret not in text + listed


def test_a_viewer_cannot_change_a_priority_in_the_list(viewer: User) -> None:
    config = make_config(id="kept").config
    data = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "_save": "Save"}
    data |= {"form-0-id": str(config.pk), "form-0-priority": "7"}

    reader = logged_in(viewer)

    with (
        nothing_changes(AuditEvent),
        one_event(event="access.denied", actor=viewer, outcome="denied"),
    ):
        assert reader.post(LIST, data).status_code == 403


def only_configs(user: User) -> None:
    """Somebody who manages configs, and sees neither machines nor tokens."""
    permissions = ["prepared_config_read", "prepared_config_manage"]
    role = Role.objects.create(name="Configs only", permissions=permissions)
    RoleBinding.objects.create(user=user, role=role)


def test_machines_and_tokens_are_shown_only_to_who_may_see_them(
    stranger: User, token: Made
) -> None:
    config = make_config(id="rack", authorized_tokens=["rack-7"], target_filter={"/a": "b"}).config
    make_token("secret-project")
    ask(token[1], machine(1))
    only_configs(stranger)
    client = logged_in(stranger)

    text = text_of(client.get(page_of(config))) + text_of(client.get(LIST))

    assert "SN-0001" not in text and "secret-project" not in text and "Last answer" not in text
    assert client.post(CHECK, form()).json()["reach"] is None
    attempt = Attempt.objects.get()
    for answer in (
        client.get(f"{LIST}machines/"),
        client.get(ADD, {"attempt": str(attempt.pk)}),
        client.post(PREVIEW, form(machine=str(attempt.pk))),
    ):
        assert answer.status_code == 403
    assert AuditEvent.objects.filter(event="access.denied").count() == 3


# --- Checks as one types -----------------------------------------------------------------------


def test_a_check_changes_nothing_and_counts_the_machines_that_match(
    client: Client, token: Made
) -> None:
    for number in (1, 2, 3):
        ask(token[1], machine(number))
    ask(token[1], machine(3))  # the same again is one machine
    rows = {
        "target_filter-key": ["/dmi/system/name", "", "/dmi/system/serial"],
        "target_filter-value": [MODEL, "", "*[12]"],
    }

    with nothing_changes():
        found = client.post(CHECK, form(**rows)).json()

    assert found["reach"] == {"machines": 3, "matched": 2, "each": [3, None, 2]}
    assert found["fields"] == {} and found["general"] == []
    assert json.loads(found["document"])["target-filter"]["/dmi/system/serial"] == "*[12]"


def test_a_check_of_a_saved_config_takes_it_for_itself(client: Client, token: Made) -> None:
    config = make_config(id="rack", authorized_tokens=["rack-7"], is_default=True).config
    data = form(root_password="", is_default="on")

    found = client.post(f"{CHECK}?config={config.pk}", data).json()

    assert found["fields"] == {}
    assert "id" in client.post(CHECK, data).json()["fields"]


def test_a_check_warns_of_filters_that_overlap_and_hides_the_key(
    client: Client, token: Made
) -> None:
    make_config(id="other", authorized_tokens=["rack-7"])

    found = client.post(CHECK, form(subscription_key=KEY)).json()

    assert any("also other" in one for one in found["warnings"])
    assert KEY not in found["document"]


def test_suggestions_are_what_stands_on_the_machines_seen(client: Client, token: Made) -> None:
    odd = system_info(name="Rack [A]*", macs=("A0:36:9F:00:00:07",))
    odd["dmi"]["system"]["a/b~c"] = "x"
    ask(token[1], odd)

    context = client.get(ADD).context

    assert context["patterns"]["/dmi/system/name"] == ["Rack [[]A][*]"]
    assert context["patterns"]["/dmi/system/a~1b~0c"] == ["x"]
    assert context["patterns"]["/network_interfaces/*/mac"] == ["A0:36:9F:00:00:07"]
    assert context["patterns"]["json:/product/enable_btrfs"] == ["true"]


def test_what_a_machine_says_of_itself_cannot_inject_html(client: Client, token: Made) -> None:
    evil = "</script><script>evil</script>"
    ask(token[1], system_info(serial=evil))
    attempt = Attempt.objects.get()

    pages = [client.get(ADD), client.get(ADD, {"attempt": str(attempt.pk)})]
    pages.append(client.post(PREVIEW, form(machine=str(attempt.pk))))

    for page in pages:
        assert "<script>evil" not in text_of(page)


# --- Preview -----------------------------------------------------------------------------------


def preview(client: Client, **fields: Any) -> str:
    answer = client.post(PREVIEW, form(**fields), headers={"X-Requested-With": "fetch"})
    return text_of(answer)


def test_the_preview_shows_why_it_wins_and_the_answer_without_secrets(
    client: Client, token: Made
) -> None:
    ask(token[1], machine(7))
    counted = {"template_counters-key": ["nr"], "template_counters-value": ["4"]}
    chosen = str(Attempt.objects.get().pk)

    with nothing_changes():
        text = preview(
            client, machine=chosen, fqdn="pve{{ nr }}.example.com", subscription_key=KEY, **counted
        )

    assert "rack is the first that matches." in text
    assert f"found <code>{MODEL}</code>" in text
    assert "pve4.example.com" in text and "nr = 4" in text
    assert "The installer would take it." in text
    assert "********" in text and KEY not in text and ROOT_PASSWORD not in text


def test_the_preview_says_who_wins_instead_and_why_this_one_does_not(
    client: Client, token: Made
) -> None:
    make_config(id="first", authorized_tokens=["rack-7"], priority=-1)
    pasted = json.dumps(system_info())

    text = preview(client, system_info=pasted)
    missed = preview(client, system_info=pasted, **{"target_filter-value": ["Other*", ""]})

    assert "would get <strong>first</strong>" in text
    assert "rack would match as well, but come later" in text
    assert "does not match &#x27;Other*&#x27;" in missed


def test_the_preview_says_what_the_installer_would_reject(client: Client, token: Made) -> None:
    backup = json.dumps(system_info(product="pbs", release="4.2"))

    text = preview(
        client, system_info=backup, filesystem="btrfs", btrfs_raid="RAID1", zfs_raid=None
    )

    assert "offers no &#x27;btrfs&#x27;" in text


def test_a_preview_of_an_unfinished_config_says_what_is_missing_and_which_filters_match(
    client: Client, token: Made
) -> None:
    text = preview(client, system_info=json.dumps(system_info()), mailto="", id="")

    assert "E-mail of root: is missing" in text
    assert f"found <code>{MODEL}</code>" in text
    assert "Id:" not in text  # an answer needs no name


def test_a_preview_needs_a_machine_and_says_what_is_wrong_with_a_pasted_one(
    client: Client,
) -> None:
    assert "Choose a machine" in preview(client)
    assert "not valid JSON" in preview(client, system_info="{")
    assert "brought no valid" in preview(client, machine=str(refused_attempt().pk))
    assert "is no id of an attempt" in preview(client, machine="x")


def refused_attempt() -> Attempt:
    ask("nobody:wrong-secret", b"{}")
    return Attempt.objects.get()


def test_without_script_the_preview_is_a_page_with_the_form_as_it_was(
    client: Client, token: Made
) -> None:
    answer = client.post(PREVIEW, form(system_info=json.dumps(system_info()), priority="12"))

    text = text_of(answer)
    assert "This machine would get <strong>rack</strong>" in text
    assert answer.context["form"]["priority"].value() == "12"
    assert ROOT_PASSWORD not in text


def test_who_only_reads_previews_what_is_saved(viewer: User, token: Made) -> None:
    config = make_config(id="kept", authorized_tokens=["rack-7"]).config
    ask(token[1], machine(1))
    path = f"{PREVIEW}?saved&config={config.pk}"
    chosen = {"machine": str(Attempt.objects.get().pk)}

    assert "kept is the first that matches." in text_of(logged_in(viewer).post(path, chosen))


def test_machines_are_found_by_what_one_knows_of_them(client: Client, token: Made) -> None:
    for number in (1, 2):
        ask(token[1], machine(number))

    def found(text: str) -> list[str]:
        rows = client.get(f"{LIST}machines/", {"q": text}).json()
        return [row["title"].partition(",")[0] for row in rows]

    assert found("") == ["SN-0002", "SN-0001"]
    assert found("sn-0001") == ["SN-0001"]
    assert found("a0:36:9f:00:00:02") == ["SN-0002"]
    assert found("nothing") == []


# --- Copy, machine, files ----------------------------------------------------------------------


def test_a_copy_has_everything_but_the_id_and_keeps_the_password_unseen(
    client: Client, token: Made
) -> None:
    config = make_config(id="rack", authorized_tokens=["rack-7"], **EVERYTHING).config
    data = shown_form(client, f"{ADD}?copy={config.pk}")
    text = text_of(client.get(f"{ADD}?copy={config.pk}"))
    assert password_hash() not in text and KEY not in text

    client.post(ADD, data)

    copy = PreparedConfig.objects.get(name="rack-copy")
    assert configs.wire_of(copy) == {**configs.wire_of(config), "id": "rack-copy"}
    assert copy.root_password_hash == password_hash()


def test_a_config_is_begun_from_a_machine(client: Client, token: Made) -> None:
    ask(token[1], machine(7))

    shown = client.get(ADD, {"attempt": str(Attempt.objects.get().pk)}).context["form"].initial

    uuid = machine(7)["dmi"]["system"]["uuid"]
    assert shown["target_filter"] == {"/dmi/system/uuid": uuid}
    assert shown["netdev_filter"] == {"ID_NET_NAME_MAC": "*a0369f000007"}
    assert shown["authorized_tokens"] == ["rack-7"]
    assert shown["id"] == "machine-sn-0007"


def test_a_machine_that_was_installed_before_brings_its_disks_and_name(
    client: Client, token: Made
) -> None:
    ask(token[1], machine(7))
    report = {
        "filesystem": "zfs (RAID1)",
        "fqdn": "pve7.example.com",
        "disks": [
            {"is-bootdisk": True, "udev-properties": {"DEVNAME": "/dev/sda"}},
            {"is-bootdisk": True, "udev-properties": {"DEVNAME": "/dev/sdb"}},
            {"udev-properties": {"DEVNAME": "/dev/sdc"}},
        ],
    }
    Attempt.objects.update(hook_data=report)
    ask(token[1], machine(7))

    newest = Attempt.objects.order_by("-id").first()
    assert newest is not None
    shown = client.get(ADD, {"attempt": str(newest.pk)}).context["form"].initial

    assert shown["disk_list"] == ["sda", "sdb"]
    assert (shown["filesystem"], shown["zfs_raid"]) == ("zfs", "RAID1")
    assert shown["fqdn"] == "pve7.example.com"


def test_placeholders_of_the_firmware_are_no_filter(client: Client, token: Made) -> None:
    ask(token[1], system_info("Default string", "", macs=("A0:36:9F:00:00:09",)))

    shown = client.get(ADD, {"attempt": str(Attempt.objects.get().pk)}).context["form"].initial

    assert shown["target_filter"] == {"/network_interfaces/*/mac": "A0:36:9F:00:00:09"}


@pytest.mark.parametrize("attempt", ["x", "0192f0c4-0000-7000-8000-000000000000"])
def test_a_machine_that_is_not_there_is_said_to_be_missing(client: Client, attempt: str) -> None:
    text = text_of(client.get(ADD, {"attempt": attempt}, follow=True))

    assert "There is no such attempt" in text


def test_an_exported_file_imports_into_the_form_and_saves_equal(
    client: Client, operator: User, token: Made
) -> None:
    config = make_config(id="rack", authorized_tokens=["rack-7"], **EVERYTHING).config
    wire = configs.wire_of(config)
    with one_event(event="prepared-config.exported", actor=operator):
        answer = client.get(f"{LIST}{config.pk}/answer.toml")
    assert answer["Content-Disposition"] == 'attachment; filename="rack.answer.toml"'
    text = text_of(answer)
    assert password_hash() not in text
    configs.delete_config(name="rack", actor=SYSTEM)

    with nothing_changes():
        opened = client.post(IMPORT, {"text": text})
    initial = opened.context["form"].initial
    assert KEY not in text_of(opened)
    data = posted_initial(opened) | {"root_password": ROOT_PASSWORD}
    client.post(ADD, data)

    assert initial["id"] == "rack"
    assert configs.wire_of(PreparedConfig.objects.get(name="rack")) == wire


def posted_initial(opened: Any) -> dict[str, Any]:
    """The same as `shown_form`, of a page that is open."""

    class Opened:
        def get(self, path: str) -> Any:
            return opened

    return shown_form(Opened(), "")  # type: ignore[arg-type]


def test_the_password_of_an_imported_file_is_taken_over_unseen(client: Client, token: Made) -> None:
    upload = SimpleUploadedFile("answer.toml", ANSWER.encode())

    opened = client.post(IMPORT, {"file": upload})

    assert "imported-password" not in text_of(opened)
    data = posted_initial(opened) | {"id": "imported", "is_default": "on"}
    client.post(ADD, {**data, "authorized_tokens-key": ["rack-7"]})
    assert PreparedConfig.objects.get(name="imported").root_password_hash.startswith("$6$")


ANSWER = """
[global]
keyboard = "de"
country = "at"
fqdn = "pve1.example.com"
mailto = "ops@example.com"
timezone = "Europe/Vienna"
root-password = "imported-password"

[network]
source = "from-dhcp"

[disk-setup]
filesystem = "ext4"
disk-list = ["sda"]
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (ANSWER.replace('"Europe/Vienna"', '"Etc/UTC"'), "line 7, global.timezone:"),
        (ANSWER.replace("mailto", "mailtoo"), "line 6, global.mailtoo:"),
        ("[global", "line 1:"),
        ("", "Paste the text of a file, or choose one."),
    ],
)
def test_a_file_that_is_wrong_is_imported_not_even_in_part(
    client: Client, text: str, sentence: str
) -> None:
    with nothing_changes():
        answer = client.post(IMPORT, {"text": text})

    assert any(sentence in problem for problem in answer.context["problems"])
    assert "sections" not in answer.context  # the form did not open
    assert "Nothing is imported" in text_of(answer)


def test_an_upload_that_is_no_text_is_refused_in_a_sentence(client: Client) -> None:
    upload = SimpleUploadedFile("answer.toml", b"\xff\xfe\x00")

    assert "not UTF-8 text" in text_of(client.post(IMPORT, {"file": upload}))


# --- The list ----------------------------------------------------------------------------------


def test_the_list_is_in_the_order_in_which_configs_are_tried(client: Client, token: Made) -> None:
    make_config(id="fallback", is_default=True, authorized_tokens=["rack-7"])
    make_config(id="later", authorized_tokens=["rack-7"], target_filter={"/dmi/system/name": "Z*"})
    make_config(id="sooner", authorized_tokens=["rack-7"], priority=-1)
    ask(token[1], system_info())

    answer = client.get(LIST)

    assert [row.name for row in answer.context["cl"].result_list] == ["sooner", "later", "fallback"]
    text = text_of(answer)
    assert "<code>Z*</code>" in text and "machines that match no other" in text
    assert "never" in text and "rack-7" in text
    assert text.count('name="_save"') == 1


def test_a_priority_is_changed_in_the_list_by_the_service(
    client: Client, operator: User, token: Made
) -> None:
    config = make_config(id="rack", authorized_tokens=["rack-7"], **EVERYTHING).config
    data = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "_save": "Save"}

    with one_event(event="prepared-config.changed", actor=operator):
        client.post(LIST, data | {"form-0-id": str(config.pk), "form-0-priority": "7"})

    config.refresh_from_db()
    assert config.priority == 7
    assert configs.wire_of(config)["subscription-key"] == KEY


def list_form(client: Client) -> dict[str, str]:
    """The list as a browser sends it where nobody has touched it."""
    formset = client.get(LIST).context["cl"].formset
    data = {"_save": "Save", "form-TOTAL_FORMS": str(len(formset.forms))}
    data["form-INITIAL_FORMS"] = data["form-TOTAL_FORMS"]
    for one in formset.forms:
        for name in ("id", "priority", "generation"):
            data[one.add_prefix(name)] = str(one[name].value())
        data[one["priority"].html_initial_name] = str(one["priority"].value())
    return data


def priorities() -> dict[str, int]:
    return dict(PreparedConfig.objects.values_list("name", "priority"))


@pytest.fixture
def stale(client: Client, token: Made) -> dict[str, str]:
    """A list of `one` and `two`, since whose making somebody else has changed `two` from 5 to 42."""
    make_config(id="one", authorized_tokens=["rack-7"], priority=4)
    make_config(id="two", authorized_tokens=["rack-7"], priority=5)
    data = list_form(client)
    client.post(LIST, data | {"form-1-priority": "42"})
    assert priorities() == {"one": 4, "two": 42}
    return data


def test_the_list_carries_what_each_row_was(client: Client, token: Made) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], priority=4)

    text = text_of(client.get(LIST))

    for name in ("form-0-generation", "initial-form-0-priority"):
        assert f'<input type="hidden" name="{name}"' in text


def test_a_stale_list_writes_only_the_rows_that_the_person_changed(
    client: Client, operator: User, stale: dict[str, str]
) -> None:
    with one_event(event="prepared-config.changed", actor=operator, target_name="one"):
        client.post(LIST, stale | {"form-0-priority": "7"})

    assert priorities() == {"one": 7, "two": 42}


def test_a_row_that_somebody_else_changed_is_told_and_what_was_typed_stays(
    client: Client, stale: dict[str, str]
) -> None:
    PreparedConfig.objects.filter(name="one").update(priority=50)  # and the order is another one
    mine = stale | {"form-0-priority": "8", "form-1-priority": "9"}

    with nothing_changes():
        answer = client.post(LIST, mine)

    told = "Somebody else has changed two since this list was shown: its priority is 42 now"
    assert told in text_of(answer)
    shown = answer.context["cl"]
    pairs = zip(shown.result_list, shown.formset.forms, strict=True)
    rows = {row.name: (form["priority"].value(), form) for row, form in pairs}
    assert {name: value for name, (value, _) in rows.items()} == {"one": "8", "two": "9"}

    again = mine | {"form-1-generation": rows["two"][1]["generation"].value()}
    client.post(LIST, again)

    assert priorities() == {"one": 8, "two": 9}


def test_a_row_that_was_deleted_meanwhile_is_told_and_nothing_is_saved(
    client: Client, stale: dict[str, str]
) -> None:
    PreparedConfig.objects.get(name="two").delete()

    with nothing_changes():
        answer = client.post(LIST, stale | {"form-0-priority": "7"}, follow=True)

    assert "has been deleted meanwhile" in text_of(answer)


@pytest.mark.parametrize("key", ["9" * 30, "9" * 5000, "\u00b2", "x"])
def test_a_row_that_there_cannot_be_is_a_sentence_and_changes_nothing(
    client: Client, token: Made, key: str
) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])
    data = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "_save": "Save"}

    with nothing_changes():
        answer = client.post(LIST, data | {"form-0-id": key, "form-0-priority": "7"}, follow=True)

    assert "a row that there cannot be" in text_of(answer)


@pytest.mark.parametrize("key", ["9" * 30, "9" * 5000, "\u00b2", "x"])
def test_a_config_that_there_cannot_be_is_not_found(client: Client, key: str) -> None:
    assert client.get(f"{LIST}{key}/change/").status_code == 404
    assert client.get(ADD, {"copy": key}).status_code == 404
    assert client.post(f"{CHECK}?config={quote(key)}", form()).status_code == 404


def test_what_nobody_sealed_is_carried_nowhere(client: Client, token: Made) -> None:
    for carried in ("\u00e4", "x", "\u00b2" * 5000):
        live = client.post(CHECK, form(carried=carried))
        tried = client.post(PREVIEW, form(carried=carried, system_info=json.dumps(system_info())))
        assert (live.status_code, tried.status_code) == (200, 200)

    client.post(ADD, form(carried="\u00e4"))

    assert PreparedConfig.objects.get().root_password_hash.startswith("$6$")


def test_the_list_is_searched_by_what_filters_say_but_not_by_secrets(
    client: Client, token: Made
) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], **EVERYTHING)

    def found(text: str) -> int:
        return len(client.get(LIST, {"q": text}).context["cl"].result_list)

    assert [found(text) for text in ("North", "rack-7", "rack", KEY)] == [1, 1, 1, 0]


@pytest.mark.parametrize("path", [LIST, "change", ADD])
def test_pages_run_the_same_number_of_queries_for_1_row_and_for_200(
    client: Client, token: Made, path: str
) -> None:
    first = make_config(id="rack", authorized_tokens=["rack-7"]).config
    target = page_of(first) if path == "change" else path
    ask(token[1], machine(1))
    text_of(client.get(target))  # the first request of a session notes that it is used
    with CaptureQueriesContext(connection) as few:
        text_of(client.get(target))

    rows = [
        PreparedConfig(name=f"more-{number}", document=first.document, root_password_hash="x")
        for number in range(200)
    ]
    for row in PreparedConfig.objects.bulk_create(rows):
        row.authorized_tokens.add(token[0])
    attempt = Attempt.objects.get()
    Attempt.objects.bulk_create(
        Attempt(
            raw=attempt.raw.replace("SN-0001", f"SN-{number}"),
            identity=f"serial {number}",
            product="pve",
            outcome="answered",
            config_name=f"more-{number}",
        )
        for number in range(200)
    )
    with CaptureQueriesContext(connection) as many:
        text_of(client.get(target))

    assert len(many) == len(few) <= 12
