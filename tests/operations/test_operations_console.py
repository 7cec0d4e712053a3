"""Operations in the console: the list, the page of one, its log, and what is done to it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEvent, Role, RoleBinding, User, Workspace
from operations import following
from operations.models import Operation, OperationLog
from provisioning.identifiers import first_id_at
from tests.factories import bind, make_operation, make_user, make_workspace

LIST = "/admin/operations/operation/"


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(operation: Operation, route: str = "change/") -> str:
    return f"{LIST}{operation.pk}/{route}"


def html(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def text_of(answer: Any) -> str:
    assert isinstance(answer, StreamingHttpResponse)
    return b"".join(answer.streaming_content).decode()  # type: ignore[arg-type]  # not async here


def end(operation: Operation, status: str = "completed", **values: Any) -> Operation:
    now = timezone.now()
    Operation.objects.filter(pk=operation.pk).update(
        status=status, **{"started_at": now, "finished_at": now} | values
    )
    operation.refresh_from_db()
    return operation


def write_log(operation: Operation, *pieces: tuple[str, bytes]) -> None:
    offsets = {"stdout": 0, "stderr": 0}
    total = 0
    for stream, data in pieces:
        OperationLog.objects.create(
            operation=operation,
            stream=stream,
            offset=total,
            stream_offset=offsets[stream],
            data=data,
        )
        offsets[stream] += len(data)
        total += len(data)


def named(workspace: Workspace, hostname: str, **more: Any) -> Operation:
    params = {"hostname": hostname, "provider": "p", "plan": "q"}
    return make_operation(workspace, params=params, **more)


def denials(user: User) -> int:
    return AuditEvent.objects.filter(event="access.denied", actor=user).count()


# --- The list ----------------------------------------------------------------------------------


def queries_of(client: Client, path: str) -> int:
    html(client, path)  # the first request of a session notes when it began
    with CaptureQueriesContext(connection) as queries:
        html(client, path)
    return len(queries)


def test_the_list_asks_as_often_for_200_rows_as_for_one(
    operator: User, workspace: Workspace
) -> None:
    client = logged_in(operator)
    named(workspace, "web-1")
    few = queries_of(client, LIST), queries_of(client, f"{LIST}?q=web")

    for number in range(199):
        parent = make_workflow(workspace) if number % 20 == 0 else None
        named(workspace, f"web-{number}", workflow=parent, step_id="a" if parent else "")

    assert (queries_of(client, LIST), queries_of(client, f"{LIST}?q=web")) == few


def make_workflow(workspace: Workspace) -> Operation:
    return Operation.objects.create(
        kind="workflow",
        workspace=workspace,
        workspace_name=workspace.name,
        params={"name": "rollout", "steps": [{"id": "a", "kind": "server_create"}]},
        requested_by_name="tester",
        timeout_seconds=0,
    )


def test_the_list_counts_no_further_than_it_goes(
    operator: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.console.paging.MOST_ROWS", 3)
    for number in range(5):
        named(workspace, f"web-{number}")

    shown = html(logged_in(operator), LIST)

    assert "The newest 3 operations" in shown
    assert "web-4" in shown


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=web", {"web-01", "web-02"}),
        ("q=WEB-01", {"web-01"}),
        ("q=b-01", set()),
        ("q=staging", {"db-01"}),
        ("q=request-7", {"web-02"}),
        ("q=walt", {"db-01"}),
        ("q=web staging", set()),
        ("q=web&status__exact=failed", {"web-02"}),
        ("status__exact=failed", {"web-02"}),
        ("kind__exact=server_delete", {"db-01"}),
        ("workspace=staging", {"db-01"}),
        ("who=walt", {"db-01"}),
        ("check_mode__exact=1", {"web-01"}),
        ("workflow=whole", set()),
        ("workflow=none", {"web-01", "web-02", "db-01"}),
        ("since=24h", {"web-01", "web-02"}),
        ("since=2020-05-01&until=2020-05-02", {"db-01"}),
        ("since=2020-05-02&until=2020-05-03", set()),
    ],
)
def test_the_list_is_searched_and_filtered(
    operator: User, workspace: Workspace, query: str, found: set[str]
) -> None:
    named(workspace, "web-01", check_mode=True)
    failed = named(workspace, "web-02")
    end(failed, "failed", request_id="request-7")
    old = first_id_at(datetime(2020, 5, 1, 12, tzinfo=UTC))
    named(make_workspace("staging"), "db-01", kind="server_delete", id=old)
    Operation.objects.filter(pk=old).update(requested_by_name="walt")

    shown = html(logged_in(operator), f"{LIST}?{query}")

    assert {name for name in ("web-01", "web-02", "db-01") if f" {name}</a>" in shown} == found


def test_a_host_is_searched_with_the_taskservs_on_it(operator: User, workspace: Workspace) -> None:
    params = {"name": "dns", "server": "web-01"}
    operation = make_operation(workspace, kind="taskserv_create", params=params)

    assert page_of(operation) in html(logged_in(operator), f"{LIST}?q=web-0")
    assert page_of(operation) not in html(logged_in(operator), f"{LIST}?q=web-02")


def test_an_operation_is_found_by_its_id_and_a_workflow_with_its_steps(
    operator: User, workspace: Workspace
) -> None:
    workflow = make_workflow(workspace)
    step = named(workspace, "web-01", workflow=workflow, step_id="a")
    other = named(workspace, "web-02")
    client = logged_in(operator)

    assert page_of(step) in html(client, f"{LIST}?q={step.pk}")
    both = html(client, f"{LIST}?q={workflow.pk}")
    steps = html(client, f"{LIST}?workflow={workflow.pk}")

    assert page_of(step) in both
    assert page_of(workflow) in both
    assert page_of(step) in steps
    assert page_of(other) not in both + steps


@pytest.mark.parametrize("query", ["since=yesterday", "workflow=x"])
def test_a_filter_of_nonsense_shows_the_list(operator: User, query: str) -> None:
    answer = logged_in(operator).get(f"{LIST}?{query}")

    assert answer.status_code == 302


def test_the_list_offers_to_start_what_the_person_may_start(
    operator: User, viewer: User, workspace: Workspace
) -> None:
    assert "New server" in html(logged_in(operator), LIST)
    assert "Submit workflow" in html(logged_in(operator), LIST)
    assert "New server" not in html(logged_in(viewer), LIST)
    assert "Submit workflow" not in html(logged_in(viewer), LIST)


def test_who_sees_one_workspace_finds_nothing_of_others(workspace: Workspace) -> None:
    theirs = named(make_workspace("theirs"), "secret-1")
    write_log(theirs, ("stdout", b"secret"))
    guest = make_user("guest")
    bind(guest, "Operator", workspace)
    client = logged_in(guest)

    assert "secret-1" not in html(client, f"{LIST}?q=secret")
    assert f">{theirs.workspace_name}<" not in html(client, LIST)
    for route in ("live/", "log/", "log/stream/", "log/download/"):
        assert client.get(page_of(theirs, route)).status_code == 404
    for route in ("cancel/", "rerun/"):
        assert client.post(page_of(theirs, route)).status_code == 404
    assert client.get(page_of(theirs)).status_code == 302


# --- The page of one ---------------------------------------------------------------------------


def test_the_page_tells_command_parameters_and_result_with_secrets_covered(
    operator: User, workspace: Workspace, settings: Any
) -> None:
    settings.CLI_ENVIRONMENT = {**settings.CLI_ENVIRONMENT, "CLOUD_TOKEN": "1.2.3-geheim"}
    operation = make_operation(
        workspace,
        kind="taskserv_create",
        params={
            "name": "containerd",
            "server": "web-01",
            "version": "1.2.3-geheim",
            "settings": {"password": "hunter2-hunter2", "replicas": 3},
        },
    )
    end(operation, result={"name": "containerd", "port": 4711})

    shown = html(logged_in(operator), page_of(operation))

    assert "taskserv create containerd --infra production --server web-01" in shown
    assert f"/operations/{operation.pk}/settings.json" in shown
    assert "--version &#x27;************&#x27;" in shown
    assert "4711" in shown
    assert "hunter2" not in shown
    assert "1.2.3-geheim" not in shown


def test_the_page_links_what_belongs_together(operator: User, workspace: Workspace) -> None:
    workflow = make_workflow(workspace)
    step = end(named(workspace, "web-01", workflow=workflow, step_id="a"), "failed", reason="exit")
    again = named(workspace, "web-01", rerun_of=step)
    client = logged_in(operator)

    assert page_of(workflow) in html(client, page_of(step))
    assert page_of(again) in html(client, page_of(step))
    assert page_of(step) in html(client, page_of(again))
    assert page_of(step) in html(client, page_of(workflow))


def test_the_page_of_a_workflow_asks_as_often_for_50_steps_as_for_one(
    operator: User, workspace: Workspace
) -> None:
    workflow = make_workflow(workspace)
    named(workspace, "web-0", workflow=workflow, step_id="a")
    client = logged_in(operator)
    few = queries_of(client, page_of(workflow))
    for number in range(1, 50):
        named(workspace, f"web-{number}", workflow=workflow, step_id="a", attempt=number + 1)

    assert queries_of(client, page_of(workflow)) == few


def test_the_page_asks_a_bounded_number_of_questions(operator: User, workspace: Workspace) -> None:
    operation = end(named(workspace, "web-01"))
    for _ in range(15):
        named(workspace, "web-01", rerun_of=operation)

    assert queries_of(logged_in(operator), page_of(operation)) <= 20


def test_without_script_the_end_of_the_log_is_there_without_colours(
    operator: User, workspace: Workspace
) -> None:
    operation = named(workspace, "web-01")
    lines = b"".join(b"line %d\n" % number for number in range(300))
    write_log(operation, ("stdout", lines + b"\x1b[31mred\x1b[0m\x07 <b>\n"))

    shown = html(logged_in(operator), page_of(operation))

    assert "red &lt;b&gt;" in shown
    assert "\x1b" not in shown
    assert "line 299" in shown
    assert "line 50\n" not in shown


def test_an_operation_that_is_not_there_leads_back_to_the_list(operator: User) -> None:
    for wrong in (uuid.uuid4(), "x"):
        answer = logged_in(operator).get(f"{LIST}{wrong}/change/", follow=True)
        assert "There is no operation" in answer.content.decode()


def test_nobody_writes_to_the_page(admin: User, workspace: Workspace) -> None:
    operation = named(workspace, "web-01")

    assert logged_in(admin).post(page_of(operation), {"status": "completed"}).status_code == 403
    assert denials(admin) == 1
    assert logged_in(admin).get(f"{LIST}add/").status_code == 403
    assert logged_in(admin).post(page_of(operation, "delete/")).status_code == 403


# --- The log -----------------------------------------------------------------------------------


@pytest.fixture
def talkative(workspace: Workspace) -> Operation:
    operation = named(workspace, "web-01")
    write_log(operation, ("stdout", b"one\ntwo\n"), ("stderr", b"bad\n"), ("stdout", b"three\n"))
    return operation


def test_the_log_comes_by_its_end_and_backwards(operator: User, talkative: Operation) -> None:
    client = logged_in(operator)

    tail = client.get(page_of(talkative, "log/?tail=2"))
    earlier = client.get(page_of(talkative, f"log/?before={tail['X-Log-Offset']}"))

    assert tail.content == b"bad\nthree\n"
    assert (tail["X-Log-Offset"], tail["X-Next-Offset"]) == ("8", "18")
    assert tail["X-Log-Complete"] == "false"
    assert earlier.content == b"one\ntwo\n"
    assert earlier["X-Log-Offset"] == "0"


def test_the_log_goes_on_by_offset_and_by_stream(operator: User, talkative: Operation) -> None:
    client = logged_in(operator)
    end(talkative)

    rest = client.get(page_of(talkative, "log/?offset=12"))
    errors = client.get(page_of(talkative, "log/?offset=0&stream=stderr"))

    assert (rest.content, rest["X-Log-Complete"]) == (b"three\n", "true")
    assert errors.content == b"bad\n"


def test_what_comes_before_is_whole_lines(
    operator: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operations.admin.following.DEFAULT_LOG_BYTES", 10)
    operation = named(workspace, "web-01")
    write_log(operation, ("stdout", "first\nsecond\nééééééééé\n".encode()))
    client = logged_in(operator)

    lines = client.get(page_of(operation, "log/?before=13"))
    within = client.get(page_of(operation, "log/?before=32"))

    assert (lines["X-Log-Offset"], lines.content) == ("6", b"second\n")
    assert within.content.decode() == "éééé\n"


@pytest.mark.parametrize("query", ["stream=x", "offset=-1", "tail=0", "tail=x", "before=é"])
def test_a_wrong_question_for_the_log_is_refused(
    operator: User, talkative: Operation, query: str
) -> None:
    assert logged_in(operator).get(page_of(talkative, f"log/?{query}")).status_code == 400


def test_the_whole_log_is_downloaded(operator: User, talkative: Operation) -> None:
    client = logged_in(operator)

    everything = client.get(page_of(talkative, "log/download/"))
    errors = client.get(page_of(talkative, "log/download/?stream=stderr"))

    assert text_of(everything) == "one\ntwo\nbad\nthree\n"
    assert everything["Content-Disposition"] == f'attachment; filename="{talkative.pk}.log"'
    assert text_of(errors) == "bad\n"
    assert client.get(page_of(talkative, "log/download/?stream=x")).status_code == 400


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_log_is_streamed_to_the_session_and_ends(operator: User, talkative: Operation) -> None:
    end(talkative, "failed", reason="exit", exit_code=3)

    answer = logged_in(operator).get(page_of(talkative, "log/stream/?offset=8"))
    events = text_of(answer)
    answer.close()

    assert answer["Content-Type"].startswith("text/event-stream")
    assert "id: 18\ndata: bad\ndata: three\n" in events
    assert 'event: end\nid: 18\ndata: {"status":"failed"' in events
    assert following.places.taken == 0


def test_when_every_place_is_taken_the_stream_is_refused(
    operator: User, talkative: Operation, settings: Any
) -> None:
    settings.HELD_REQUESTS = 0

    assert logged_in(operator).get(page_of(talkative, "log/stream/")).status_code == 503


# --- Acts --------------------------------------------------------------------------------------


def test_an_operator_cancels(operator: User, workspace: Workspace) -> None:
    operation = named(workspace, "web-01")
    client = logged_in(operator)
    assert page_of(operation, "cancel/") in html(client, page_of(operation))

    answer = client.post(page_of(operation, "cancel/"), follow=True)

    operation.refresh_from_db()
    assert operation.status == "cancelled"
    assert "It is cancelled." in answer.content.decode()
    assert page_of(operation, "cancel/") not in answer.content.decode()
    assert AuditEvent.objects.filter(event="operation.cancelled", actor=operator).count() == 1


def test_the_selected_operations_are_cancelled(operator: User, workspace: Workspace) -> None:
    operations = [named(workspace, f"web-0{number}") for number in range(3)]
    chosen = [str(operation.pk) for operation in operations[:2]]

    logged_in(operator).post(LIST, {"action": "cancel", "_selected_action": chosen})

    ended = Operation.objects.filter(status="cancelled")
    assert {str(operation.pk) for operation in ended} == set(chosen)


@pytest.mark.parametrize("key", ["999", "x", "\u00b2", "9" * 5000, "a\x00b"])
def test_selecting_what_cannot_be_there_is_a_sentence_and_cancels_nothing(
    operator: User, workspace: Workspace, key: str
) -> None:
    operation = named(workspace, "web-01")
    form = {"action": "cancel", "_selected_action": [str(operation.pk), key]}

    answer = logged_in(operator).post(LIST, form, follow=True)

    operation.refresh_from_db()
    assert answer.status_code == 200
    assert "a row that there cannot be" in answer.content.decode()
    assert operation.status == "pending"


def test_cancelling_what_has_ended_is_a_sentence(operator: User, workspace: Workspace) -> None:
    operation = end(named(workspace, "web-01"))

    answer = logged_in(operator).post(page_of(operation, "cancel/"), follow=True)

    assert "The operation has already ended: it is completed." in answer.content.decode()


def test_an_operator_runs_again_once_however_often_the_button_is_pressed(
    operator: User, workspace: Workspace
) -> None:
    operation = end(named(workspace, "web-01"), "failed")
    client = logged_in(operator)
    assert page_of(operation, "rerun/") in html(client, page_of(operation))
    form = {"form_key": str(uuid.uuid4())}

    first = client.post(page_of(operation, "rerun/"), form)
    second = client.post(page_of(operation, "rerun/"), form)

    again = Operation.objects.get(rerun_of=operation)
    assert first["Location"] == second["Location"] == page_of(again)
    assert again.params == operation.params
    client.post(page_of(operation, "rerun/"), {"form_key": str(uuid.uuid4())})
    assert operation.reruns.count() == 2


@pytest.mark.parametrize("who", ["viewer", "developer"])
@pytest.mark.parametrize("act", ["cancel", "rerun"])
def test_who_may_not_act_sees_no_button_and_is_refused_and_remembered(
    request: pytest.FixtureRequest, workspace: Workspace, who: str, act: str
) -> None:
    user = request.getfixturevalue(who)
    operation = named(workspace, "web-01")
    if act == "rerun":
        end(operation)
    client = logged_in(user)

    assert f"/{act}/" not in html(client, page_of(operation))
    assert client.post(page_of(operation, f"{act}/")).status_code == 403
    assert denials(user) == 1
    operation.refresh_from_db()
    assert operation.status == ("completed" if act == "rerun" else "pending")
    assert Operation.objects.count() == 1


def test_running_again_needs_the_permission_of_what_it_does(workspace: Workspace) -> None:
    role = Role.objects.create(name="Rerunner", permissions=["operation_read", "operation_rerun"])
    user = make_user("ron")
    RoleBinding.objects.create(user=user, role=role)
    operation = end(named(workspace, "web-01"))
    client = logged_in(user)

    assert "/rerun/" not in html(client, page_of(operation))
    assert client.post(page_of(operation, "rerun/")).status_code == 403


def test_acts_are_not_done_by_get(operator: User, workspace: Workspace) -> None:
    operation = named(workspace, "web-01")

    for act in ("cancel/", "rerun/"):
        assert logged_in(operator).get(page_of(operation, act)).status_code == 405


def test_until_is_exclusive_and_ids_begin_with_their_time() -> None:
    instant = datetime(2026, 1, 1, tzinfo=UTC)

    assert first_id_at(instant) < first_id_at(instant + timedelta(milliseconds=1))
    assert first_id_at(instant).int >> 80 == int(instant.timestamp() * 1000)
