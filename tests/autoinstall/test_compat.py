"""`/api2/json/auto-install`: the manners of Proxmox Datacenter Manager, and its keys to the letter."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from autoinstall.models import AnswerToken, Attempt, PreparedConfig
from tests.answers import last_event, nothing_changes, one_event
from tests.autoinstall.factories import (
    ask,
    config_body,
    machine,
    make_config,
    make_token,
    password_hash,
    system_info,
)

Api = Callable[[User | None], APIClient]
Made = tuple[AnswerToken, str]

BASE = "/api2/json/auto-install"
TOKENS, PREPARED, INSTALLATIONS = f"{BASE}/tokens", f"{BASE}/prepared", f"{BASE}/installations"
DIGEST = re.compile("[0-9a-f]{64}")
OF_NOTHING = hashlib.sha256(b"").hexdigest()
FORM = "application/x-www-form-urlencoded"
# What Datacenter Manager 1.1 knows; its clients refuse any other key.
TOKEN_KEYS = {"id", "created-by", "comment", "enabled", "expire-at"}
CONFIG_KEYS = {
    *("id", "authorized-tokens", "is-default", "target-filter", "country", "fqdn"),
    *("use-dhcp-fqdn", "keyboard", "mailto", "timezone", "reboot-on-error", "reboot-mode"),
    *("root-ssh-keys", "use-dhcp-network", "cidr", "gateway", "dns", "netdev-filter"),
    *("netif-name-pinning-enabled", "filesystem", "disk-mode", "disk-list", "disk-filter"),
    *("disk-filter-match", "post-hook-base-url", "post-hook-cert-fp", "template-counters"),
    "subscription-key",
}
INSTALLATION_KEYS = {"uuid", "received-at", "status", "info", "answer-id", "post-hook-data"}


@pytest.fixture
def client(operator: User, api: Api) -> APIClient:
    return api(operator)


@pytest.fixture
def rack(token: Made) -> PreparedConfig:
    return make_config(id="rack", authorized_tokens=["rack-7"]).config


def data(answer: Any, *attributes: str) -> Any:
    """What a success holds, and that its envelope has these attributes and no other."""
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    assert set(body) == {"data", *attributes}
    return body["data"]


def digest(client: APIClient, path: str) -> str:
    body = client.get(path).json()
    assert DIGEST.fullmatch(body["digest"])
    return str(body["digest"])


def assert_sentence(answer: Any, status: int, *words: str) -> str:
    """One line of plain text: neither JSON nor an envelope."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = str(answer.content.decode())
    assert text.strip()
    assert text.count("\n") == 1 and text.endswith("\n")
    assert not any(sign in text for sign in ("Traceback", "<html", "{"))
    for word in words:
        assert word in text
    return text


def form(client: APIClient, method: str, path: str, **values: Any) -> Any:
    body = urlencode({key.replace("_", "-"): value for key, value in values.items()}, doseq=True)
    return getattr(client, method)(path, body, content_type=FORM)


def post_hook_data() -> dict[str, Any]:
    return {"$schema": {"version": "1.2"}, "fqdn": "pve1.example.com", "machine-id": "0" * 32}


# --- Envelope ----------------------------------------------------------------------------------


def test_the_index_names_what_there_is(client: APIClient) -> None:
    assert data(client.get(BASE)) == [
        {"subdir": "answer"},
        {"subdir": "installations"},
        {"subdir": "prepared"},
        {"subdir": "tokens"},
    ]


def test_whoever_is_logged_in_reads_the_index(stranger: User, api: Api) -> None:
    assert api(stranger).get(BASE).status_code == 200


@pytest.mark.parametrize("path", [TOKENS, PREPARED, INSTALLATIONS])
def test_an_empty_list_has_the_digest_of_nothing(path: str, client: APIClient) -> None:
    answer = client.get(path)

    assert data(answer, "digest") == []
    assert answer.json()["digest"] == OF_NOTHING


