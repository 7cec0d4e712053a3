"""`POST .../installations/<uuid>/post-hook`: the installed machine reports back, once."""

from __future__ import annotations

import copy
import json
import re
import tomllib
import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, User
from autoinstall.models import AnswerToken, Attempt
from tests.answers import last_event, nothing_changes, one_event
from tests.autoinstall.attempts import newest, sentence_of
from tests.autoinstall.factories import ask, machine, make_config, make_token
from tests.concurrently import at_once

Token = tuple[AnswerToken, str]
CAPTURED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "post-hook.json").read_text()
)
MOUNTS = ["/api2/json/auto-install", "/v1/auto-install"]


@dataclass
class Installation:
    """One that is in progress; `secret` is what its machine was given."""

    id: str
    secret: str

    @property
    def row(self) -> Attempt:
        return Attempt.objects.get(pk=self.id)


def begin(credential: str, number: int = 1, accept: str = "application/json") -> Installation:
    answer = ask(credential, machine(number), accept=accept)
    assert answer.status_code == 200, answer.content
    hook = (answer.json() if "json" in accept else tomllib.loads(answer.content.decode()))[
        "post-installation-webhook"
    ]
    found = re.search(
        r"/installations/([0-9a-f-]{36})/post-hook(?:\?token=([0-9a-f]+))?$", hook["url"]
    )
    assert found
    return Installation(found[1], hook.get("auth-token") or found[2])


def report(
    installation: str,
    body: dict[str, Any] | bytes | None = None,
    *,
    secret: str | None = None,
    url_secret: str | None = None,
    mount: str = MOUNTS[0],
    **extra: Any,
) -> Any:
    """As proxmox-post-hook sends it."""
    if not isinstance(body, bytes):
        body = json.dumps(
            {**(CAPTURED if body is None else body), **({"token": secret} if secret else {})}
        ).encode()
    path = f"{mount}/installations/{installation}/post-hook"
    if url_secret is not None:
        path += f"?token={url_secret}"
    return Client().post(
        path, body, content_type="application/json; charset=utf-8", HTTP_ACCEPT="*/*", **extra
    )


@pytest.fixture
def config(token: Token) -> None:
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        post_hook_base_url="https://ps.example.com",
        post_hook_deadline_minutes=30,
    )


@pytest.fixture
def installation(token: Token, config: None) -> Installation:
    return begin(token[1])


# --- Finished ----------------------------------------------------------------------------------


def test_an_installation_begins_in_progress_with_its_deadline(installation: Installation) -> None:
    row = installation.row

    assert (row.status, row.hook_data, row.finished_at) == ("in-progress", None, None)
    assert row.deadline_at == row.received_at + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("mount", "body"),
    [(MOUNTS[0], {"data": None}), (MOUNTS[1], {"status": "finished"})],
)
def test_the_right_secret_in_the_body_finishes_it(
    mount: str, body: dict[str, Any], installation: Installation
) -> None:
    answer = report(installation.id, secret=installation.secret, mount=mount)

    assert (answer.status_code, answer.json()) == (200, body)
    row = installation.row
    assert row.status == "finished"
    assert row.finished_at and row.finished_at >= row.received_at
    assert row.hook_data == CAPTURED


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_right_secret_in_the_url_finishes_it(mount: str, token: Token, config: None) -> None:
    installation = begin(token[1], accept="*/*")

    answer = report(installation.id, url_secret=installation.secret, mount=mount)

    assert answer.status_code == 200
    assert (installation.row.status, installation.row.hook_data) == ("finished", CAPTURED)


def test_a_finished_installation_is_recorded_with_its_machine(installation: Installation) -> None:
    with one_event(
        event="installation.finished",
        outcome="success",
        actor=None,
        actor_name="token:rack-7",
        source="10.7.0.17",
        target_type="attempt",
        target_id=installation.id,
        target_name="rack",
        data={"fqdn": "pve7.lab.example.org", "serial": "SN-0001"},
    ):
        report(installation.id, secret=installation.secret, REMOTE_ADDR="10.7.0.17")


def test_the_secret_is_kept_nowhere(installation: Installation) -> None:
    report(installation.id, secret=installation.secret)

    everything = list(Attempt.objects.values()) + list(AuditEvent.objects.values())
    assert installation.secret not in str(everything)


