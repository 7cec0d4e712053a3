"""The project's own apps: the console (Django's admin under our name) and the wiring itself."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.utils.module_loading import autodiscover_modules


class ConsoleConfig(admin_apps.SimpleAdminConfig):
    default_site = "accounts.console.ConsoleSite"

    def ready(self) -> None:
        super().ready()
        self.module.autodiscover()  # type: ignore[union-attr]  # django.contrib.admin
        autodiscover_modules("overview")  # each app's part of the home page


class ProvisioningConfig(AppConfig):
    name = "provisioning"

    def ready(self) -> None:
        from provisioning import checks  # noqa: F401 - registers the checks
