"""`/v1/auto-install/tokens`: what installers show to get their answer."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from autoinstall.models import AnswerToken, Attempt, AuthorizedToken, PreparedConfig
from tests.answers import assert_error, last_event, nothing_changes, one_event
from tests.autoinstall.factories import ask, config_body, make_config, make_token
from tests.concurrently import at_once
from tests.factories import bind, make_user

Api = Callable[[User | None], APIClient]
Made = tuple[AnswerToken, str]

TOKENS = "/v1/auto-install/tokens"
RACK = f"{TOKENS}/rack-7"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
RACES = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def client(operator: User, api: Api) -> APIClient:
    return api(operator)


def post(client: APIClient, **wire: Any) -> Any:
    body = {key.replace("_", "-"): value for key, value in wire.items()}
    return client.post(TOKENS, body, format="json")


def patch(client: APIClient, path: str = RACK, /, **wire: Any) -> Any:
    body = {key.replace("_", "-"): value for key, value in wire.items()}
    return client.patch(path, body, format="json")


# --- Create ------------------------------------------------------------------------------------


def test_a_token_is_created(client: APIClient, operator: User) -> None:
    with one_event(event="answer-token.created", actor=operator, target_name="rack-7"):
        answer = post(client, id="rack-7", comment="Row B")

    assert answer.status_code == 201
    assert answer.headers["Location"] == RACK
    row = AnswerToken.objects.get()
    assert (row.name, row.comment, row.created_by) == ("rack-7", "Row B", "oscar")
    assert answer.json()["token"] == {
        "id": "rack-7",
        "created-by": "oscar",
        "comment": "Row B",
        "active": True,
        "source-cidrs": [],
        "uses": 0,
        "allow-in-path": False,
        "allow-without-secret": False,
        "created-at": answer.json()["token"]["created-at"],
    }


def test_the_secret_is_a_random_uuid_and_the_credential_is_ready_to_paste(
    client: APIClient,
) -> None:
    body = post(client, id="rack-7").json()

    assert set(body) == {"token", "secret", "credential"}
    assert UUID4.fullmatch(body["secret"])
    assert body["credential"] == f"rack-7:{body['secret']}"


def test_two_tokens_have_two_secrets(client: APIClient) -> None:
    assert post(client, id="one").json()["secret"] != post(client, id="two").json()["secret"]


def test_the_credential_gets_an_answer(client: APIClient) -> None:
    credential = post(client, id="rack-7").json()["credential"]
    make_config(authorized_tokens=["rack-7"])

    assert ask(credential).status_code == 200


def test_a_secret_that_images_hold_already_can_be_given(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    given = "5c1f0f3e-58a1-4c55-9d51-1f6f0a3c0001"
    make_token("other")

    with caplog.at_level(logging.DEBUG), one_event(event="answer-token.created"):
        body = post(client, id="rack-7", secret=given).json()

    assert (body["secret"], body["credential"]) == (given, f"rack-7:{given}")
    make_config(authorized_tokens=["rack-7"])
    assert ask(f"rack-7:{given}").status_code == 200
    assert ask(f"other:{given}").status_code == 401
    kept = str([list(AnswerToken.objects.values()), list(AuditEvent.objects.values())])
    assert given not in kept + caplog.text


@pytest.mark.parametrize("given", ["x" * 32, "x" * 128, "a:b/c?d#" * 5, "!~" * 20])
def test_a_given_secret_may_hold_any_signs(given: str, client: APIClient) -> None:
    assert post(client, id="rack-7", secret=given).status_code == 201
    make_config(authorized_tokens=["rack-7"])

    assert ask(f"rack-7:{given}").status_code == 200


@pytest.mark.parametrize(
    "given", ["", "x" * 31, "y" * 129, "with blanks " * 4, "ünsichtbar" * 5, "a\nb" * 12]
)
def test_a_given_secret_that_is_none_is_400_and_not_shown(
    given: str, client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    with nothing_changes(), caplog.at_level(logging.DEBUG):
        answer = post(client, id="rack-7", secret=given)

    assert_error(answer, 400, field="secret")
    if given:
        assert given not in answer.json()["message"] + caplog.text


def test_of_the_secret_only_a_keyed_digest_is_stored(client: APIClient, settings: Any) -> None:
    secret = post(client, id="rack-7").json()["secret"]

    row = AnswerToken.objects.values().get()
    assert re.fullmatch("[0-9a-f]{64}", row["secret_digest"])
    assert secret not in str(row)
    assert secret.replace("-", "") not in str(row)
    settings.MACHINE_SECRETS_KEY = "another key, so that the same secret has another digest"
    assert ask(f"rack-7:{secret}").status_code == 401


def test_the_secret_is_never_shown_again_and_in_no_log_or_audit_event(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        secret = post(client, id="rack-7").json()["secret"]
        changed = patch(client, comment="x").content
        shown = client.get(RACK).content + client.get(TOKENS).content
        ask(f"rack-7:{secret}")

    assert secret not in (shown + changed).decode()
    assert secret not in caplog.text
    assert secret not in json.dumps(list(AuditEvent.objects.values("data", "target_name")))
    assert secret not in str(list(Attempt.objects.values()))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("comment", ""),
        ("comment", "x" * 128),
        ("comment", "Ümläut 机架"),
        ("enabled", True),
        ("enabled", False),
        ("expire-at", 0),
        ("expire-at", 1),
        ("expire-at", 2**53),
        ("source-cidrs", []),
        ("source-cidrs", ["10.7.0.0/24", "2001:db8::/64", "192.0.2.1"]),
        ("max-uses", 1),
        ("max-uses", 2**31 - 1),
        ("allow-in-path", True),
    ],
)
def test_a_field_is_stored_and_answered_as_given(
    field: str, value: object, client: APIClient
) -> None:
    answer = post(client, id="rack-7", **{field: value})

    assert answer.status_code == 201
    assert answer.json()["token"][field] == value
    assert client.get(RACK).json()[field] == value
    assert AnswerToken.objects.values_list(field.replace("-", "_"), flat=True).get() == value


@pytest.mark.parametrize("field", ["comment", "enabled", "expire-at", "max-uses"])
def test_a_field_that_is_unset_is_not_answered(field: str, client: APIClient) -> None:
    post(client, id="rack-7")

    assert field not in client.get(RACK).json()
    assert AnswerToken.objects.values_list(field.replace("-", "_"), flat=True).get() is None


@pytest.mark.parametrize("name", ["abc", "_abc", "A.b-c_9", "0" * 64])
def test_an_id_may_hold_letters_digits_and_some_signs(name: str, client: APIClient) -> None:
    assert post(client, id=name).status_code == 201
    assert client.get(f"{TOKENS}/{name}").json()["id"] == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "ab"),
        ("id", "x" * 65),
        ("id", "-abc"),
        ("id", ".abc"),
        ("id", "a b c"),
        ("id", "a:bc"),
        ("id", "a/bc"),
        ("id", "äbc"),
        ("id", "abc\n"),
        ("id", ""),
        ("id", 123),
        ("comment", "x" * 129),
        ("comment", "a\nb"),
        ("comment", "a\x7fb"),
        ("comment", 5),
        ("enabled", "yes"),
        ("enabled", 1),
        ("expire-at", -1),
        ("expire-at", 1.5),
        ("expire-at", "0"),
        ("expire-at", True),
        ("expire-at", 2**53 + 1),
        ("source-cidrs", "10.0.0.0/8"),
        ("source-cidrs", ["10.0.0.0/33"]),
        ("source-cidrs", ["10.0.0.1/24"]),
        ("source-cidrs", ["rack"]),
        ("source-cidrs", [""]),
        ("source-cidrs", ["10.0.0.0/8"] * 101),
        ("max-uses", 0),
        ("max-uses", 2**31),
        ("max-uses", "3"),
        ("allow-in-path", "true"),
        ("allow-without-secret", 1),
        # --- known, but nobody's to set ---
        ("created-by", "root"),
        ("uses", 0),
        ("active", True),
        ("expire_at", 5),
        ("colour", "blue"),
    ],
)
def test_a_value_that_breaks_a_rule_is_400(field: str, value: object, client: APIClient) -> None:
    body = {"id": "rack-7", field: value}

    with nothing_changes():
        answer = client.post(TOKENS, body, format="json")

    assert_error(answer, 400)
    assert any(name.split(".")[0] == field for name in answer.json()["details"])


@pytest.mark.parametrize(
    "field",
    [
        *("id", "secret", "comment", "enabled", "expire-at", "source-cidrs", "max-uses"),
        "allow-in-path",
        "allow-without-secret",
    ],
)
def test_null_is_not_the_same_as_leaving_out(field: str, client: APIClient) -> None:
    with nothing_changes():
        answer = client.post(TOKENS, {"id": "rack-7", field: None}, format="json")

    body = assert_error(answer, 400, field=field)
    assert "must not be null" in body["details"][field][0]


def test_an_id_is_demanded(client: APIClient) -> None:
    with nothing_changes():
        assert_error(post(client, comment="x"), 400, field="id")


def test_an_id_that_is_taken_is_409(client: APIClient, token: Made) -> None:
    with nothing_changes():
        answer = post(client, id="rack-7")

    assert "rack-7" in assert_error(answer, 409)["message"]


def test_ids_that_differ_in_case_are_two_tokens(client: APIClient, token: Made) -> None:
    assert post(client, id="RACK-7").status_code == 201
    assert client.get(f"{TOKENS}/RACK-7").json()["created-by"] == "oscar"
    assert client.get(RACK).json()["created-by"] == "tester"


@pytest.mark.parametrize(
    "cidrs", [[], ["0.0.0.0/0"], ["::/0"], ["10.7.0.0/24", "::/0"]], ids=", ".join
)
def test_to_go_without_a_secret_a_token_needs_networks_that_are_not_everybody(
    cidrs: list[str], client: APIClient
) -> None:
    with nothing_changes():
        answer = post(client, id="rack-7", allow_without_secret=True, source_cidrs=cidrs)

    assert_error(answer, 400, field="source-cidrs" if cidrs else "allow-without-secret")


def test_a_token_with_networks_may_go_without_a_secret(client: APIClient) -> None:
    answer = post(client, id="rack-7", allow_without_secret=True, source_cidrs=["10.7.0.0/24"])

    assert answer.status_code == 201
    assert AnswerToken.objects.get().allow_without_secret


def test_a_token_with_a_secret_may_come_from_everywhere(client: APIClient) -> None:
    assert post(client, id="rack-7", source_cidrs=["0.0.0.0/0", "::/0"]).status_code == 201


# --- Read --------------------------------------------------------------------------------------


def test_the_list_is_in_the_order_of_creation(client: APIClient) -> None:
    for name in ("ccc", "aaa", "bbb"):
        make_token(name)

    assert [one["id"] for one in client.get(TOKENS).json()] == ["ccc", "aaa", "bbb"]


def test_the_list_pages_by_a_cursor(client: APIClient) -> None:
    for number in range(5):
        make_token(f"token-{number}")

    found, path, pages = [], f"{TOKENS}?limit=2", 0
    while path:
        answer = client.get(path)
        found += [one["id"] for one in answer.json()]
        link = answer.headers.get("Link", "")
        path = link.partition(">")[0].lstrip("<")
        pages += 1

    assert (found, pages) == ([f"token-{number}" for number in range(5)], 3)


def test_the_list_says_how_many_there_are_when_asked(client: APIClient) -> None:
    for number in range(3):
        make_token(f"token-{number}")

    answer = client.get(f"{TOKENS}?limit=1&count=true")

    assert answer.headers["X-Total-Count"] == "3"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("id=bbb", ["bbb"]),
        ("id=nobody", []),
        ("created-by=oscar", ["ccc"]),
        ("created-by=tester&id=aaa", ["aaa"]),
    ],
)
def test_the_list_is_filtered(query: str, names: list[str], client: APIClient) -> None:
    make_token("aaa")
    make_token("bbb")
    post(client, id="ccc")

    assert [one["id"] for one in client.get(f"{TOKENS}?{query}").json()] == names


@pytest.mark.parametrize("query", ["name=aaa", "created_by=x", "limit=0", "cursor=%21"])
def test_a_parameter_that_the_list_does_not_know_is_400(query: str, client: APIClient) -> None:
    assert_error(client.get(f"{TOKENS}?{query}"), 400)


def test_the_list_takes_as_many_queries_for_thirty_as_for_one(
    client: APIClient, django_assert_max_num_queries: Any
) -> None:
    make_token()
    with django_assert_max_num_queries(50) as one:
        client.get(TOKENS)
    for _ in range(29):
        make_token()

    with django_assert_max_num_queries(len(one.captured_queries)):
        assert len(client.get(TOKENS).json()) == 30


@pytest.mark.parametrize("method", ["get", "patch", "put", "delete"])
def test_a_token_that_is_not_there_is_404(method: str, client: APIClient) -> None:
    with nothing_changes():
        assert_error(getattr(client, method)(f"{TOKENS}/nobody", {}, format="json"), 404)


@pytest.mark.parametrize(
    ("enabled", "expire_at", "active"),
    [
        (None, None, True),
        (None, 0, True),
        (True, 0, True),
        (None, 2**40, True),
        (False, None, False),
        (False, 2**40, False),
        (None, 1, False),
        (True, 1, False),
    ],
)
def test_a_token_is_active_while_it_is_not_disabled_and_not_expired(
    enabled: bool | None, expire_at: int | None, active: bool, client: APIClient
) -> None:
    wire = {"enabled": enabled, "expire-at": expire_at}
    credential = post(client, id="rack-7", **{k: v for k, v in wire.items() if v is not None})
    make_config(authorized_tokens=["rack-7"])

    assert client.get(RACK).json()["active"] is active
    got = ask(credential.json()["credential"])
    assert got.status_code == (200 if active else 401)


def test_at_the_very_second_of_its_expiry_a_token_is_expired(client: APIClient) -> None:
    post(client, id="rack-7", expire_at=int(time.time()))

    assert client.get(RACK).json()["active"] is False


def test_what_a_token_was_used_for_is_answered(client: APIClient, token: Made) -> None:
    make_config(authorized_tokens=["rack-7"])
    ask(token[1], REMOTE_ADDR="192.0.2.7")

    found = client.get(RACK).json()

    assert (found["uses"], found["last-used-from"]) == (1, "192.0.2.7")
    assert found["last-used-at"]


# --- Change ------------------------------------------------------------------------------------


def test_a_change_is_stored_and_recorded(client: APIClient, operator: User, token: Made) -> None:
    changed = {"comment": [None, "Row C"], "max_uses": [None, 9]}

    with one_event(
        event="answer-token.changed",
        actor=operator,
        target_name="rack-7",
        data={"changed": changed},
    ):
        answer = patch(client, comment="Row C", max_uses=9)

    assert answer.status_code == 200
    assert set(answer.json()) == {"token"}
    assert answer.json()["token"]["comment"] == "Row C"
    row = AnswerToken.objects.get()
    assert (row.comment, row.max_uses, row.enabled) == ("Row C", 9, None)


def test_put_changes_only_what_it_names_as_patch_does(client: APIClient, token: Made) -> None:
    patch(client, comment="Row C")

    assert client.put(RACK, {"max-uses": 9}, format="json").status_code == 200
    row = AnswerToken.objects.get()
    assert (row.comment, row.max_uses) == ("Row C", 9)


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("comment", "x", None),
        ("expire-at", 5, None),
        ("max-uses", 5, None),
        ("source-cidrs", ["10.0.0.0/8"], []),
    ],
)
def test_delete_unsets_a_field(
    field: str, before: object, after: object, client: APIClient
) -> None:
    make_token("rack-7", **{field: before})

    answer = patch(client, delete=[field])

    assert answer.status_code == 200
    assert answer.json()["token"].get(field) == after
    assert AnswerToken.objects.values_list(field.replace("-", "_"), flat=True).get() == after


def test_what_is_deleted_and_set_is_set(client: APIClient) -> None:
    make_token("rack-7", comment="old", expire_at=5)

    patch(client, comment="new", delete=["comment", "expire-at"])

    row = AnswerToken.objects.get()
    assert (row.comment, row.expire_at) == ("new", None)


def test_an_empty_comment_is_a_comment(client: APIClient) -> None:
    make_token("rack-7", comment="old")

    assert patch(client, comment="").json()["token"]["comment"] == ""
    assert AnswerToken.objects.get().comment == ""


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"delete": ["enabled"]}, "delete"),
        ({"delete": ["id"]}, "delete"),
        ({"delete": ["created-by"]}, "delete"),
        ({"delete": ["expire_at"]}, "delete"),
        ({"delete": "comment"}, "delete"),
        ({"delete": None}, "delete"),
        ({"id": "other"}, "id"),
        ({"created-by": "other"}, "created-by"),
        ({"secret": "x"}, "secret"),
        ({"colour": "blue"}, "colour"),
        ({"comment": None}, "comment"),
        ({"enabled": None}, "enabled"),
        ({"expire-at": None}, "expire-at"),
        ({"comment": "a\nb"}, "comment"),
        ({"expire-at": -1}, "expire-at"),
        ({"max-uses": 0}, "max-uses"),
        ({"regenerate-secret": "yes"}, "regenerate-secret"),
        ({"regenerate-secret": None}, "regenerate-secret"),
        ({"source-cidrs": ["x"]}, "source-cidrs"),
        ({"source-cidrs": ["x"], "regenerate-secret": True}, "source-cidrs"),
        ({"allow-without-secret": True}, "allow-without-secret"),
    ],
)
def test_a_change_that_breaks_a_rule_is_400_and_changes_nothing(
    body: dict[str, Any], field: str, client: APIClient, token: Made
) -> None:
    with nothing_changes():
        answer = client.patch(RACK, body, format="json")

    assert_error(answer, 400)
    assert any(name.split(".")[0] == field for name in answer.json()["details"])


def test_a_token_without_secret_keeps_its_networks(client: APIClient) -> None:
    make_token("rack-7", source_cidrs=["10.7.0.0/24"], allow_without_secret=True)

    with nothing_changes():
        assert_error(patch(client, delete=["source-cidrs"]), 400, field="allow-without-secret")
        assert_error(patch(client, source_cidrs=["0.0.0.0/0"]), 400, field="source-cidrs")


def test_a_disabled_token_gets_no_answer_from_the_next_request_on(
    client: APIClient, token: Made
) -> None:
    make_config(authorized_tokens=["rack-7"])
    assert ask(token[1]).status_code == 200

    patch(client, enabled=False)

    assert ask(token[1]).status_code == 401


def test_a_change_to_what_it_is_already_is_no_event_and_no_new_etag(
    client: APIClient, token: Made
) -> None:
    etag = patch(client, comment="x").headers["ETag"]

    with nothing_changes():
        assert patch(client, comment="x").headers["ETag"] == etag


# --- Rotation ----------------------------------------------------------------------------------


def test_a_rotated_secret_is_shown_once_and_the_old_one_is_dead_at_once(
    client: APIClient, operator: User, token: Made
) -> None:
    make_config(authorized_tokens=["rack-7"])
    assert ask(token[1]).status_code == 200

    with one_event(event="answer-token.rotated", actor=operator, target_name="rack-7"):
        body = patch(client, regenerate_secret=True).json()

    assert UUID4.fullmatch(body["secret"])
    assert body["credential"] == f"rack-7:{body['secret']}"
    assert body["token"]["rotated-at"]
    assert ask(token[1]).status_code == 401
    assert ask(body["credential"]).status_code == 200
    assert body["secret"] not in client.get(RACK).content.decode()


def test_a_rotation_and_a_change_are_two_events_of_one_request(
    client: APIClient, token: Made
) -> None:
    answer = patch(client, regenerate_secret=True, comment="new")

    assert answer.json()["token"]["comment"] == "new"
    events = AuditEvent.objects.filter(event__startswith="answer-token.").order_by("id")
    assert {event.event for event in events[1:]} == {
        "answer-token.rotated",
        "answer-token.changed",
    }
    assert answer.json()["secret"] not in str(list(events.values()))


def test_a_rotation_keeps_the_configs_the_uses_and_the_place_in_the_list(
    client: APIClient, token: Made
) -> None:
    make_config(authorized_tokens=["rack-7"])
    make_token("later")
    ask(token[1])

    patch(client, regenerate_secret=True)

    assert [one["id"] for one in client.get(TOKENS).json()] == ["rack-7", "later"]
    assert client.get(RACK).json()["uses"] == 1
    assert AuthorizedToken.objects.filter(token__name="rack-7").count() == 1


def test_regenerate_secret_false_changes_nothing(client: APIClient, token: Made) -> None:
    with nothing_changes():
        answer = patch(client, regenerate_secret=False)

    assert set(answer.json()) == {"token"}


# --- Delete ------------------------------------------------------------------------------------


def test_a_token_is_deleted(client: APIClient, operator: User, token: Made) -> None:
    make_config()
    with one_event(event="answer-token.deleted", actor=operator, target_name="rack-7"):
        answer = client.delete(RACK)

    assert (answer.status_code, answer.content) == (204, b"")
    assert not AnswerToken.objects.filter(name="rack-7").exists()
    assert ask(token[1]).status_code == 401


def test_a_token_that_configs_use_is_409_and_they_are_named(client: APIClient, token: Made) -> None:
    make_config(id="b-config", authorized_tokens=["rack-7"])
    make_config(id="a-config", authorized_tokens=["rack-7"])

    with nothing_changes():
        answer = client.delete(RACK)

    assert "a-config, b-config" in assert_error(answer, 409)["message"]


def test_a_conflict_with_many_configs_names_only_some(client: APIClient, token: Made) -> None:
    for number in range(12):
        make_config(id=f"config-{number:02}", authorized_tokens=["rack-7"])

    message = assert_error(client.delete(RACK), 409)["message"]

    assert "config-09, ..." in message
    assert "config-10" not in message


def test_the_database_itself_keeps_a_token_that_is_in_use(client: APIClient, token: Made) -> None:
    make_config(authorized_tokens=["rack-7"])

    with pytest.raises(IntegrityError), transaction.atomic():
        AnswerToken.objects.filter(name="rack-7").delete()

    assert AnswerToken.objects.filter(name="rack-7").exists()


def test_when_no_config_uses_it_any_more_a_token_can_be_deleted(
    client: APIClient, token: Made
) -> None:
    make_token("other")
    config = make_config(authorized_tokens=["rack-7"]).config
    path = f"/v1/auto-install/prepared/{config.name}"

    client.patch(path, {"authorized-tokens": ["other"]}, format="json")

    assert client.delete(RACK).status_code == 204


def test_a_deleted_id_can_be_given_again_with_another_secret(
    client: APIClient, token: Made
) -> None:
    client.delete(RACK)
    new = post(client, id="rack-7").json()["credential"]
    make_config(authorized_tokens=["rack-7"])

    assert ask(token[1]).status_code == 401
    assert ask(new).status_code == 200


# --- ETags -------------------------------------------------------------------------------------


def test_the_etag_is_the_same_wherever_it_is_read(client: APIClient) -> None:
    created = post(client, id="rack-7").headers["ETag"]

    assert client.get(RACK).headers["ETag"] == created
    changed = patch(client, comment="x").headers["ETag"]
    assert changed != created
    assert client.get(RACK).headers["ETag"] == changed


@pytest.mark.parametrize("change", [{"comment": "x"}, {"regenerate-secret": True}])
def test_a_change_moves_the_etag(change: dict[str, Any], client: APIClient, token: Made) -> None:
    before = client.get(RACK).headers["ETag"]

    assert client.patch(RACK, change, format="json").headers["ETag"] != before


def test_a_use_does_not_move_the_etag(client: APIClient, token: Made) -> None:
    make_config(authorized_tokens=["rack-7"])
    before = client.get(RACK).headers["ETag"]

    assert ask(token[1]).status_code == 200

    assert client.get(RACK).headers["ETag"] == before


@pytest.mark.parametrize("matching", ["{}", "*", '"0", {}'])
def test_a_change_with_the_right_etag_is_made(
    matching: str, client: APIClient, token: Made
) -> None:
    tags = matching.format(client.get(RACK).headers["ETag"])

    answer = client.patch(RACK, {"comment": "x"}, format="json", headers={"If-Match": tags})

    assert answer.status_code == 200


@pytest.mark.parametrize("tag", ['"0"', "0", '"x"'])
@pytest.mark.parametrize("method", ["patch", "put", "delete"])
def test_a_change_with_another_etag_is_412(
    method: str, tag: str, client: APIClient, token: Made
) -> None:
    with nothing_changes():
        answer = getattr(client, method)(
            RACK, {"comment": "x"}, format="json", headers={"If-Match": tag}
        )

    assert "rack-7" in assert_error(answer, 412)["message"]


def test_of_two_who_have_read_the_same_the_second_is_412(client: APIClient, token: Made) -> None:
    seen = {"If-Match": client.get(RACK).headers["ETag"]}

    first = client.patch(RACK, {"comment": "a"}, format="json", headers=seen)
    second = client.patch(RACK, {"comment": "b"}, format="json", headers=seen)

    assert (first.status_code, second.status_code) == (200, 412)
    assert AnswerToken.objects.get().comment == "a"


# --- Who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["admin", "operator"])
def test_admins_and_operators_manage_tokens(
    who: str, request: pytest.FixtureRequest, api: Api, db: None
) -> None:
    client = api(request.getfixturevalue(who))

    assert post(client, id="rack-7").status_code == 201
    assert patch(client, comment="x").status_code == 200
    assert client.delete(RACK).status_code == 204


@pytest.mark.parametrize("who", ["developer", "viewer"])
def test_developers_and_viewers_only_read_tokens(
    who: str, request: pytest.FixtureRequest, api: Api, token: Made
) -> None:
    client = api(request.getfixturevalue(who))

    assert client.get(TOKENS).status_code == 200
    assert client.get(RACK).status_code == 200
    with nothing_changes(AuditEvent):
        assert_error(post(client, id="other"), 403)
        assert_error(patch(client, comment="x"), 403)
        assert_error(client.delete(RACK), 403)
    last_event(event="access.denied", outcome="denied", target_name=f"DELETE {RACK}")


def test_a_stranger_learns_not_even_what_there_is(stranger: User, api: Api, token: Made) -> None:
    client = api(stranger)

    with nothing_changes(AuditEvent):
        for path in (TOKENS, RACK, f"{TOKENS}/nobody"):
            assert_error(client.get(path), 403)


def test_without_a_session_there_is_401(api: Api, token: Made) -> None:
    with nothing_changes(AuditEvent):
        assert_error(api(None).get(TOKENS), 401)


def test_an_answer_token_opens_nothing_but_answers(token: Made) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token[1]}")

    with nothing_changes(AuditEvent):
        assert_error(client.get(TOKENS), 401)


# --- At the same instant -----------------------------------------------------------------------


@pytest.fixture
def manager(api: Api) -> APIClient:
    """An operator in a test whose rows are really committed."""
    user = make_user("oscar")
    bind(user, "Operator")
    return api(user)


@RACES
def test_of_eight_who_create_the_same_id_at_once_one_wins(manager: APIClient) -> None:
    answers = at_once([lambda: post(manager, id="rack-7") for _ in range(8)])

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert AnswerToken.objects.count() == 1
    assert AuditEvent.objects.filter(event="answer-token.created").count() == 1


@RACES
def test_of_two_secrets_made_at_once_exactly_one_works(manager: APIClient) -> None:
    old = make_token("rack-7")[1]
    make_config(authorized_tokens=["rack-7"])

    answers = at_once([lambda: patch(manager, regenerate_secret=True) for _ in range(2)])

    credentials = [answer.json()["credential"] for answer in answers]
    assert len(set(credentials)) == 2
    assert sorted(ask(credential).status_code for credential in credentials) == [200, 401]
    assert ask(old).status_code == 401


@RACES
@pytest.mark.parametrize("round_", range(3))
def test_a_token_deleted_while_a_config_begins_to_use_it_never_dangles(
    round_: int, manager: APIClient
) -> None:
    make_token("rack-7")
    body = config_body(id="racing", authorized_tokens=["rack-7"])

    deleted, created = at_once(
        [
            lambda: manager.delete(RACK),
            lambda: manager.post("/v1/auto-install/prepared", body, format="json"),
        ]
    )

    assert (deleted.status_code, created.status_code) in ((204, 400), (409, 201))
    is_there = AnswerToken.objects.filter(name="rack-7").exists()
    assert is_there == (created.status_code == 201)
    assert PreparedConfig.objects.exists() == is_there
    assert AuthorizedToken.objects.count() == is_there


@RACES
def test_a_change_and_a_deletion_at_once_are_one_after_the_other(manager: APIClient) -> None:
    make_token("rack-7")

    changed, deleted = at_once(
        [lambda: patch(manager, comment="x"), lambda: manager.delete(RACK)],
    )

    assert deleted.status_code == 204
    assert changed.status_code in (200, 404)
    assert not AnswerToken.objects.exists()


@RACES
def test_changes_at_once_with_the_same_etag_let_one_through(manager: APIClient) -> None:
    make_token("rack-7")
    seen = {"If-Match": manager.get(RACK).headers["ETag"]}

    answers = at_once(
        [
            partial(manager.patch, RACK, {"comment": text}, format="json", headers=seen)
            for text in "abcd"
        ]
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


# --- Paths that no row can have ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["a%00b", "%ff%fe", "%ED%A0%80", "x" * 3000, "a%0Ab"])
@pytest.mark.parametrize("method", ["get", "patch", "put", "delete"])
@pytest.mark.parametrize("noun", ["tokens", "prepared"])
def test_a_name_that_no_row_can_have_is_404(
    noun: str, method: str, name: str, client: APIClient
) -> None:
    with nothing_changes():
        answer = getattr(client, method)(f"/v1/auto-install/{noun}/{name}", {}, format="json")

    assert_error(answer, 404)