def test_what_a_newer_schema_adds_is_kept(installation: Installation) -> None:
    body = copy.deepcopy(CAPTURED)
    body["$schema"]["version"] = "1.9"
    body["brand-new"] = {"of": [1, 2.5, None, True, {"deep": "yes"}]}
    body["disks"][0]["temperature"] = 31

    assert report(installation.id, body, secret=installation.secret).status_code == 200
    assert installation.row.hook_data == body


def test_a_report_that_says_nothing_is_enough(installation: Installation) -> None:
    assert report(installation.id, {}, secret=installation.secret).status_code == 200
    assert (installation.row.status, installation.row.hook_data) == ("finished", {})


def test_an_unknown_fqdn_is_no_obstacle(installation: Installation) -> None:
    body = {**CAPTURED, "fqdn": ["unknown"]}

    assert report(installation.id, body, secret=installation.secret).status_code == 200
    last_event(event="installation.finished", data={"fqdn": "", "serial": "SN-0001"})


def test_it_needs_no_content_type_and_ignores_a_bearer(installation: Installation) -> None:
    body = json.dumps({**CAPTURED, "token": installation.secret})

    answer = Client().post(
        f"{MOUNTS[0]}/installations/{installation.id}/post-hook",
        body,
        content_type="application/octet-stream",
        HTTP_AUTHORIZATION="Bearer whoever:this-is",
    )

    assert answer.status_code == 200


# --- Again -------------------------------------------------------------------------------------


def test_the_same_report_again_is_200_and_changes_nothing(installation: Installation) -> None:
    report(installation.id, secret=installation.secret)

    with nothing_changes():
        answers = [
            report(installation.id, {"fqdn": "other"}, secret=installation.secret),
            report(installation.id, url_secret=installation.secret),
        ]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_another_secret_after_it_has_finished_is_404(installation: Installation) -> None:
    report(installation.id, secret=installation.secret)

    sentence_of(report(installation.id, secret="0" * 32), 404)


# --- Late --------------------------------------------------------------------------------------


def make_overdue(installation: Installation) -> None:
    past = timezone.now() - timedelta(minutes=1)
    Attempt.objects.filter(pk=installation.id).update(deadline_at=past)


def test_after_the_deadline_it_is_timed_out_for_us_and_in_progress_for_pdm(
    installation: Installation, admin: User, api: Any
) -> None:
    make_overdue(installation)
    client = api(admin)

    one = client.get(f"/v1/auto-install/installations/{installation.id}").json()
    (listed,) = client.get("/v1/auto-install/installations").json()
    (theirs,) = client.get("/api2/json/auto-install/installations").json()["data"]

    assert (one["status"], listed["status"], theirs["status"]) == (
        "timed-out",
        "timed-out",
        "in-progress",
    )
    assert installation.row.status == "in-progress"


def test_timed_out_and_in_progress_can_be_told_apart_by_filter(
    token: Token, config: None, admin: User, api: Any
) -> None:
    late, due, done = (begin(token[1], number) for number in range(3))
    make_overdue(late)
    report(done.id, secret=done.secret)

    def listed(kind: str, status: str, **more: str) -> list[str]:
        given = {"status": status, **more}
        answer = api(admin).get(f"/v1/auto-install/{kind}", given)
        assert answer.status_code == 200, answer.content
        return [row["id"] for row in answer.json()]

    for kind in ("installations", "attempts"):
        assert listed(kind, "timed-out") == [late.id]
        assert listed(kind, "in-progress") == [due.id]
        assert listed(kind, "finished") == [done.id]
        assert listed(kind, "timed-out", token="rack-7", serial="SN-0000") == [late.id]
        assert listed(kind, "timed-out", serial="SN-0001") == []


def test_a_late_report_still_finishes_it(installation: Installation, admin: User, api: Any) -> None:
    make_overdue(installation)

    assert report(installation.id, secret=installation.secret).status_code == 200

    one = api(admin).get(f"/v1/auto-install/installations/{installation.id}").json()
    assert (one["status"], one["post-hook-data"]) == ("finished", CAPTURED)


def test_the_deadline_of_a_finished_installation_means_nothing(
    installation: Installation, admin: User, api: Any
) -> None:
    report(installation.id, secret=installation.secret)
    make_overdue(installation)

    one = api(admin).get(f"/v1/auto-install/installations/{installation.id}").json()
    assert one["status"] == "finished"


