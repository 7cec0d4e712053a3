"""Prometheus metrics of auto-install: requests counted where they are answered, installations read
from the database."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone
from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

from autoinstall.models import AnswerToken, Attempt, PreparedConfig

ANSWERS = Histogram(
    "provisioning_answer_seconds", "Seconds to answer an installer, by HTTP status", ("status",)
)
REPORTS = Histogram(
    "provisioning_post_hook_seconds", "Seconds to take an installation's report", ("status",)
)


class AutoInstallCollector:
    """Collects at scrape time."""

    def collect(self) -> Iterable[Metric]:
        waiting = Attempt.objects.filter(status=Attempt.Status.IN_PROGRESS)
        overdue = waiting.filter(deadline_at__lte=timezone.now()).count()
        installations = GaugeMetricFamily(
            "provisioning_installations_open",
            "Installations that have not reported back, by state",
            labels=("state",),
        )
        installations.add_metric(["in-progress"], waiting.count() - overdue)
        installations.add_metric([Attempt.TIMED_OUT], overdue)
        yield installations
        for name, text, count in (
            ("provisioning_answer_tokens", "Answer tokens", AnswerToken.objects.count()),
            ("provisioning_prepared_configs", "Prepared configs", PreparedConfig.objects.count()),
        ):
            family = GaugeMetricFamily(name, text)
            family.add_metric([], count)
            yield family
