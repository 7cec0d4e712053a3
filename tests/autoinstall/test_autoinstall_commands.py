"""The management commands of auto-install: what they change, what they print, how they refuse."""

from __future__ import annotations

import io
import json
import sys
import time
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import AuditEvent
from autoinstall.models import (
    AnswerToken,
    Attempt,
    AuthorizedToken,
    HeldValue,
    PreparedConfig,
)
from tests.answers import nothing_changes, one_event
from tests.autoinstall.factories import (
    STATIC,
    ask,
    machine,
    make_config,
    make_token,
    password_hash,
    system_info,
)
from tests.autoinstall.test_answer_files_api import ANSWER

Made = tuple[AnswerToken, str]
FILTER = "/dmi/system/serial=SN-*"


def run(*arguments: object) -> tuple[str, str]:
    """What the command writes to standard output, and to standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*[str(argument) for argument in arguments], stdout=out, stderr=err)
    return out.getvalue().strip("\n"), err.getvalue().strip("\n")


def refused(*arguments: object) -> str:
    """The one line with which the command ends, having changed nothing and printed nothing."""
    out = io.StringIO()
    with nothing_changes(), pytest.raises(CommandError) as error:
        call_command(*[str(argument) for argument in arguments], stdout=out)
    assert out.getvalue() == ""
    sentence = str(error.value)
    assert sentence and "\n" not in sentence
    return sentence


@pytest.fixture
def answer_file(tmp_path: Path) -> Path:
    path = tmp_path / "answer.toml"
    path.write_text(ANSWER)
    return path


@pytest.fixture
def info_file(tmp_path: Path) -> Path:
    path = tmp_path / "info.json"
    path.write_text(json.dumps(system_info()))
    return path


class Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


# --- create_answer_token -----------------------------------------------------------------------


def test_create_answer_token_prints_the_credential_and_nothing_else(db: None) -> None:
    with one_event(event="answer-token.created", actor_name="command-line", target_name="rack-7"):
        said, _ = run("create_answer_token", "rack-7")

    name, _, secret = said.partition(":")
    assert (name, len(secret)) == ("rack-7", 36)
    row = AnswerToken.objects.get()
    assert (row.created_by, row.expire_at, row.comment) == ("command-line", None, None)
    make_config(authorized_tokens=["rack-7"])
    assert ask(said).status_code == 200


def test_create_answer_token_takes_the_limits_of_a_token(db: None) -> None:
    before = int(time.time())

    run(
        *("create_answer_token", "rack-7", "--comment", "Row B", "--expires-days", 2),
        *("--max-uses", 40, "--source-cidr", "10.7.0.0/24", "--source-cidr", "2001:db8::/64"),
        *("--allow-in-path", "--allow-without-secret"),
    )

    row = AnswerToken.objects.get()
    assert (row.comment, row.max_uses, row.allow_in_path, row.allow_without_secret) == (
        "Row B",
        40,
        True,
        True,
    )
    assert row.source_cidrs == ["10.7.0.0/24", "2001:db8::/64"]
    assert row.expire_at is not None
    assert 0 <= row.expire_at - before - 2 * 86400 <= 60


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a b"], "id: 'a b' must"),
        (["ab"], "id: must have at least 3 characters"),
        (["taken"], "taken"),
        (["abc", "--expires-days", "0"], "--expires-days is 0: it must be from 1 to 36500."),
        (["abc", "--max-uses", "0"], "max-uses: must be at least 1"),
        (["abc", "--source-cidr", "rack"], "'rack' is no network"),
        (["abc", "--allow-without-secret"], "needs source-cidrs"),
    ],
)
def test_create_answer_token_refuses_in_one_line(
    arguments: list[str], words: str, db: None
) -> None:
    make_token("taken")

    assert words in refused("create_answer_token", *arguments)


# --- import_answer -----------------------------------------------------------------------------


def test_import_answer_makes_a_config_and_a_token(db: None, answer_file: Path) -> None:
    said, _ = run("import_answer", answer_file, "--id", "rack", "--filter", FILTER)

    first, second = said.splitlines()
    assert first == "Imported as rack."
    credential = second.removeprefix("Its new answer token: ")
    config = PreparedConfig.objects.get()
    assert config.document["target-filter"] == {"/dmi/system/serial": "SN-*"}
    assert ask(credential).json()["global"]["fqdn"] == "pve7.example.com"
    event = AuditEvent.objects.get(event="prepared-config.created")
    assert event.actor_name == "command-line"


def test_import_answer_takes_what_the_file_cannot_say(token: Made, answer_file: Path) -> None:
    make_token("second")

    said, _ = run(
        *("import_answer", answer_file, "--id", "rack", "--default"),
        *("--token", "second", "--token", "rack-7"),
        *("--set", 'template-counters={"nr": 7}', "--set", "priority=5", "--set", 'country="de"'),
    )

    assert said == "Imported as rack."
    config = PreparedConfig.objects.get()
    assert (config.is_default, config.priority, config.document["country"]) == (True, 5, "de")
    assert list(config.counters.values_list("name", "value")) == [("nr", 7)]
    names = AuthorizedToken.objects.order_by("id").values_list("token__name", flat=True)
    assert list(names) == ["second", "rack-7"]


def test_import_answer_reads_standard_input(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(ANSWER.encode()))

    assert "Imported as rack." in run("import_answer", "-", "--id", "rack", "--filter", FILTER)[0]


def test_import_answer_tells_warnings_apart_from_its_output(token: Made, answer_file: Path) -> None:
    make_config(id="other", authorized_tokens=["rack-7"])
    arguments = ("import_answer", answer_file, "--id", "rack", "--filter", FILTER)

    said, warned = run(*arguments, "--token", "rack-7")

    assert said == "Imported as rack."
    assert warned.startswith("Warning: target-filter:")
    assert "other" in warned


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "id: is missing"),
        (("--id", "rack"), "target-filter"),
        (("--id", "taken", "--filter", FILTER), "taken"),
        (("--id", "rack", "--filter", "/dmi"), "--filter '/dmi' has no '='."),
        (("--id", "rack", "--filter", "dmi=x"), "'dmi'"),
        (("--id", "rack", "--set", "priority"), "--set 'priority' has no '='."),
        (("--id", "rack", "--set", "priority=high"), "'high' is not JSON"),
        (("--id", "rack", "--filter", FILTER, "--set", "colour=5"), "colour: is no field"),
        (("--id", "rack", "--filter", FILTER, "--token", "nobody"), "'nobody'"),
    ],
)
def test_import_answer_refuses_in_one_line(
    arguments: tuple[str, ...], words: str, db: None, answer_file: Path
) -> None:
    make_config(id="taken")

    assert words in refused("import_answer", answer_file, *arguments)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ANSWER.replace('"at"', '"xx"').encode(), "line 2, global.country: 'xx'"),
        (b"[global", "line 1"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"", "global"),
    ],
)
def test_import_answer_names_what_is_wrong_in_the_file(
    data: bytes, words: str, db: None, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(data)

    assert words in refused("import_answer", path, "--id", "rack", "--filter", FILTER)


def test_import_answer_names_a_misspelt_key_and_its_line(
    db: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the key that is missing for it comes first."""
    path = tmp_path / "wrong.toml"
    path.write_text(ANSWER.replace("country", "contry"))
    err = io.StringIO()

    with nothing_changes(), pytest.raises(CommandError) as error:
        call_command("import_answer", str(path), "--id", "rack", "--filter", FILTER, stderr=err)

    said = f"{error.value} {err.getvalue()} {capsys.readouterr().err}"
    assert "line 2, global.contry: the installer knows no 'contry'" in said