# --- Refused -----------------------------------------------------------------------------------


def without_hook(token: Token) -> str:
    make_config(id="plain", authorized_tokens=["rack-7"], priority=-1)
    ask(token[1])
    return str(newest().pk)


def refused(case: str, token: Token, mine: Installation) -> Any:
    other = begin(token[1], 2)
    match case:
        case "no secret":
            return report(mine.id)
        case "empty secret":
            return report(mine.id, {**CAPTURED, "token": ""}, url_secret="")
        case "wrong secret":
            return report(mine.id, secret=mine.secret[:-1] + "g")
        case "wrong secret in the URL":
            return report(mine.id, url_secret="0" * 32)
        case "secret of another case":
            return report(mine.id, secret=mine.secret.upper() + "A")
        case "secret of another type":
            return report(mine.id, {**CAPTURED, "token": [mine.secret]})
        case "wrong in the body, right in the URL":
            return report(mine.id, secret="0" * 32, url_secret=mine.secret)
        case "another installation's secret":
            return report(mine.id, secret=other.secret)
        case "answer token":
            return report(mine.id, secret=token[1])
        case "its digest":
            return report(mine.id, secret=mine.row.hook_digest)
        case "unknown":
            return report(str(uuid.uuid4()), secret=mine.secret)
        case "deleted":
            mine.row.delete()
            return report(mine.id, secret=mine.secret)
        case "no report awaited":
            return report(without_hook(token), secret=mine.secret)
        case "no answer found":
            ask(token[1], {**machine(1), "product": {"fullname": "", "product": "x"}})
            return report(str(newest().pk), secret=mine.secret)
        case "refused":
            ask("nobody-here:0")
            return report(str(newest().pk))
        case _:
            raise AssertionError(case)


CASES = [
    *("no secret", "empty secret", "wrong secret", "wrong secret in the URL"),
    *("secret of another case", "secret of another type", "wrong in the body, right in the URL"),
    *("another installation's secret", "answer token", "its digest", "unknown", "deleted"),
    *("no report awaited", "no answer found", "refused"),
]


@pytest.mark.parametrize("case", CASES)
def test_whatever_is_wrong_is_the_same_404(
    case: str, token: Token, installation: Installation
) -> None:
    answer = refused(case, token, installation)

    sentence = sentence_of(answer, 404)
    found = re.search("[0-9a-f-]{36}", sentence)
    assert found
    assert sentence.replace(found[0], "UUID") == (
        "There is no installation UUID that awaits this report."
    )
    assert Attempt.objects.filter(status="finished").count() == 0
    last_event(
        event="installation.report-refused",
        outcome="denied",
        actor_name="anonymous",
        target_id=found[0],
    )


def test_all_404_are_alike_but_for_the_id(token: Token, installation: Installation) -> None:
    answers = [
        report(installation.id, secret="0" * 32, HTTP_X_REQUEST_ID="same"),
        report(str(uuid.uuid4()), secret="0" * 32, HTTP_X_REQUEST_ID="same"),
    ]

    assert len({str(sorted(answer.headers.items())) for answer in answers}) == 1


def test_a_refused_report_changes_nothing(installation: Installation) -> None:
    with nothing_changes(AuditEvent):
        report(installation.id, secret="0" * 32)


def test_refused_reports_are_recorded_up_to_the_limit(
    installation: Installation, settings: Any
) -> None:
    settings.REFUSALS_PER_MINUTE = 3
    before = AuditEvent.objects.count()

    answers = [report(installation.id, secret="0" * 32) for _ in range(6)]

    assert {answer.status_code for answer in answers} == {404}
    assert AuditEvent.objects.count() == before + 3
    assert report(installation.id, secret=installation.secret).status_code == 200


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("name", ["nonsense", "1", "5C1F0F3E-58A1-4C55-9D51-1F6F0A3C0001"])
def test_what_is_no_uuid_is_404(name: str, mount: str, db: None) -> None:
    with nothing_changes():
        assert report(name, mount=mount).status_code == 404


# --- Bodies ------------------------------------------------------------------------------------

