"""Answer tokens in the console: made, changed, rotated and deleted by the services of the API."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, User
from autoinstall import images, keys
from autoinstall.models import AnswerToken, Attempt, PreparedConfig
from tests.answers import nothing_changes, one_event
from tests.autoinstall.console import (
    BASE,
    logged_in,
    queries_of,
    refused,
    text_of,
    with_permissions,
)
from tests.autoinstall.factories import ask, machine, make_config, make_token

Made = tuple[AnswerToken, str]
ADD = f"{BASE}/answertoken/add/"
LIST = f"{BASE}/answertoken/"


def page(token: AnswerToken, act: str = "change") -> str:
    return f"{BASE}/answertoken/{token.pk}/{act}/"


def form(**given: Any) -> dict[str, Any]:
    """What the browser sends for a token that is enabled and has nothing else."""
    empty = {"comment": "", "expires_at": "", "max_uses": "", "networks": "", "enabled": "on"}
    return {key: value for key, value in {**empty, **given}.items() if value is not None}


def create(user: User, **given: Any) -> Any:
    return logged_in(user).post(ADD, form(**{"name": "rack-9", **given}))


def change(user: User, token: AnswerToken, **given: Any) -> Any:
    seen = {"seen": token.generation}
    return logged_in(user).post(page(token), form(**{**seen, **given}), follow=True)


def rotate(client: Client, token: AnswerToken) -> Any:
    return client.post(page(token, "rotate"), {"seen": token.generation}, follow=True)


def credential_in(text: str) -> str:
    found = re.search(r'id="credential"[^>]*>([^<]+)<', text)
    assert found, "no credential is shown"
    return found[1]


# --- Creating ----------------------------------------------------------------------------------


def test_an_operator_makes_a_token_and_sees_its_secret_this_once(operator: User) -> None:
    with one_event(event="answer-token.created", actor=operator, target_name="rack-9"):
        response = create(operator, comment="Row C")

    text = response.content.decode()
    name, _, secret = credential_in(text).partition(":")
    token = AnswerToken.objects.get(name="rack-9")
    assert (name, token.comment, token.created_by) == ("rack-9", "Row C", "oscar")
    assert keys.is_right(secret, token.secret_digest)
    assert "no-store" in response.headers["Cache-Control"]
    assert f"--answer-auth-token rack-9:{secret}" in text


def test_the_secret_is_on_no_other_page_in_no_session_and_in_no_log(
    operator: User, caplog: pytest.LogCaptureFixture
) -> None:
    client = logged_in(operator)
    caplog.set_level("DEBUG")
    response = client.post(ADD, form(name="rack-9"))
    secret = credential_in(response.content.decode()).partition(":")[2]

    token = AnswerToken.objects.get(name="rack-9")
    later = [client.get(path).content.decode() for path in (LIST, page(token), "/admin/")]

    assert secret not in "".join(later)
    assert secret not in str(dict(client.session))
    assert secret not in str(response.headers)
    assert secret not in caplog.text
    assert secret not in str(list(AuditEvent.objects.values()))


def test_sending_the_form_again_makes_no_second_token_and_shows_no_secret(operator: User) -> None:
    create(operator)

    with nothing_changes(User):
        text = create(operator).content.decode()

    assert "An answer token with the id rack-9 exists." in text
    assert 'id="credential"' not in text


def test_every_field_of_the_form_reaches_the_token(operator: User) -> None:
    create(
        operator,
        enabled=None,
        expires_at="2031-05-01T12:30",
        max_uses="40",
        networks="10.7.0.0/24\n\n  2001:db8::/64 \n",
        allow_in_path="on",
        allow_without_secret="on",
        secret="an-existing-secret-of-an-old-image-0001",
    )

    token = AnswerToken.objects.get(name="rack-9")
    assert token.enabled is False
    assert token.expires_at == datetime(2031, 5, 1, 12, 30, tzinfo=UTC)
    assert (token.max_uses, token.allow_in_path, token.allow_without_secret) == (40, True, True)
    assert token.source_cidrs == ["10.7.0.0/24", "2001:db8::/64"]
    assert keys.is_right("an-existing-secret-of-an-old-image-0001", token.secret_digest)


@pytest.mark.parametrize("never", ["", "0"])
def test_empty_or_zero_never_expires(operator: User, never: str) -> None:
    create(operator, expires_at=never)

    assert AnswerToken.objects.get(name="rack-9").expire_at is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "x"}, "Must have at least 3 characters."),
        ({"name": "-rack"}, "must begin with a letter"),
        ({"networks": "10.7.0.0/24\nnowhere"}, "&#x27;nowhere&#x27; is no network"),
        ({"allow_without_secret": "on"}, "Needs source-cidrs"),
        ({"allow_without_secret": "on", "networks": "0.0.0.0/0"}, "is everybody"),
        ({"max_uses": "0"}, "Must be at least 1."),
        ({"max_uses": "many"}, "Enter a whole number."),
        ({"expires_at": "tomorrow"}, "Enter a valid date/time."),
        ({"secret": "short"}, "Must have at least 32 characters."),
    ],
)
def test_bad_input_changes_nothing_and_what_was_typed_stays(
    operator: User, given: dict[str, str], sentence: str
) -> None:
    with nothing_changes(User):
        text = create(operator, **{"comment": "typed before", **given}).content.decode()

    assert sentence in text
    assert 'value="typed before"' in text
    assert 'id="credential"' not in text


def test_a_secret_that_was_typed_is_not_given_back(operator: User) -> None:
    text = create(operator, secret="too-short-secret", networks="nowhere").content.decode()

    assert "too-short-secret" not in text


# --- The image ---------------------------------------------------------------------------------


def test_the_ready_line_names_the_host_that_the_browser_reached(operator: User) -> None:
    text = create(operator).content.decode()

    assert "--url http://testserver/api2/json/auto-install/answer" in text
    assert "Over plain HTTP everybody on the way can read the token" in text


def test_the_ready_line_names_the_public_url_and_its_certificate(
    operator: User, settings: Any, certificate: tuple[Path, str]
) -> None:
    settings.PUBLIC_URL = "https://provisioning.example.com:8443"
    settings.TLS_CERT, fingerprint = certificate

    text = create(operator).content.decode()

    assert "--url https://provisioning.example.com:8443/api2/json/auto-install/answer" in text
    assert f"--cert-fingerprint {fingerprint}" in text
    assert "Over plain HTTP" not in text


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, str]:
    """A PEM file and the fingerprint of the certificate in it, by another way than ours."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "p.example")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path, made.fingerprint(hashes.SHA256()).hex(":").upper()


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx"])
def test_a_certificate_that_cannot_be_read_is_left_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "server.pem"
    path.write_text(text)

    assert images.fingerprint_of(path) == images.fingerprint_of(None) == ""
    assert images.fingerprint_of(tmp_path / "missing.pem") == ""