def test_a_file_that_is_not_there_is_named(db: None, tmp_path: Path) -> None:
    missing = tmp_path / "missing"

    for arguments in (("import_answer", missing), ("explain_answer", missing)):
        assert f"{missing} cannot be read: No such file" in refused(*arguments)


# --- export_answer -----------------------------------------------------------------------------


def test_export_answer_prints_the_file_without_the_password(token: Made) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"], **STATIC)

    with one_event(
        event="prepared-config.exported",
        actor_name="command-line",
        target_name="rack",
        data={"with_hash": False},
    ):
        said, _ = run("export_answer", "rack")

    assert tomllib.loads(said)["network"]["cidr"] == "10.7.0.10/24"
    assert password_hash() not in said


def test_export_answer_adds_the_hash_only_when_told_so(token: Made) -> None:
    make_config(id="rack", authorized_tokens=["rack-7"])

    with one_event(event="prepared-config.exported", data={"with_hash": True}):
        said, _ = run("export_answer", "rack", "--with-password-hash")

    assert tomllib.loads(said)["global"]["root-password-hashed"] == password_hash()


def test_export_and_import_give_the_same_config(token: Made, tmp_path: Path) -> None:
    make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        **STATIC,
        template_counters={"n": 3},
        priority=4,
    )
    before = PreparedConfig.objects.values("name", "priority", "document").get()
    path = tmp_path / "answer.toml"
    path.write_text(run("export_answer", "rack", "--with-password-hash")[0])
    PreparedConfig.objects.all().delete()

    assert run("import_answer", path)[0] == "Imported as rack."

    after = PreparedConfig.objects.get()
    assert PreparedConfig.objects.values("name", "priority", "document").get() == before
    assert after.root_password_hash == password_hash()