@pytest.mark.parametrize(
    "path",
    [
        "/api2/json",
        "/api2/json/",
        "/api2/json/version",
        f"{BASE}/",
        f"{BASE}/nothing",
        f"{TOKENS}/",
        f"{TOKENS}/a/b",
        f"{INSTALLATIONS}/",
        f"{BASE}/installations/x/y",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_an_unknown_path_is_404_as_text(method: str, path: str, client: APIClient) -> None:
    with nothing_changes():
        answer = getattr(client, method)(path)

    assert answer.status_code == 404
    if path != "/api2/json":  # that is not ours to answer
        assert_sentence(answer, 404, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", BASE),
        ("put", TOKENS),
        ("delete", TOKENS),
        ("get", f"{TOKENS}/rack-7"),
        ("post", f"{TOKENS}/rack-7"),
        ("patch", f"{TOKENS}/rack-7"),
        ("put", PREPARED),
        ("delete", PREPARED),
        ("post", f"{PREPARED}/rack"),
        ("patch", f"{PREPARED}/rack"),
        ("post", INSTALLATIONS),
        ("put", INSTALLATIONS),
        ("get", f"{INSTALLATIONS}/{uuid.UUID(int=0)}"),
        ("put", f"{INSTALLATIONS}/{uuid.UUID(int=0)}"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_404_as_text(
    method: str, path: str, client: APIClient, rack: PreparedConfig
) -> None:
    with nothing_changes(AuditEvent):
        assert_sentence(getattr(client, method)(path, {}, format="json"), 404, path)


@pytest.mark.parametrize("path", [TOKENS, PREPARED])
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"id": "a\\u0000bc"}', "application/json", 400),
        (b"<id/>", "text/xml", 400),
        (b"id=a", "text/plain", 400),
    ],
)
def test_a_body_that_is_none_is_one_sentence(
    path: str, body: bytes, kind: str, status: int, client: APIClient
) -> None:
    with nothing_changes():
        assert_sentence(client.post(path, body, content_type=kind), status)


def test_without_a_session_it_is_401_as_text(rack: PreparedConfig) -> None:
    answer = Client().get(TOKENS)

    assert_sentence(answer, 401)
    assert answer.headers["WWW-Authenticate"]
    last_event(event="authentication.failed", outcome="denied", target_name=f"GET {TOKENS}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", TOKENS),
        ("put", f"{TOKENS}/rack-7"),
        ("delete", f"{TOKENS}/rack-7"),
        ("post", PREPARED),
        ("put", f"{PREPARED}/rack"),
        ("delete", f"{PREPARED}/rack"),
        ("delete", f"{INSTALLATIONS}/{uuid.UUID(int=0)}"),
    ],
)
def test_a_viewer_changes_nothing(
    method: str, path: str, viewer: User, api: Api, rack: PreparedConfig
) -> None:
    client = api(viewer)

    with nothing_changes(AuditEvent):
        assert_sentence(getattr(client, method)(path, {}, format="json"), 403)

    last_event(event="access.denied", outcome="denied", actor=viewer)


@pytest.mark.parametrize("path", [TOKENS, PREPARED, f"{PREPARED}/rack", INSTALLATIONS])
def test_a_viewer_reads_and_a_stranger_does_not(
    path: str, viewer: User, stranger: User, api: Api, rack: PreparedConfig
) -> None:
    assert api(viewer).get(path).status_code == 200
    assert_sentence(api(stranger).get(path), 403)


# --- Tokens ------------------------------------------------------------------------------------


def test_a_token_is_created(client: APIClient, operator: User) -> None:
    body = {"id": "rack-7", "comment": "Row B", "enabled": True, "expire-at": 0}

    with one_event(event="answer-token.created", actor=operator, target_name="rack-7"):
        made = data(client.post(TOKENS, body, format="json"))

    assert set(made) == {"token", "secret"}
    assert made["token"] == {**body, "created-by": "oscar@provisioning"}
    assert str(uuid.UUID(made["secret"], version=4)) == made["secret"]
    make_config(authorized_tokens=["rack-7"])
    assert ask(f"rack-7:{made['secret']}").status_code == 200


def test_what_is_unset_of_a_token_stays_unset(client: APIClient) -> None:
    made = data(client.post(TOKENS, {"id": "rack-7"}, format="json"))

    assert made["token"] == {"id": "rack-7", "created-by": "oscar@provisioning"}


def test_a_listed_token_has_the_keys_of_datacenter_manager_and_no_secret(
    client: APIClient,
) -> None:
    _, credential = make_token(
        "rack-7",
        comment="x",
        enabled=True,
        expire_at=0,
        source_cidrs=["10.0.0.0/8"],
        max_uses=3,
        allow_in_path=True,
    )

    answer = client.get(TOKENS)

    (found,) = data(answer, "digest")
    assert set(found) == TOKEN_KEYS
    assert credential.partition(":")[2] not in answer.content.decode()


