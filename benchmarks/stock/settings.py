"""django-q2 as it comes, for comparison: ORM broker, defaults everywhere else."""

from __future__ import annotations

import os

SECRET_KEY = "a benchmark has no secrets"  # noqa: S105
INSTALLED_APPS = ["django_q"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["STOCK_DATABASE"]}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
Q_CLUSTER = {"name": "stock", "orm": "default", "timeout": 60, "retry": 120, "workers": 2}