def test_a_secret_with_signs_of_the_shell_is_quoted() -> None:
    recipe = images.Recipe("rack-7:a b'$c", "https://p.example")

    assert """--answer-auth-token 'rack-7:a b'"'"'$c'""" in recipe.prepare_iso


def test_lines_for_dhcp_and_dns_hold_the_secret_only_where_the_token_allows_it(
    operator: User,
) -> None:
    plain = create(operator).content.decode()
    in_path = create(operator, name="old-images", allow_in_path="on").content.decode()

    url = "http://testserver/api2/json/auto-install/answer"
    assert f"dhcp-option=250,&quot;{url}&quot;" in plain
    assert f"{url}/rack-9:" not in plain
    assert f"dhcp-option=250,&quot;{url}/{credential_in(in_path)}&quot;" in in_path


# --- Changing ----------------------------------------------------------------------------------


def test_a_change_touches_what_was_changed_and_nothing_else(operator: User) -> None:
    moment = int(timezone.now().timestamp()) + 86_413  # with seconds
    token, _ = make_token("rack-7", comment="Row B", max_uses=5, expire_at=moment)
    shown = token.expires_at
    assert shown is not None

    with one_event(event="answer-token.changed", data={"changed": {"max_uses": [5, None]}}):
        change(operator, token, comment="Row B", expires_at=f"{shown:%Y-%m-%dT%H:%M:%S}")

    token.refresh_from_db()
    assert (token.comment, token.max_uses, token.expire_at) == ("Row B", None, moment)
    assert token.enabled is None  # unset, as it was


def test_the_form_shows_seconds_where_an_expiry_has_some(operator: User) -> None:
    token, _ = make_token("rack-7", expire_at=1_900_000_013)

    assert 'value="2030-03-17T17:46:53"' in text_of(operator, f"answertoken/{token.pk}/change/")


def test_what_is_emptied_is_unset(operator: User, token: Made) -> None:
    full, _ = make_token(
        "rack-8", comment="x", max_uses=5, expire_at=1_900_000_013, source_cidrs=["10.0.0.0/8"]
    )

    change(operator, full, enabled=None)

    full.refresh_from_db()
    assert (full.comment, full.max_uses, full.expire_at) == (None, None, None)
    assert (full.source_cidrs, full.enabled) == ([], False)