def test_a_created_by_is_a_user_and_a_realm(client: APIClient, token: Made) -> None:
    (found,) = data(client.get(TOKENS), "digest")

    assert found["created-by"] == "tester@provisioning"


def test_an_id_that_is_taken_is_refused(client: APIClient, token: Made) -> None:
    with nothing_changes():
        assert_sentence(client.post(TOKENS, {"id": "rack-7"}, format="json"), 409, "rack-7")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": "a b c"}, "id"),
        ({"id": None}, "id"),
        ({"id": "abc", "comment": None}, "comment"),
        ({"id": "abc", "enabled": None}, "enabled"),
        ({"id": "abc", "enabled": 1}, "enabled"),
        ({"id": "abc", "expire-at": "0"}, "expire-at"),
        ({"id": "abc", "expire-at": -1}, "expire-at"),
        ({"id": "abc", "colour": "blue"}, "colour"),
        ({"id": "abc", "created-by": "x@y"}, "created-by"),
        ({"id": "abc", "digest": OF_NOTHING}, "digest"),
    ],
)
def test_a_token_that_breaks_a_rule_is_400_and_the_sentence_names_the_field(
    body: dict[str, Any], field: str, client: APIClient
) -> None:
    with nothing_changes():
        assert_sentence(client.post(TOKENS, body, format="json"), 400, field)


def test_a_token_is_changed(client: APIClient, operator: User) -> None:
    make_token("rack-7", comment="old", expire_at=5)
    body = {"comment": "new", "enabled": False, "delete": ["expire-at"]}

    with one_event(event="answer-token.changed", actor=operator, target_name="rack-7"):
        changed = data(client.put(f"{TOKENS}/rack-7", body, format="json"))

    assert changed == {
        "token": {
            "id": "rack-7",
            "created-by": "tester@provisioning",
            "comment": "new",
            "enabled": False,
        },
        "secret": None,
    }
    row = AnswerToken.objects.get()
    assert (row.comment, row.enabled, row.expire_at) == ("new", False, None)


def test_a_change_keeps_what_it_does_not_name(client: APIClient) -> None:
    make_token("rack-7", comment="old", expire_at=5, source_cidrs=["10.0.0.0/8"])

    client.put(f"{TOKENS}/rack-7", {"enabled": True}, format="json")

    row = AnswerToken.objects.get()
    assert (row.comment, row.expire_at, row.source_cidrs) == ("old", 5, ["10.0.0.0/8"])


def test_a_rotated_secret_is_shown_once(
    client: APIClient, rack: PreparedConfig, token: Made
) -> None:
    with one_event(event="answer-token.rotated", target_name="rack-7"):
        made = data(client.put(f"{TOKENS}/rack-7", {"regenerate-secret": True}, format="json"))

    assert ask(token[1]).status_code == 401
    assert ask(f"rack-7:{made['secret']}").status_code == 200


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"delete": ["enabled"]}, "delete"),
        ({"delete": "comment"}, "delete"),
        ({"comment": None}, "comment"),
        ({"digest": None}, "digest"),
        ({"colour": "blue"}, "colour"),
        ({"created-by": "x@y"}, "created-by"),
    ],
)
def test_a_change_that_breaks_a_rule_is_400(
    body: dict[str, Any], word: str, client: APIClient, token: Made
) -> None:
    with nothing_changes():
        assert_sentence(client.put(f"{TOKENS}/rack-7", body, format="json"), 400, word)


def test_the_id_in_the_path_wins_over_one_in_the_body(client: APIClient, token: Made) -> None:
    changed = data(client.put(f"{TOKENS}/rack-7", {"id": "x", "comment": "y"}, format="json"))

    assert changed["token"]["id"] == "rack-7"


def test_a_token_is_deleted(client: APIClient, operator: User, token: Made) -> None:
    with one_event(event="answer-token.deleted", actor=operator, target_name="rack-7"):
        assert data(client.delete(f"{TOKENS}/rack-7")) is None

    assert not AnswerToken.objects.exists()


def test_a_token_in_use_is_409_and_names_the_configs(
    client: APIClient, rack: PreparedConfig
) -> None:
    with nothing_changes():
        assert_sentence(client.delete(f"{TOKENS}/rack-7"), 409, "rack-7", "rack")


@pytest.mark.parametrize("method", ["put", "delete"])
def test_a_token_that_is_not_there_is_404(method: str, client: APIClient) -> None:
    with nothing_changes():
        answer = getattr(client, method)(f"{TOKENS}/nobody", {}, format="json")

    assert_sentence(answer, 404, "nobody")


