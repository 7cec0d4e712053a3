"""The state machine of operations under random interleavings of everybody who acts on it.

Each rule is one act of a client, a runner or time; any runner may act at any time, also one whose lease
has expired and whose work was taken over. After each act the invariants hold.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.actor import Actor
from accounts.models import AuditEvent, Workspace
from operations.commands import Kind
from operations.models import Operation, OperationTally, Runner, WorkspaceLock
from operations.services import lifecycle, locking
from operations.services.ending import EVENTS, Ending
from operations.services.submit import submit_operation
from operations.services.workflows import submit_workflow
from provisioning.errors import Conflict

LIMIT = 3
ACTOR, KEEPER = Actor(name="somebody"), Actor(name="keeper")
Status = Operation.Status
OPEN = (Status.PENDING, Status.RUNNING)
ENDINGS = (
    Ending(Status.COMPLETED, None, 0, result={"hostname": "from-the-cli"}),
    Ending(Status.COMPLETED, None, 0),
    Ending(Status.FAILED, Operation.Reason.EXIT, 3, error="no"),
    Ending(Status.FAILED, Operation.Reason.LOST, error="gone"),
    Ending(Status.CANCELLED, Operation.Reason.CANCELLED_BY_USER, error="stopped"),
)
HOSTNAMES = ("web-01", "")
policies = st.sampled_from(Workspace.ConcurrencyPolicy.values)
numbers = st.integers(0, 1_000_000)


@dataclass(frozen=True)
class Lease:
    """What a runner believes it holds: the operation as it saw it, under the token it was given."""

    operation: Operation
    token: int


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.workspaces = {
            policy: Workspace.objects.create(name=policy, concurrency_policy=policy)
            for policy in Workspace.ConcurrencyPolicy.values
        }
        self.runners = [make_runner(host) for host in ("one", "one", "two")]
        self.leases: list[Lease] = []
        self.seen: list[Operation] = []  # running ones as an adopter once read them
        self.ended: dict[Any, tuple[Any, ...]] = {}
        self.tokens: dict[Any, int] = {}

    def teardown(self) -> None:
        """Whatever happened, everything still comes to its end."""
        try:
            self.come_to_the_end()
        finally:
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    # --- Clients -------------------------------------------------------------------------------

    @rule(
        policy=policies,
        kind=st.sampled_from([Kind.SERVER_CREATE, Kind.SERVER_DELETE]),
        hostname=st.sampled_from(HOSTNAMES),
        check_mode=st.sampled_from([False, False, False, True]),
    )
    def submit(self, policy: str, kind: Kind, hostname: str, check_mode: bool) -> None:
        workspace = self.workspaces[policy]
        name = hostname or ("web-03" if kind == Kind.SERVER_DELETE else "")
        lock = f"server {name}" if name and not check_mode else ""
        same = Operation.objects.filter(workspace=workspace, lock=lock).exclude(lock="")
        is_refused = not check_mode and (
            is_kept(workspace) or (policy == "reject" and same.filter(status__in=OPEN).exists())
        )
        try:
            operation = submit_operation(
                actor=ACTOR,
                kind=kind,
                workspace=workspace,
                params=params_of(kind, name),
                check_mode=check_mode,
            )
        except Conflict:
            assert is_refused
            return
        assert not is_refused
        assert operation.lock == lock
        if policy == "supersede" and lock:
            queued = same.filter(status=Status.PENDING, workflow=None)
            assert list(queued) == [operation]

    @rule(
        policy=policies,
        hostnames=st.lists(st.sampled_from(HOSTNAMES), min_size=1, max_size=3),
        is_chain=st.booleans(),
        on_failure=st.sampled_from(["rollback", "fail", "continue"]),
        attempts=st.integers(1, 2),
        parallel_limit=st.sampled_from([None, 1]),
    )
    def submit_workflow(
        self,
        policy: str,
        hostnames: list[str],
        is_chain: bool,
        on_failure: str,
        attempts: int,
        parallel_limit: int | None,
    ) -> None:
        body: dict[str, Any] = {
            "name": "w",
            "steps": [
                {
                    "id": f"s{number}",
                    "kind": "server_create",
                    "params": params_of(Kind.SERVER_CREATE, hostname),
                    "depends_on": [f"s{number - 1}"] if is_chain and number else [],
                    "on_failure": on_failure,
                    "retry": {"max_attempts": attempts, "delay_seconds": 60.0},
                }
                for number, hostname in enumerate(hostnames)
            ],
        }
        if parallel_limit:
            body["parallel_limit"] = parallel_limit
        before = Operation.objects.count()
        try:
            submit_workflow(actor=ACTOR, workspace=self.workspaces[policy], body=body)
        except Conflict:
            assert Operation.objects.count() == before
            assert policy == "reject" or is_kept(self.workspaces[policy])

    @precondition(lambda self: Operation.objects.exists())
    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        operation = pick(Operation.objects.order_by("id"), number)
        was = operation.status
        try:
            after = lifecycle.cancel_operation(operation=operation, actor=ACTOR)
        except Conflict:
            assert was in Operation.FINAL
            return
        assert was in OPEN
        if was == Status.RUNNING:
            assert after.cancel_requested_at is not None
        elif operation.kind != Kind.WORKFLOW:
            assert after.status == Status.CANCELLED

    @rule(policy=policies, is_wanted=st.sampled_from([False, False, True]))
    def keep_or_give_back(self, policy: str, is_wanted: bool) -> None:
        workspace = self.workspaces[policy]
        if is_kept(workspace):
            locking.unlock_workspace(workspace=workspace, actor=ACTOR, force=True)
        elif is_wanted:
            locking.lock_workspace(workspace=workspace, reason="mine", actor=KEEPER)

    # --- Runners, those that are believed dead included ----------------------------------------

    @rule(which=st.integers(0, 2))
    def claim(self, which: int) -> None:
        due = list(lifecycle.claimable())
        room = LIMIT - lifecycle.running().count()
        claimed = lifecycle.claim_operations(runner=self.runners[which])
        assert claimed == due[: max(room, 0)]
        for operation in claimed:
            earlier = Operation.objects.filter(
                workspace=operation.workspace, lock=operation.lock, pk__lt=operation.pk
            ).exclude(lock="")
            waiting = earlier.filter(
                status=Status.PENDING, is_ready=True, eligible_at__lte=timezone.now()
            )
            assert not waiting.exists()
            assert operation.check_mode or not is_kept(operation.workspace)
            self.note_lease(operation)

    @rule(which=st.integers(0, 2))
    def look_for_orphans(self, which: int) -> None:
        self.seen += lifecycle.adoptable(host_id=self.runners[which].host_id)

    @precondition(lambda self: self.seen)
    @rule(which=st.integers(0, 2), number=numbers)
    def adopt(self, which: int, number: int) -> None:
        """What was seen may be another's by now."""
        operation = copy.copy(self.seen[number % len(self.seen)])
        now = Operation.objects.get(pk=operation.pk)
        is_unchanged = now.status == Status.RUNNING and now.fencing_token == operation.fencing_token
        won = lifecycle.adopt_operation(operation=operation, runner=self.runners[which])
        assert won == is_unchanged
        if won:
            self.note_lease(operation)

    @precondition(lambda self: self.leases)
    @rule(number=numbers, ending=st.sampled_from(ENDINGS))
    def finish(self, number: int, ending: Ending) -> None:
        """Also under a token that is stale, and twice."""
        self.finish_lease(self.leases[number % len(self.leases)], ending)

    @rule(which=st.integers(0, 2))
    def expire(self, which: int) -> None:
        Runner.objects.filter(pk=self.runners[which].pk).update(
            heartbeat_at=timezone.now() - 2 * Runner.LEASE
        )

    @rule(which=st.integers(0, 2))
    def beat(self, which: int) -> None:
        self.runners[which].heartbeat_at = timezone.now()
        self.runners[which].save()

    @rule(which=st.integers(0, 2))
    def replace(self, which: int) -> None:
        Runner.objects.filter(pk=self.runners[which].pk).delete()
        self.runners[which] = make_runner(self.runners[which].host_id)

    @rule()
    def let_retries_come_due(self) -> None:
        Operation.objects.filter(status=Status.PENDING).update(
            eligible_at=timezone.now() - timedelta(seconds=1)
        )

    # --- What always holds ---------------------------------------------------------------------

    @invariant()
    def everything_is_consistent(self) -> None:
        rows = list(Operation.objects.all())
        self.check_the_ended(rows)
        self.check_the_running(rows)
        check_workflows(rows)

    def check_the_ended(self, rows: list[Operation]) -> None:
        """An end is final, has one event, and is counted once."""
        for row in rows:
            assert (row.finished_at is not None) == row.is_final
            told = (row.status, row.reason, row.exit_code, row.result, row.error, row.finished_at)
            if row.is_final:
                assert self.ended.setdefault(row.pk, told) == told
            else:
                assert row.pk not in self.ended
        events = Counter(
            AuditEvent.objects.filter(event__in=EVENTS.values()).values_list("target_id", "event")
        )
        final = [row for row in rows if row.is_final]
        assert events == Counter((str(row.pk), EVENTS[Status(row.status)]) for row in final)
        tally = {(row.kind, row.status): row.count for row in OperationTally.objects.all()}
        assert Counter(tally) == Counter((row.kind, row.status) for row in final)

    def check_the_running(self, rows: list[Operation]) -> None:
        """Never above the limit, one with a lock, tokens only rise."""
        running = [row for row in rows if row.status == "running" and row.kind != Kind.WORKFLOW]
        assert len(running) <= LIMIT
        locks = Counter((row.workspace_id, row.lock) for row in running if row.lock)
        assert not locks or max(locks.values()) == 1
        for row in rows:
            assert row.fencing_token == self.tokens.get(row.pk, 0)

    # --- Helpers -------------------------------------------------------------------------------

    def note_lease(self, operation: Operation) -> None:
        assert operation.status == Status.RUNNING
        assert operation.fencing_token == self.tokens.get(operation.pk, 0) + 1
        self.tokens[operation.pk] = operation.fencing_token
        self.leases.append(Lease(copy.copy(operation), operation.fencing_token))

    def finish_lease(self, lease: Lease, ending: Ending) -> None:
        before = Operation.objects.get(pk=lease.operation.pk)
        holds = before.status == Status.RUNNING and before.fencing_token == lease.token
        won = lifecycle.finish_operation(
            operation=copy.copy(lease.operation), token=lease.token, ending=ending
        )
        assert won == holds
        after = Operation.objects.get(pk=before.pk)
        if won:
            assert (after.status, after.exit_code) == (ending.status, ending.exit_code)
        else:
            assert (after.status, after.updated_at) == (before.status, before.updated_at)

    def come_to_the_end(self) -> None:
        for workspace in self.workspaces.values():
            if is_kept(workspace):
                locking.unlock_workspace(workspace=workspace, actor=ACTOR, force=True)
        endings = itertools.cycle(ENDINGS)
        for _ in range(200):
            self.let_retries_come_due()
            self.claim(0)
            for lease in self.leases:
                if self.tokens[lease.operation.pk] == lease.token:
                    self.finish_lease(lease, next(endings))
            self.leases.clear()
            self.everything_is_consistent()
            if not Operation.objects.filter(status__in=OPEN).exists():
                return
        left = Operation.objects.filter(status__in=OPEN).values("kind", "status", "lock")
        raise AssertionError(f"it never ends: {list(left)}")


