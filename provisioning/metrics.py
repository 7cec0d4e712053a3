"""`/v1/metrics`: what every web process counted, and what the database knows."""

from __future__ import annotations

import os

from django.http import HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from autoinstall.metrics import AutoInstallCollector
from operations.metrics import OperationsCollector

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # set by provisioning.state.share_metrics


def render() -> HttpResponse:
    """All metrics as Prometheus text."""
    registry = CollectorRegistry()
    if os.environ.get(MULTIPROCESS_VARIABLE):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    text = generate_latest(registry if os.environ.get(MULTIPROCESS_VARIABLE) else REGISTRY)
    ours = CollectorRegistry()
    ours.register(OperationsCollector())
    ours.register(AutoInstallCollector())
    return HttpResponse(text + generate_latest(ours), content_type=CONTENT_TYPE_LATEST)