# --- Prepared configs --------------------------------------------------------------------------


def test_a_config_is_created(client: APIClient, operator: User, token: Made) -> None:
    body = config_body(id="rack", authorized_tokens=["rack-7"])

    with one_event(event="prepared-config.created", actor=operator, target_name="rack"):
        made = data(client.post(PREPARED, body, format="json"))

    assert set(made) == {"config", "token"}
    assert made["token"] is None
    assert "root-password-hashed" not in made["config"]
    given = {key: value for key, value in body.items() if key != "root-password-hashed"}
    assert {key: made["config"][key] for key in given} == given
    assert PreparedConfig.objects.get().name == "rack"


def test_a_config_without_tokens_gets_one(client: APIClient) -> None:
    made = data(client.post(PREPARED, config_body(id="rack"), format="json"))

    assert set(made["token"]) == {"token", "secret"}
    assert made["token"]["token"]["comment"] == "Automatically generated."
    assert made["token"]["token"]["enabled"] is True
    name = made["token"]["token"]["id"]
    assert re.fullmatch("rack-[0-9a-f]{8}", name)
    assert made["config"]["authorized-tokens"] == [name]
    assert ask(f"{name}:{made['token']['secret']}").status_code == 200


def test_warnings_stand_beside_the_data(client: APIClient, rack: PreparedConfig) -> None:
    body = config_body(authorized_tokens=["rack-7"])

    answer = client.post(PREPARED, body, format="json")

    assert set(data(answer, "warnings")) == {"config", "token"}
    assert "rack" in answer.json()["warnings"][0]


FULL: dict[str, Any] = {
    "id": "full",
    "is-default": True,
    "root-ssh-keys": ["ssh-ed25519 AAAA a"],
    "use-dhcp-network": False,
    "cidr": "10.0.0.{{ nr }}/24",
    "gateway": "10.0.0.1",
    "dns": "10.0.0.1",
    "netdev-filter": {"ID_NET_NAME": "eno*"},
    "netif-name-pinning-enabled": True,
    "disk-filter": {"ID_MODEL": "x"},
    "disk-filter-match": "any",
    "post-hook-base-url": "https://p.example.com",
    "post-hook-cert-fp": ":".join(["0f"] * 32),
    "template-counters": {"nr": 5},
    "subscription-key": "pve1c-0123456789",
}


def test_a_config_has_the_keys_of_datacenter_manager_and_no_other(client: APIClient) -> None:
    made = data(client.post(PREPARED, config_body(**FULL), format="json"))

    assert set(made["config"]) == CONFIG_KEYS
    assert data(client.get(f"{PREPARED}/full")) == made["config"]
    assert data(client.get(PREPARED), "digest") == [made["config"]]


def test_the_hash_is_never_answered(client: APIClient, rack: PreparedConfig) -> None:
    said = [client.get(PREPARED), client.get(f"{PREPARED}/rack")]
    said += [client.put(f"{PREPARED}/rack", {"root-password": "long-enough"}, format="json")]

    text = b"".join(answer.content for answer in said).decode()
    rack.refresh_from_db()
    for stored in (password_hash(), rack.root_password_hash):
        assert stored not in text
    assert "root-password" not in text


def test_one_config_has_no_digest(client: APIClient, rack: PreparedConfig) -> None:
    data(client.get(f"{PREPARED}/rack"))  # asserts that the envelope has no other attribute


@pytest.mark.parametrize(
    ("wire", "status", "word"),
    [
        ({"id": "rack"}, 409, "rack"),
        ({"is-default": True}, 409, "standing"),
        ({"target-filter": {}}, 400, "target-filter"),
        ({"root-password-hashed": None}, 400, "root-password"),
        ({"netdev-filter": {"id_x": "y"}}, 400, "id_x"),
        ({"template-counters": {"a b": 1}}, 400, "a b"),
        ({"template-counters": {"ab": -1}}, 400, "template-counters"),
        ({"authorized-tokens": ["nobody"]}, 400, "nobody"),
        ({"colour": "blue"}, 400, "colour"),
        ({"filesystem": {"filesystem": "zfs", "raid": "RAID1", "maxroot": 5}}, 400, "maxroot"),
    ],
)
def test_a_config_that_breaks_a_rule_is_refused(
    wire: dict[str, Any], status: int, word: str, client: APIClient, rack: PreparedConfig
) -> None:
    make_config(id="standing", is_default=True)

    with nothing_changes():
        answer = client.post(PREPARED, config_body(**wire), format="json")

    assert_sentence(answer, status, word)


