"""Prometheus metrics of operations, read from the database: right with any number of processes."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from operations.models import Operation, OperationTally, Runner
from operations.services import drain, lifecycle
from operations.services.workers import worker_states


class OperationsCollector:
    """Collects at scrape time; a handful of indexed queries whatever the size of the table."""

    def collect(self) -> Iterable[Metric]:
        tallies = list(OperationTally.objects.order_by("kind", "status"))
        yield self.ended(tallies)
        yield self.run_times(tallies)
        yield self.open_operations()
        yield from self.queue()
        workers = GaugeMetricFamily("provisioning_workers", "Workers whose heartbeat is fresh")
        alive = Runner.objects.filter(
            role=Runner.Role.WORKER, heartbeat_at__gt=timezone.now() - Runner.LEASE
        )
        workers.add_metric([], alive.count())
        yield workers
        yield from self.each_worker()
        drained = GaugeMetricFamily(
            "provisioning_drained", "1 while no new operations are taken and started"
        )
        drained.add_metric([], 1.0 if drain.find() else 0.0)
        yield drained

    def each_worker(self) -> Iterable[Metric]:
        labels = ("host", "host_id", "pid")  # host names and pids of containers are often alike
        age = GaugeMetricFamily(
            "provisioning_worker_heartbeat_seconds",
            "Age of each worker's last sign of life",
            labels=labels,
        )
        running = GaugeMetricFamily(
            "provisioning_worker_operations_running",
            "Operations that run at each worker's host",
            labels=labels,
        )
        for state in worker_states():
            values = (state.worker.host_name, state.worker.host_id, str(state.worker.pid))
            age.add_metric(values, state.heartbeat_seconds)
            running.add_metric(values, state.running)
        yield age
        yield running

    def ended(self, tallies: list[OperationTally]) -> Metric:
        family = CounterMetricFamily(
            "provisioning_operations",
            "Operations ended, by kind and status",
            labels=("kind", "status"),
        )
        for tally in tallies:
            family.add_metric([tally.kind, tally.status], tally.count)
        return family

    def run_times(self, tallies: list[OperationTally]) -> Metric:
        family = HistogramMetricFamily(
            "provisioning_operation_run_seconds",
            "Seconds from start to end, by kind and status",
            labels=("kind", "status"),
        )
        for tally in tallies:
            buckets = [
                (str(float(limit)), float(getattr(tally, f"le_{limit}")))
                for limit in OperationTally.BUCKETS
            ]
            family.add_metric(
                [tally.kind, tally.status], [*buckets, ("+Inf", float(tally.count))], tally.seconds
            )
        return family

    def open_operations(self) -> Metric:
        family = GaugeMetricFamily(
            "provisioning_operations_open",
            "Operations that have not ended, by kind and status",
            labels=("kind", "status"),
        )
        rows = (
            Operation.objects.filter(status__in=("pending", "running"))
            .order_by()
            .values_list("kind", "status")
            .annotate(count=Count("pk"))
        )
        for kind, status, count in rows:
            family.add_metric([kind, status], count)
        return family

    def queue(self) -> Iterable[Metric]:
        depth = GaugeMetricFamily("provisioning_queue_depth", "Operations that wait for a runner")
        depth.add_metric([], lifecycle.claimable().count())
        yield depth
        age = GaugeMetricFamily(
            "provisioning_queue_oldest_seconds", "Age of the oldest operation that waits"
        )
        oldest = lifecycle.claimable().values_list("eligible_at", flat=True).first()
        age.add_metric([], (timezone.now() - oldest).total_seconds() if oldest else 0.0)
        yield age