def test_saving_without_a_change_records_nothing(operator: User, token: Made) -> None:
    with nothing_changes(User):
        change(operator, token[0])


def test_a_form_that_is_older_than_the_token_is_refused(operator: User, token: Made) -> None:
    change(operator, token[0], comment="first")

    with nothing_changes(User):
        text = change(operator, token[0], comment="second").content.decode()

    assert "has changed since this page was shown" in text
    assert 'value="second"' in text


# --- Rotating ----------------------------------------------------------------------------------


def test_a_rotated_secret_is_shown_once_and_the_old_one_ends(operator: User, token: Made) -> None:
    row, old = token
    make_config(authorized_tokens=["rack-7"])
    client = logged_in(operator)

    with one_event(event="answer-token.rotated", actor=operator):
        response = rotate(client, row)

    new = credential_in(response.content.decode())
    assert "no-store" in response.headers["Cache-Control"]
    assert ask(new).status_code == 200
    assert ask(old).status_code == 401
    assert new.partition(":")[2] not in client.get(page(row)).content.decode()


def test_sending_the_rotation_again_is_refused(operator: User, token: Made) -> None:
    client = logged_in(operator)
    rotate(client, token[0])

    with nothing_changes(User):
        text = rotate(client, token[0]).content.decode()

    assert "has changed since this page was shown" in text
    assert 'id="credential"' not in text


def test_rotating_is_no_link(operator: User, token: Made) -> None:
    with nothing_changes(User):
        assert logged_in(operator).get(page(token[0], "rotate")).status_code == 405


def test_a_token_that_is_gone_is_not_rotated(operator: User, token: Made) -> None:
    client = logged_in(operator)
    AnswerToken.objects.all().delete()

    assert client.post(page(token[0], "rotate"), {"seen": 1}).status_code == 302


# --- Deleting ----------------------------------------------------------------------------------


def test_a_token_in_use_is_kept_with_the_sentence_of_the_service(
    operator: User, token: Made
) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])

    with nothing_changes(User):
        response = logged_in(operator).post(page(token[0], "delete"), {"post": "yes"}, follow=True)

    assert response.redirect_chain[-1][0].endswith("/change/")
    sentence = "The answer token rack-7 is in use by prepared configs: rack."
    assert sentence in response.content.decode()


def test_an_operator_deletes_a_token(operator: User, token: Made) -> None:
    with one_event(event="answer-token.deleted", actor=operator):
        logged_in(operator).post(page(token[0], "delete"), {"post": "yes"})

    assert not AnswerToken.objects.exists()


# --- Who may what ------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["viewer", "developer"])
def test_who_only_reads_sees_the_token_and_no_act(
    who: str, request: pytest.FixtureRequest, token: Made
) -> None:
    user = request.getfixturevalue(who)

    text = text_of(user, f"answertoken/{token[0].pk}/change/")

    assert "rack-7" in text
    for act in (
        "Rotate the secret",
        "Delete",
        ">Save<",
        'value="Save"',
        "prepare-iso",
        "<textarea",
    ):
        assert act not in text
    assert "Add answer token" not in text_of(user, "answertoken/")


@pytest.mark.parametrize("act", ["add", "change", "rotate", "delete"])
@pytest.mark.parametrize("who", ["viewer", "developer"])
def test_a_forged_act_is_refused_and_audited(
    who: str, act: str, request: pytest.FixtureRequest, token: Made
) -> None:
    user = request.getfixturevalue(who)
    path = ADD if act == "add" else page(token[0], act)
    sent = form(name="rack-9", seen=token[0].generation, post="yes")

    with refused(user):
        assert logged_in(user).post(path, sent).status_code == 403


def test_an_act_without_the_form_s_token_is_refused(operator: User, token: Made) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)

    with refused(operator):
        sent = {"seen": token[0].generation}
        assert client.post(page(token[0], "rotate"), sent).status_code == 403


def test_who_may_not_read_configs_or_attempts_finds_none_of_them_here(token: Made) -> None:
    make_config(id="a-config", authorized_tokens=["rack-7"])
    ask(token[1], machine(1))
    user = with_permissions("answer_token_read")

    text = text_of(user, "answertoken/") + text_of(user, f"answertoken/{token[0].pk}/change/")

    assert "a-config" not in text
    assert "/autoinstall/attempt/" not in text
    assert Attempt.objects.get().serial not in text


