"""Prepared configs from and to `answer.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from autoinstall.answer_file import AnswerFileError, read_answer_file, write_answer_file
from autoinstall.documents import Errors, Secrets, read
from autoinstall.events import Event
from autoinstall.services import configs
from autoinstall.services.configs import Saved
from provisioning.errors import Invalid

MOST_PROBLEMS = 100
SECRETS = ("root-password", "root-password-hashed")


def import_config(*, text: str, more: Mapping[str, Any], actor: Actor) -> Saved:
    """A new config from the file and what the file cannot say; `more` wins. Raises Invalid with the
    line of each problem; then nothing is imported."""
    try:
        imported = read_answer_file(text)
    except AnswerFileError as error:
        raise _invalid(error) from None
    wire = {**imported.config, **more}
    given = {key: wire.pop(key) for key in SECRETS if key in wire}
    secrets, errors = read(Secrets, given or imported.secrets)
    if secrets is None:
        raise configs.invalid(errors)
    try:
        return configs.create_config(
            document=configs.read_document(wire),
            secrets=secrets,
            actor=actor,
            event_data={"imported": True},
        )
    except Invalid as error:
        of_file = imported.config.keys() - more.keys()
        found: Errors = {
            field: sentences
            for field, sentences in (error.details or {}).items()
            if field.partition(".")[0] in of_file
        }
        if problems := imported.blamed(found):
            raise _invalid(AnswerFileError(problems)) from None
        raise


def _invalid(error: AnswerFileError) -> Invalid:
    refused = Invalid(str(error))
    refused.details = {"answer-file": [str(problem) for problem in error.problems[:MOST_PROBLEMS]]}
    return refused


def export_config(*, name: str, actor: Actor, with_hash: bool = False) -> str:
    """The text of an answer.toml that imports to an equal config. Raises NotFound.

    `with_hash` adds the password's hash: only for a person on the server's own command line.
    """
    with transaction.atomic():
        config = configs.find_config(name)
        audit.record(
            Event.CONFIG_EXPORTED, actor=actor, target=config, data={"with_hash": with_hash}
        )
        return write_answer_file(
            configs.wire_of(config),
            password_hash=config.root_password_hash if with_hash else None,
        )