@pytest.mark.parametrize("field", ["is-default", "fqdn", "cidr", "disk-list", "template-counters"])
def test_null_is_not_the_same_as_leaving_out(
    field: str, client: APIClient, rack: PreparedConfig
) -> None:
    with nothing_changes():
        created = client.post(PREPARED, {**config_body(), field: None}, format="json")
        changed = client.put(f"{PREPARED}/rack", {field: None}, format="json")

    assert_sentence(created, 400, field)
    assert_sentence(changed, 400, field)


def test_a_config_is_changed(client: APIClient, operator: User, token: Made) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], subscription_key="pve1c-0123456789")
    body = {"country": "de", "delete": ["subscription-key"]}

    with one_event(event="prepared-config.changed", actor=operator, target_name="rack"):
        changed = data(client.put(f"{PREPARED}/rack", body, format="json"))

    assert changed["token"] is None
    assert changed["config"]["country"] == "de"
    assert "subscription-key" not in changed["config"]
    assert PreparedConfig.objects.get().document["country"] == "de"


def test_maps_are_replaced_whole_and_set_wins_over_delete(client: APIClient, token: Made) -> None:
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        target_filter={"/dmi/system/name": "a", "/iso": "b"},
    )
    body = {"target-filter": {"/dmi/system/name": "c"}, "delete": ["target-filter"]}

    changed = data(client.put(f"{PREPARED}/rack", body, format="json"))

    assert changed["config"]["target-filter"] == {"/dmi/system/name": "c"}


@pytest.mark.parametrize(
    "field",
    [
        *("netdev-filter", "disk-filter", "root-ssh-keys", "post-hook-base-url"),
        *("post-hook-cert-fp", "template-counters", "subscription-key"),
        # which Datacenter Manager forgot
        *("cidr", "gateway", "dns", "disk-filter-match"),
    ],
)
def test_every_field_that_may_be_missing_can_be_deleted(field: str, client: APIClient) -> None:
    make_config(**{**FULL, "use-dhcp-network": True})

    changed = data(client.put(f"{PREPARED}/full", {"delete": [field]}, format="json"))

    assert field not in changed["config"]


def test_an_empty_list_of_tokens_makes_a_new_one(client: APIClient, rack: PreparedConfig) -> None:
    changed = data(client.put(f"{PREPARED}/rack", {"authorized-tokens": []}, format="json"))

    assert changed["config"]["authorized-tokens"] == [changed["token"]["token"]["id"]]


def test_the_id_in_the_path_wins(client: APIClient, rack: PreparedConfig) -> None:
    data(client.put(f"{PREPARED}/rack", {"id": "other", "country": "de"}, format="json"))

    assert PreparedConfig.objects.get().name == "rack"


def test_a_config_is_deleted_and_its_token_stays(
    client: APIClient, operator: User, rack: PreparedConfig
) -> None:
    with one_event(event="prepared-config.deleted", actor=operator, target_name="rack"):
        assert data(client.delete(f"{PREPARED}/rack")) is None

    assert not PreparedConfig.objects.exists()
    assert AnswerToken.objects.filter(name="rack-7").exists()


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_a_config_that_is_not_there_is_404(method: str, client: APIClient) -> None:
    with nothing_changes():
        answer = getattr(client, method)(f"{PREPARED}/nobody", {}, format="json")

    assert_sentence(answer, 404, "nobody")


@pytest.mark.parametrize("name", ["a/b (copy)", "100% sure?", "日本語", "x:y"])
def test_an_id_may_be_any_text(name: str, client: APIClient, token: Made) -> None:
    path = f"{PREPARED}/{quote(name, safe='')}"
    data(client.post(PREPARED, config_body(id=name, authorized_tokens=["rack-7"]), format="json"))

    assert data(client.get(path))["id"] == name
    assert data(client.put(path, {"country": "de"}, format="json"))["config"]["country"] == "de"
    assert data(client.delete(path)) is None


@pytest.mark.parametrize("name", ["a%00b", "%ff", "a%0Ab", "x" * 3000])
@pytest.mark.parametrize("method", ["put", "delete"])
@pytest.mark.parametrize("path", [TOKENS, PREPARED])
def test_a_name_that_no_row_can_have_is_404(
    path: str, method: str, name: str, client: APIClient
) -> None:
    with nothing_changes():
        answer = getattr(client, method)(f"{path}/{name}", {}, format="json")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/plain")