def check_workflows(rows: list[Operation]) -> None:
    """A workflow has begun with the first of its steps, and ends with the last."""
    steps: dict[Any, list[Operation]] = defaultdict(list)
    for row in rows:
        steps[row.workflow_id].append(row)
    for workflow in rows:
        if workflow.kind != Kind.WORKFLOW:
            continue
        mine = steps[workflow.pk]
        if workflow.is_final:
            assert all(step.is_final for step in mine)
        else:
            assert any(not step.is_final for step in mine)
            has_begun = any(step.started_at for step in mine)
            assert (workflow.status == Status.RUNNING) == has_begun


def make_runner(host_id: str) -> Runner:
    return Runner.objects.create(
        role=Runner.Role.TURN, host_id=host_id, host_name=host_id, boot_id="b", pid=1, pid_started=1
    )


def params_of(kind: Kind, hostname: str) -> dict[str, Any]:
    params = {} if kind == Kind.SERVER_DELETE else {"provider": "p", "plan": "q"}
    return params | ({"hostname": hostname} if hostname else {})


def is_kept(workspace: Workspace | None) -> bool:
    return WorkspaceLock.objects.filter(workspace=workspace).exists()


def pick(rows: Any, number: int) -> Operation:
    found: Operation = rows[number % rows.count()]
    return found


@pytest.mark.django_db
def test_no_interleaving_breaks_the_state_machine(settings: Any, is_long: bool) -> None:
    settings.MAX_CONCURRENT_OPERATIONS = LIMIT
    run_state_machine_as_test(
        Machine,
        settings=hypothesis_settings(
            max_examples=300 if is_long else 8,
            stateful_step_count=50 if is_long else 30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
