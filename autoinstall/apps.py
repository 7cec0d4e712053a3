from __future__ import annotations

from django.apps import AppConfig


class AutoinstallConfig(AppConfig):
    name = "autoinstall"
    verbose_name = "Auto-install"