# --- Digests -----------------------------------------------------------------------------------


def test_every_change_of_a_token_changes_the_digest_of_tokens(client: APIClient) -> None:
    seen = [digest(client, TOKENS)]
    acts: tuple[Callable[[], Any], ...] = (
        lambda: client.post(TOKENS, {"id": "one"}, format="json"),
        lambda: client.post(TOKENS, {"id": "two"}, format="json"),
        lambda: client.put(f"{TOKENS}/one", {"comment": "x"}, format="json"),
        lambda: client.put(f"{TOKENS}/one", {"regenerate-secret": True}, format="json"),
        lambda: client.put(f"{TOKENS}/one", {"delete": ["comment"]}, format="json"),
        lambda: client.delete(f"{TOKENS}/one"),
    )
    for act in acts:
        assert act().status_code == 200
        seen.append(digest(client, TOKENS))

    assert len(set(seen)) == len(seen)
    client.delete(f"{TOKENS}/two")
    assert digest(client, TOKENS) == OF_NOTHING


def test_every_change_of_a_config_changes_the_digest_of_configs(
    client: APIClient, token: Made
) -> None:
    body = config_body(id="rack", authorized_tokens=["rack-7"], template_counters={"n": 0})
    seen = [digest(client, PREPARED)]
    acts: tuple[Callable[[], Any], ...] = (
        lambda: client.post(PREPARED, body, format="json"),
        lambda: client.put(f"{PREPARED}/rack", {"country": "de"}, format="json"),
        lambda: client.put(f"{PREPARED}/rack", {"root-password": "long-enough"}, format="json"),
        lambda: client.put(f"{PREPARED}/rack", {"template-counters": {"n": 9}}, format="json"),
        lambda: client.put(f"{PREPARED}/rack", {"authorized-tokens": []}, format="json"),
        lambda: client.delete(f"{PREPARED}/rack"),
    )
    for act in acts:
        assert act().status_code == 200
        seen.append(digest(client, PREPARED))

    assert len(set(seen[:-1])) == len(seen) - 1
    assert seen[-1] == OF_NOTHING


def test_a_served_answer_changes_the_digest_of_configs_with_a_counter(
    client: APIClient, token: Made
) -> None:
    make_config(authorized_tokens=["rack-7"], template_counters={"n": 0})
    before = digest(client, PREPARED)

    assert ask(token[1]).status_code == 200

    assert digest(client, PREPARED) != before


def test_what_is_only_read_or_refused_changes_no_digest(
    client: APIClient, rack: PreparedConfig
) -> None:
    before = digest(client, TOKENS), digest(client, PREPARED)

    client.get(f"{PREPARED}/rack")
    client.put(f"{PREPARED}/rack", {"country": "xx"}, format="json")
    client.delete(f"{TOKENS}/rack-7")

    assert (digest(client, TOKENS), digest(client, PREPARED)) == before


def test_every_installation_and_its_report_change_the_digest(
    client: APIClient, token: Made
) -> None:
    make_config(authorized_tokens=["rack-7"], post_hook_base_url="https://p.example.com")
    seen = [digest(client, INSTALLATIONS)]
    hook = ask(token[1]).json()["post-installation-webhook"]
    seen.append(digest(client, INSTALLATIONS))
    report = {**post_hook_data(), "token": hook["auth-token"]}
    path = hook["url"].removeprefix("https://p.example.com")
    assert Client().post(path, report, content_type="application/json").status_code == 200
    seen.append(digest(client, INSTALLATIONS))
    client.delete(f"{INSTALLATIONS}/{Attempt.objects.get().pk}")

    assert len(set(seen)) == 3
    assert seen[0] == digest(client, INSTALLATIONS) == OF_NOTHING


@pytest.mark.parametrize(
    ("path", "listed"), [(f"{TOKENS}/rack-7", TOKENS), (f"{PREPARED}/rack", PREPARED)]
)
def test_a_change_with_the_right_digest_is_made(
    path: str, listed: str, client: APIClient, rack: PreparedConfig
) -> None:
    body: dict[str, Any] = {"digest": digest(client, listed)}
    body |= {"comment": "x"} if listed == TOKENS else {"country": "de"}

    data(client.put(path, body, format="json"))


