"""A token whose secret is known already: images prepared for Datacenter Manager hold one."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import AuditEvent, User
from autoinstall.models import AnswerToken, Attempt
from tests.answers import assert_error, nothing_changes
from tests.autoinstall.factories import ask, make_config
from tests.autoinstall.test_tokens import Api

SECRET = "4b0c2f5e-7f0e-4a52-9d0b-3a6f0e6e0b11"
TOKENS = "/v1/auto-install/tokens"


def test_an_image_with_the_old_secret_gets_its_answer(api: Api, operator: User) -> None:
    answer = api(operator).post(TOKENS, {"id": "old-images", "secret": SECRET}, format="json")
    assert answer.status_code == 201
    assert answer.json()["credential"] == f"old-images:{SECRET}"
    make_config(authorized_tokens=["old-images"])

    assert ask(f"old-images:{SECRET}").status_code == 200
    assert ask(f"old-images:{SECRET}x").status_code == 401


def test_a_given_secret_is_stored_nowhere(api: Api, operator: User) -> None:
    client = api(operator)
    client.post(TOKENS, {"id": "old-images", "secret": SECRET}, format="json")
    ask(f"old-images:{SECRET}")

    rows = [AnswerToken.objects.values(), AuditEvent.objects.values(), Attempt.objects.values()]
    assert SECRET not in str([list(table) for table in rows])
    assert SECRET not in client.get(TOKENS).content.decode()


@pytest.mark.parametrize("secret", ["too-short", "x" * 129, "with a blank " * 3, "ä" * 40, 5, ""])
def test_a_secret_that_breaks_the_rule_is_refused_and_not_shown(
    secret: object, api: Api, operator: User
) -> None:
    client = api(operator)
    with nothing_changes():
        answer = client.post(TOKENS, {"id": "old-images", "secret": secret}, format="json")
    body = assert_error(answer, 400, field="secret")
    assert not secret or str(secret) not in str(body["details"]["secret"])


def test_the_command_takes_it_from_a_file(
    db: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "old-secret"
    file.write_text(f"{SECRET}\n")

    call_command("create_answer_token", "old-images", "--secret-file", str(file))

    assert capsys.readouterr().out.strip() == f"old-images:{SECRET}"
    assert ask(f"old-images:{SECRET}").status_code == 400  # it is good, and no config matches


def test_the_command_refuses_an_empty_file(db: None, tmp_path: Path) -> None:
    file = tmp_path / "old-secret"
    file.touch()

    with pytest.raises(CommandError, match="secret"):
        call_command("create_answer_token", "old-images", "--secret-file", str(file))
    assert not AnswerToken.objects.exists()