def test_the_page_names_the_machine_that_used_the_token_last(admin: User, token: Made) -> None:
    make_config(id="a-config", authorized_tokens=["rack-7"])
    path = f"answertoken/{token[0].pk}/change/"
    assert "Newest request by" not in text_of(admin, path)
    ask(token[1], machine(1))
    ask(token[1], machine(2))
    ask(make_token("other")[1], machine(3))
    last, first = Attempt.objects.filter(token_name="rack-7").order_by("-id")

    text = text_of(admin, path)

    link = f'<a href="{BASE}/attempt/{last.pk}/change/">{last.serial}</a>'
    assert last.serial
    assert link in text
    assert f"{BASE}/attempt/{first.pk}/" not in text


def test_the_page_of_a_token_runs_as_many_queries_after_many_requests(
    admin: User, token: Made
) -> None:
    make_config(id="a-config", authorized_tokens=["rack-7"])
    ask(token[1], machine(1))
    client = logged_in(admin)
    few = queries_of(client, page(token[0]))
    Attempt.objects.bulk_create(
        Attempt(outcome="answered", token_name="rack-7", serial=f"SN-{number}")
        for number in range(100)
    )

    assert len(queries_of(client, page(token[0]))) == len(few)


# --- The list ----------------------------------------------------------------------------------


@pytest.fixture
def of_each_state(db: None) -> None:
    now = int(timezone.now().timestamp())
    make_token("is-active", comment="plain")
    make_token("is-soon", expire_at=now + 3 * 86_400, allow_in_path=True)
    make_token("is-expired", expire_at=now - 5)
    make_token("is-disabled", enabled=False, expire_at=now - 5)
    make_token("is-used-up", max_uses=1)
    AnswerToken.objects.filter(name="is-used-up").update(
        uses=1, last_used_at=timezone.now() - timedelta(hours=2), last_used_from="10.7.0.9"
    )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"state": "active"}, {"is-active", "is-soon"}),
        ({"state": "expiring"}, {"is-soon"}),
        ({"state": "expired"}, {"is-expired"}),
        ({"state": "disabled"}, {"is-disabled"}),
        ({"state": "used-up"}, {"is-used-up"}),
        ({"mark": "allow_in_path"}, {"is-soon"}),
        ({"mark": "allow_without_secret"}, set()),
        ({"q": "plain"}, {"is-active"}),
    ],
)
def test_tokens_are_filtered_by_their_state(
    admin: User, of_each_state: None, query: dict[str, str], found: set[str]
) -> None:
    text = text_of(admin, "answertoken/", **query)

    assert set(re.findall(r">(is-[a-z-]+)</a>", text)) == found


def test_the_filter_and_the_badge_agree(admin: User, of_each_state: None) -> None:
    states = {token.name: token.state for token in AnswerToken.objects.all()}

    assert states == {
        "is-active": "active",
        "is-soon": "active",
        "is-expired": "expired",
        "is-disabled": "disabled",
        "is-used-up": "used-up",
    }


def test_the_list_says_who_used_a_token_last_and_which_configs_it_opens(
    admin: User, of_each_state: None
) -> None:
    for number in range(5):
        make_config(id=f"config-of-{number}", authorized_tokens=["is-used-up"])

    text = text_of(admin, "answertoken/", state="used-up")

    assert "2 h ago" in text and "10.7.0.9" in text and "1 of 1" in text
    assert "config-of-2" in text and "config-of-3" not in text and ", ..." in text


def test_an_unknown_filter_is_no_error(admin: User, token: Made) -> None:
    response = logged_in(admin).get(LIST, {"state": "sleeping"})

    assert response.status_code == 302


def test_an_empty_list_says_what_to_do_next(admin: User) -> None:
    assert "prepare-iso line" in text_of(admin, "answertoken/")


def test_the_list_runs_the_same_number_of_queries_for_1_and_for_200_tokens(
    admin: User, token: Made
) -> None:
    client = logged_in(admin)
    make_config(id="rack", authorized_tokens=["rack-7"])
    with_one = queries_of(client, f"{LIST}?all=")
    made = AnswerToken.objects.bulk_create(
        AnswerToken(name=f"many-{number}", secret_digest="x", created_by="x")
        for number in range(199)
    )
    config = PreparedConfig.objects.get()
    config.authorized_tokens.add(*made)

    with_many = queries_of(client, f"{LIST}?all=")

    assert AnswerToken.objects.count() == 200
    assert len(with_many) == len(with_one)