@pytest.mark.parametrize("path", [f"{TOKENS}/rack-7", f"{PREPARED}/rack"])
def test_a_change_with_another_digest_is_400(
    path: str, client: APIClient, rack: PreparedConfig
) -> None:
    with nothing_changes():
        answer = client.put(path, {"digest": "0" * 64}, format="json")

    assert_sentence(answer, 400, "changed")


@pytest.mark.parametrize("wrong", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, 5, None, ["x"]])
@pytest.mark.parametrize("path", [f"{TOKENS}/rack-7", f"{PREPARED}/rack"])
def test_a_digest_that_is_none_is_400(
    path: str, wrong: Any, client: APIClient, rack: PreparedConfig
) -> None:
    with nothing_changes():
        assert_sentence(client.put(path, {"digest": wrong}, format="json"), 400, "digest")


def test_of_two_who_have_read_the_same_list_the_second_is_refused(
    client: APIClient, rack: PreparedConfig
) -> None:
    seen = digest(client, PREPARED)
    data(client.put(f"{PREPARED}/rack", {"country": "de", "digest": seen}, format="json"))

    with nothing_changes():
        answer = client.put(f"{PREPARED}/rack", {"country": "fr", "digest": seen}, format="json")

    assert_sentence(answer, 400)


def test_a_change_elsewhere_in_the_list_is_a_change_of_the_list(
    client: APIClient, rack: PreparedConfig
) -> None:
    seen = digest(client, PREPARED)
    make_config(id="other")

    answer = client.put(f"{PREPARED}/rack", {"country": "fr", "digest": seen}, format="json")

    assert_sentence(answer, 400)


# --- Forms -------------------------------------------------------------------------------------


def test_a_token_is_created_by_a_form(client: APIClient) -> None:
    made = data(
        form(client, "post", TOKENS, id="rack-7", comment="Row B", enabled="1", expire_at="0")
    )

    assert made["token"] == {
        "id": "rack-7",
        "created-by": "oscar@provisioning",
        "comment": "Row B",
        "enabled": True,
        "expire-at": 0,
    }


def test_what_declares_no_type_is_a_form(client: APIClient) -> None:
    answer = client.generic("POST", TOKENS, "id=rack-7&comment=Row+B", content_type="")

    assert data(answer)["token"]["comment"] == "Row B"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("1", "on", "yes", "true", "ON", "True")),
        *((text, False) for text in ("0", "off", "no", "false", "OFF", "No")),
    ],
)
def test_a_form_says_true_and_false_in_many_ways(text: str, value: bool, client: APIClient) -> None:
    made = data(form(client, "post", TOKENS, id="rack-7", enabled=text))

    assert made["token"]["enabled"] is value


@pytest.mark.parametrize(
    ("field", "text"), [("enabled", "maybe"), ("enabled", ""), ("expire-at", "soon")]
)
def test_a_form_with_a_wrong_value_is_400(field: str, text: str, client: APIClient) -> None:
    with nothing_changes():
        answer = form(client, "post", TOKENS, **{"id": "rack-7", field: text})

    assert_sentence(answer, 400, field)


def test_a_list_in_a_form_is_a_repeated_key(client: APIClient) -> None:
    make_token("rack-7", comment="x", expire_at=5)

    changed = data(form(client, "put", f"{TOKENS}/rack-7", delete=["comment", "expire-at"]))

    assert set(changed["token"]) == {"id", "created-by"}


def test_a_rotation_by_a_form(client: APIClient, token: Made) -> None:
    changed = data(form(client, "put", f"{TOKENS}/rack-7", regenerate_secret="yes"))

    assert changed["secret"]


def test_a_digest_in_a_form_is_checked(client: APIClient, token: Made) -> None:
    with nothing_changes():
        assert_sentence(form(client, "put", f"{TOKENS}/rack-7", digest="0" * 64), 400)


def test_a_config_is_changed_by_a_form(client: APIClient, rack: PreparedConfig) -> None:
    changed = data(
        form(
            client,
            "put",
            f"{PREPARED}/rack",
            disk_list=["sdc", "sdd"],
            reboot_on_error="on",
            delete=["root-ssh-keys"],
        )
    )

    assert changed["config"]["disk-list"] == ["sdc", "sdd"]
    assert changed["config"]["reboot-on-error"] is True


def test_a_body_without_a_type_is_empty(client: APIClient, token: Made) -> None:
    answer = client.generic("PUT", f"{TOKENS}/rack-7")

    assert data(answer)["secret"] is None


# --- Installations -----------------------------------------------------------------------------