def test_export_answer_of_nothing_is_one_line(db: None) -> None:
    assert refused("export_answer", "nobody") == "There is no prepared config 'nobody'."


# --- render_answer -----------------------------------------------------------------------------


@pytest.fixture
def rack(token: Made) -> PreparedConfig:
    return make_config(
        id="rack",
        authorized_tokens=["rack-7"],
        fqdn="pve{{ nr }}.example.com",
        template_counters={"nr": 5},
        post_hook_base_url="https://p.example.com",
        target_filter={"/dmi/system/serial": "SN-0001"},
    ).config


@pytest.mark.parametrize("format_", ["toml", "json"])
def test_render_answer_prints_the_answer_with_its_secrets_masked(
    format_: str, rack: PreparedConfig, info_file: Path
) -> None:
    with nothing_changes():
        said, _ = run("render_answer", "rack", info_file, "--format", format_)

    found: Any = (tomllib if format_ == "toml" else json).loads(said)
    assert found["global"]["fqdn"] == "pve5.example.com"
    assert found["global"]["root-password-hashed"] == "********"
    assert found["post-installation-webhook"]["url"].startswith("https://p.example.com/")
    assert password_hash() not in said


def test_render_answer_does_not_ask_whether_the_machine_matches(
    rack: PreparedConfig, tmp_path: Path
) -> None:
    path = tmp_path / "info.json"
    path.write_text(json.dumps(system_info(serial="ANOTHER")))

    assert "pve5.example.com" in run("render_answer", "rack", path)[0]


def test_render_answer_shows_the_number_that_a_machine_holds(
    rack: PreparedConfig, token: Made, tmp_path: Path
) -> None:
    ask(token[1])
    path = tmp_path / "info.json"
    path.write_text(json.dumps(system_info()))
    other = tmp_path / "other.json"
    other.write_text(json.dumps(machine(9)))

    assert "pve5.example.com" in run("render_answer", "rack", path)[0]
    assert "pve6.example.com" in run("render_answer", "rack", other)[0]


@pytest.mark.parametrize(
    ("config", "text", "words"),
    [
        ("nobody", json.dumps(system_info()), "There is no prepared config 'nobody'."),
        ("rack", "{", "not valid JSON"),
        ("rack", "[]", "must be a JSON object"),
        ("rack", "{}", "product"),
    ],
)
def test_render_answer_refuses_in_one_line(
    config: str, text: str, words: str, rack: PreparedConfig, tmp_path: Path
) -> None:
    path = tmp_path / "info.json"
    path.write_text(text)

    assert words in refused("render_answer", config, path)


def test_render_answer_of_a_failing_template_says_why(token: Made, info_file: Path) -> None:
    make_config(id="rack", fqdn="{{ dmi.system.nothing }}.example.com")

    assert "fqdn" in refused("render_answer", "rack", info_file)


def test_render_answer_for_an_installer_that_is_too_old_says_why(
    rack: PreparedConfig, tmp_path: Path
) -> None:
    path = tmp_path / "info.json"
    path.write_text(json.dumps(system_info(release="8.2")))

    assert "8.2" in refused("render_answer", "rack", path)


# --- explain_answer ----------------------------------------------------------------------------


def test_explain_answer_says_who_wins_and_why(rack: PreparedConfig, info_file: Path) -> None:
    make_config(id="other", target_filter={"/dmi/system/serial": "NO-*"})

    with nothing_changes():
        said, _ = run("explain_answer", info_file)

    lines = said.splitlines()
    assert "rack: matches" in lines
    assert "other: no match" in lines
    assert any(line.startswith("  + /dmi/system/serial = SN-0001:") for line in lines)
    assert any(line.startswith("  - /dmi/system/serial = NO-*:") for line in lines)
    assert any(line.startswith("rack is the first that matches.") for line in lines)
    assert 'fqdn = "pve5.example.com"' in lines
    assert password_hash() not in said


