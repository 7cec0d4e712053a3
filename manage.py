#!/usr/bin/env python3
"""Django's command line for Provisioning Server: maintenance, `serve` and `worker`."""

from __future__ import annotations

import os
import sys

from provisioning import config, state


def main() -> None:
    """Run one management command; a configuration that is wrong ends it with one sentence."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "provisioning.settings")
    try:
        if sys.argv[1:2] == ["serve"]:
            state.share_metrics(state.prepare_state_dir(config.current().values.state_dir))
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except config.ConfigError as error:
        sys.exit(f"provisioning-server: {error}")


if __name__ == "__main__":
    main()