def test_an_installation_has_the_keys_of_datacenter_manager(client: APIClient, token: Made) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], post_hook_base_url="https://p.example.com")
    info = machine(1)
    hook = ask(token[1], info).json()["post-installation-webhook"]
    report = {**post_hook_data(), "token": hook["auth-token"]}
    path = hook["url"].removeprefix("https://p.example.com")
    Client().post(path, report, content_type="application/json")

    (found,) = data(client.get(INSTALLATIONS), "digest")

    row = Attempt.objects.get()
    assert set(found) == INSTALLATION_KEYS
    assert found["uuid"] == str(row.pk)
    assert found["received-at"] == int(row.received_at.timestamp())
    assert found["status"] == "finished"
    assert found["answer-id"] == "rack"
    del info["$schema"]
    assert found["info"] == info
    assert found["post-hook-data"] == post_hook_data()
    assert hook["auth-token"] not in client.get(INSTALLATIONS).content.decode()


@pytest.mark.parametrize(
    ("hook", "name", "status", "keys"),
    [
        (None, "known", "answer-sent", {"answer-id"}),
        ("https://p.example.com", "known", "in-progress", {"answer-id"}),
        (None, "unknown", "no-answer-found", set()),
    ],
)
def test_an_installation_says_how_far_it_has_come(
    hook: str | None, name: str, status: str, keys: set[str], client: APIClient, token: Made
) -> None:
    make_config(
        authorized_tokens=["rack-7"],
        target_filter={"/dmi/system/name": "known"},
        post_hook_base_url=hook,
    )
    ask(token[1], system_info(name=name))

    (found,) = data(client.get(INSTALLATIONS), "digest")

    assert found["status"] == status
    assert set(found) == {"uuid", "received-at", "status", "info"} | keys


def test_the_word_for_an_overdue_installation_stays_in_progress(
    client: APIClient, token: Made
) -> None:
    make_config(authorized_tokens=["rack-7"], post_hook_base_url="https://p.example.com")
    ask(token[1])
    row = Attempt.objects.get()
    Attempt.objects.update(deadline_at=row.received_at)

    (found,) = data(client.get(INSTALLATIONS), "digest")

    assert found["status"] == "in-progress"


def test_only_what_datacenter_manager_would_know_is_listed(
    client: APIClient, rack: PreparedConfig, token: Made
) -> None:
    ask("rack-7:wrong")
    ask(token[1], b"{}")
    ask(token[1])

    assert Attempt.objects.count() == 3
    assert len(data(client.get(INSTALLATIONS), "digest")) == 1


def test_installations_are_sorted_by_uuid(
    client: APIClient, rack: PreparedConfig, token: Made
) -> None:
    for number in range(5):
        ask(token[1], machine(number))

    found = [one["uuid"] for one in data(client.get(INSTALLATIONS), "digest")]

    assert found == sorted(found)
    assert len(found) == 5


def test_an_installation_is_deleted(
    client: APIClient, operator: User, rack: PreparedConfig, token: Made
) -> None:
    ask(token[1])
    row = Attempt.objects.get()

    with one_event(event="installation.deleted", actor=operator):
        assert data(client.delete(f"{INSTALLATIONS}/{row.pk}")) is None

    assert not Attempt.objects.exists()


@pytest.mark.parametrize("name", [str(uuid.UUID(int=0)), "nonsense", "0" * 32])
def test_an_installation_that_is_not_there_is_404(name: str, client: APIClient) -> None:
    with nothing_changes():
        assert_sentence(client.delete(f"{INSTALLATIONS}/{name}"), 404)


def test_an_attempt_that_is_no_installation_cannot_be_deleted_as_one(
    client: APIClient, rack: PreparedConfig
) -> None:
    ask("rack-7:wrong")

    with nothing_changes():
        answer = client.delete(f"{INSTALLATIONS}/{Attempt.objects.get().pk}")

    assert_sentence(answer, 404)


def test_the_report_of_a_machine_is_answered_in_the_envelope(token: Made) -> None:
    make_config(authorized_tokens=["rack-7"], post_hook_base_url="https://p.example.com")
    hook = ask(token[1]).json()["post-installation-webhook"]
    assert hook["url"].startswith(f"https://p.example.com{INSTALLATIONS}/")
    report = {**post_hook_data(), "token": hook["auth-token"]}

    answer = Client().post(
        hook["url"].removeprefix("https://p.example.com"),
        json.dumps(report),
        content_type="application/json",
    )

    assert data(answer) is None