BODIES: dict[str, bytes] = {
    "empty": b"",
    "half": b'{"token": ',
    "a list": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "invalid UTF-8": b'{"fqdn": "\xff"}',
    "a null byte": b'{"fqdn": "\0"}',
    "a null character": b'{"fqdn": "\\u0000"}',
    "a lone surrogate": b'{"fqdn": "\\ud800"}',
    "a number beyond all": b'{"size": 1e400}',
    "NaN": b'{"size": NaN}',
    "a hundred thousand lists": b"[" * 100_000,
    "a form": b"token=0",
}


@pytest.mark.parametrize("case", BODIES)
def test_what_is_no_report_is_400_and_changes_nothing(
    case: str, installation: Installation
) -> None:
    with nothing_changes(AuditEvent):
        answer = report(installation.id, BODIES[case], url_secret=installation.secret)

    sentence_of(answer, 400)
    last_event(event="installation.report-refused", outcome="denied", target_id=installation.id)


@pytest.mark.parametrize("depth", [100, 400, 900, 980, 1000, 1020])
def test_a_deeply_nested_report_is_kept_or_refused(
    depth: int, installation: Installation, admin: User, api: Any
) -> None:
    body = b'{"extra":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"

    answer = report(installation.id, body, url_secret=installation.secret)

    assert answer.status_code in (200, 400), answer.content
    path = f"/v1/auto-install/installations/{installation.id}"
    assert api(admin).get(path).status_code == 200


def test_a_backslash_before_a_u_is_no_null_character(installation: Installation) -> None:
    body = {**CAPTURED, "fqdn": "c:\\u0000"}

    assert report(installation.id, body, secret=installation.secret).status_code == 200


def test_numbers_of_64_bits_are_kept(installation: Installation) -> None:
    body = {"size": 2**64 - 1, "least": -(2**63), "tiny": 5e-324}

    assert report(installation.id, body, secret=installation.secret).status_code == 200
    assert installation.row.hook_data == body


def test_a_report_beyond_the_limit_is_413(installation: Installation, settings: Any) -> None:
    body = b" " * (settings.ANSWER_BODY_MAX_BYTES + 1)

    with nothing_changes(AuditEvent):
        sentence_of(report(installation.id, body, url_secret=installation.secret), 413)


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "options"])
def test_another_method_is_405(method: str, installation: Installation) -> None:
    with nothing_changes():
        path = f"{MOUNTS[0]}/installations/{installation.id}/post-hook"
        answer = getattr(Client(), method)(path)

    sentence_of(answer, 405)


# --- At the same instant -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_many_reports_at_once_finish_it_once() -> None:
    _, credential = make_token("rack-7")
    make_config(authorized_tokens=["rack-7"], post_hook_base_url="https://ps.example.com")
    installation = begin(credential)
    bodies = [{**CAPTURED, "fqdn": f"pve{n}.example.com"} for n in range(8)]

    answers = at_once(
        [partial(report, installation.id, body, secret=installation.secret) for body in bodies]
    )

    assert {answer.status_code for answer in answers} == {200}
    event = AuditEvent.objects.get(event="installation.finished")
    assert event.data["fqdn"] == installation.row.hook_data["fqdn"]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_wrong_secret_beside_the_right_one_is_refused() -> None:
    _, credential = make_token("rack-7")
    make_config(authorized_tokens=["rack-7"], post_hook_base_url="https://ps.example.com")
    installation = begin(credential)
    secrets = [installation.secret, "0" * 32] * 4

    answers = at_once([partial(report, installation.id, secret=secret) for secret in secrets])

    assert [answer.status_code for answer in answers] == [200, 404] * 4


def test_a_report_with_a_long_number_is_listed(admin: User, api: Any) -> None:
    _, credential = make_token("rack-7")
    make_config(authorized_tokens=["rack-7"], post_hook_base_url="https://p.example.com")
    begun = begin(credential)
    body = json.dumps({**CAPTURED, "token": begun.secret, "more": 1}).replace(
        '"more": 1', f'"more": {10**22}'
    )
    assert report(begun.id, body.encode()).status_code == 200

    client = api(admin)
    client.raise_request_exception = False
    paths = (
        "/api2/json/auto-install/installations",
        f"/v1/auto-install/installations/{begun.id}",
    )
    assert [client.get(path).status_code for path in paths] == [200, 200]