def test_explain_answer_reads_a_past_attempt(rack: PreparedConfig, token: Made) -> None:
    ask(token[1], system_info(serial="UNKNOWN"))

    said, _ = run("explain_answer", "--attempt", Attempt.objects.get().pk)

    assert "rack: no match" in said
    assert "No config matches, and there is no default." in said


def test_explain_answer_knows_what_a_token_may_fetch(rack: PreparedConfig, info_file: Path) -> None:
    make_token("other")

    said, _ = run("explain_answer", info_file, "--token", "other")

    assert "rack: matches (not for this token)" in said
    assert "no default for the token other." in said


def test_explain_answer_tells_everything_as_json(rack: PreparedConfig, info_file: Path) -> None:
    found = json.loads(run("explain_answer", info_file, "--json")[0])

    assert found["winner"] == "rack"
    assert found["answer"]["counters"] == {"nr": 5}
    assert found["answer"]["json"]["global"]["root-password-hashed"] == "********"


def test_explain_answer_reads_standard_input(
    rack: PreparedConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(json.dumps(system_info()).encode()))

    assert "rack: matches" in run("explain_answer", "-")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Give a file or --attempt, one of them."),
        (("{file}", "--attempt", "x"), "Give a file or --attempt, one of them."),
        (("--attempt", "x"), "'x' is no id of an attempt"),
        (("--attempt", "0192f0c4-0000-7000-8000-000000000000"), "there is no attempt"),
        (("{file}", "--token", "nobody"), "there is no answer token 'nobody'"),
    ],
)
def test_explain_answer_refuses_in_one_line(
    arguments: tuple[str, ...], words: str, rack: PreparedConfig, info_file: Path
) -> None:
    given = [argument.format(file=info_file) for argument in arguments]

    assert words in refused("explain_answer", *given)


def test_explain_answer_refuses_an_unknown_token_where_there_is_no_config_either(
    db: None, info_file: Path
) -> None:
    assert "'nobody'" in refused("explain_answer", info_file, "--token", "nobody")


# --- prune_installations -----------------------------------------------------------------------


def asked(credential: str, number: int, days: int) -> Attempt:
    """An attempt of so many days ago."""
    ask(credential, machine(number))
    row = Attempt.objects.order_by("-id")[0]
    Attempt.objects.filter(pk=row.pk).update(received_at=timezone.now() - timedelta(days=days))
    return row


def test_prune_installations_deletes_what_is_old_and_nothing_else(token: Made) -> None:
    make_config(authorized_tokens=["rack-7"], template_counters={"n": 0})
    asked(token[1], 1, 366)
    young = asked(token[1], 2, 364)
    ask("rack-7:wrong", REMOTE_ADDR="192.0.2.9")
    Attempt.objects.filter(outcome="refused").update(
        received_at=timezone.now() - timedelta(days=400)
    )

    with nothing_changes():
        assert run("prune_installations", "--dry-run")[0] == "Would delete 2 attempts."
    with one_event(event="installations.pruned", actor_name="command-line"):
        assert run("prune_installations")[0] == "Deleted 2 attempts."

    assert list(Attempt.objects.all()) == [young]
    assert HeldValue.objects.count() == 2


def test_prune_installations_keeps_what_awaits_its_report(token: Made) -> None:
    make_config(authorized_tokens=["rack-7"], post_hook_base_url="https://p.example.com")
    awaiting = asked(token[1], 1, 400)
    overdue = asked(token[1], 2, 400)
    Attempt.objects.filter(pk=overdue.pk).update(deadline_at=timezone.now() - timedelta(days=399))

    assert run("prune_installations", "--days", 1)[0] == "Deleted 1 attempts."

    assert list(Attempt.objects.all()) == [awaiting]


def test_prune_installations_with_nothing_to_do_writes_no_event(db: None) -> None:
    with nothing_changes():
        assert run("prune_installations")[0] == "Deleted 0 attempts."


@pytest.mark.parametrize("days", ["-1", "36501"])
def test_prune_installations_refuses_senseless_days(days: str, db: None) -> None:
    assert f"--days is {days}" in refused("prune_installations", "--days", days)
