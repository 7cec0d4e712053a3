"""What django-q2 runs, by these dotted names."""

from __future__ import annotations

from operations import runner, sync

# Bursts and people come in quick succession; an idle turn costs nothing.
LINGER_SECONDS = 20.0


def run_pending() -> None:
    """One turn of the runner."""
    runner.run_turn(linger=LINGER_SECONDS)


def sync_inventory() -> None:
    """Bring the inventory up to date with the CLI's lists."""
    sync.sync_all()
