"""Fill the database that the environment names: `python -m benchmarks.catalogue.fill CONFIGS`.

Rows in the shape that `autoinstall.services.configs` gives them, but all at once: one call of the
service for each would take minutes. Prints the answer token's `id:secret`.
"""

from __future__ import annotations

import sys

import django

django.setup()

from django.db import transaction  # noqa: E402 - needs Django set up

from accounts.actor import Actor  # noqa: E402
from autoinstall import models  # noqa: E402
from autoinstall.documents import TokenCreate  # noqa: E402
from autoinstall.services import configs, tokens  # noqa: E402
from benchmarks.catalogue import machines  # noqa: E402
from provisioning import bootstrap  # noqa: E402

BATCH = 500


def main(count: int) -> None:
    """The configs 0 (a storm's) to `count` - 1."""
    bootstrap.migrate()
    wanted = TokenCreate.model_validate({"id": "bench"})
    token, secret = tokens.create_token(wanted=wanted, actor=Actor(name="bench"))
    with transaction.atomic():
        rows = [row_of(number) for number in range(count)]
        rows = models.PreparedConfig.objects.bulk_create(rows, BATCH)
        models.AuthorizedToken.objects.bulk_create(
            [models.AuthorizedToken(config=row, token=token) for row in rows], BATCH
        )
        models.TemplateCounter.objects.bulk_create(
            [models.TemplateCounter(config=row, name=machines.COUNTER, value=1) for row in rows],
            BATCH,
        )
    print(f"{token.name}:{secret}")


def row_of(number: int) -> models.PreparedConfig:
    document = configs.read_document(machines.config(number))
    kept = {key: value for key, value in document.wire().items() if key not in configs.APART}
    return models.PreparedConfig(name=document.id, document=kept, root_password_hash=machines.HASH)


main(int(sys.argv[1]))
