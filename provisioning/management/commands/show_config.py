from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from provisioning import config


class Command(BaseCommand):
    help = "Print the effective configuration and where each value comes from; secrets are masked."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        rows = config.current().masked()
        key_width = max(len(key) for key, _, _ in rows)
        value_width = min(max(len(value) for _, value, _ in rows), 60)
        for key, value, origin in rows:
            self.stdout.write(f"{key:<{key_width}}  {value:<{value_width}}  {origin}")
