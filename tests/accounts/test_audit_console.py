"""The audit trail in the console: sentences, changes, filters, pages, exports."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services, trail
from accounts.actor import Actor
from accounts.changes import HIDDEN, changes_of
from accounts.events import Event
from accounts.models import AuditEvent, Role, User, Workspace
from accounts.sentences import known_events, marked_sentence_of, sentence_of
from autoinstall.events import Event as AutoinstallEvent
from operations.events import Event as OperationsEvent
from operations.services import lifecycle
from tests.accounts.people import client_of
from tests.factories import bind, make_operation, make_server, make_user, make_workspace

TRAIL = "/admin/accounts/auditevent/"


def event(name: str, actor: str = "alice", **fields: Any) -> AuditEvent:
    return AuditEvent.objects.create(event=name, actor_name=actor, **fields)


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


def sentences_in(page: str) -> list[str]:
    found = re.findall(r'<span class="event-what"><a href="[^"]*">(.*?)</a>', page)
    return [re.sub(r"<[^>]+>", "", one) for one in found]


def streamed(response: Any) -> str:
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


# --- Sentences -----------------------------------------------------------------------------------


def test_every_event_of_every_app_has_a_sentence() -> None:
    events = {str(one) for kind in (Event, OperationsEvent, AutoinstallEvent) for one in kind}

    assert events == set(known_events())


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            {"event": "role-binding.created", "workspace": "production"}
            | {"data": {"user": "bob", "role": "Operator"}},
            "alice gave bob the role Operator in production",
        ),
        (
            {"event": "role-binding.deleted", "data": {"user": "bob", "role": "Admin"}},
            "alice took the role Admin everywhere from bob",
        ),
        (
            {"event": "operation.cancelled", "actor_name": "oscar"}
            | {"target_name": "server_create web-01"},
            "oscar cancelled server_create web-01",
        ),
        (
            {"event": "login.failed", "actor_name": "anonymous", "target_name": "root"}
            | {"data": {"reason": "password"}},
            "anonymous was refused: wrong password for root",
        ),
        (
            {"event": "user.changed", "target_name": "bob"}
            | {"data": {"changed": {"is_active": [True, False]}}},
            "alice deactivated bob",
        ),
        (
            {"event": "user.changed", "target_name": "bob"}
            | {"data": {"changed": {"full_name": ["a", "b"], "email": ["", "x"]}}},
            "alice changed bob: full name, email",
        ),
        (
            {"event": "operation.failed", "target_name": "server_create web-01"}
            | {"data": {"reason": "timed_out"}},
            "server_create web-01 failed: timed_out",
        ),
        (
            {"event": "answer.issued", "target_name": "racks", "data": {"serial": "SN-7"}},
            "The machine SN-7 got its answer from racks",
        ),
        (
            {"event": "answer.refused", "source": "10.0.0.9", "data": {"reason": "wrong secret"}},
            "A machine at 10.0.0.9 was refused: wrong secret",
        ),
        (
            {"event": "gadget-thing.turned-on", "target_name": "g1", "outcome": "failed"},
            "alice: gadget thing g1 turned on (failed)",
        ),
        ({"event": "{actor}.x", "target_name": ""}, "alice: actor x"),
        (
            {"event": "role-binding.created", "data": "no object"},
            "alice gave ? the role ? everywhere",
        ),
    ],
)
def test_an_event_reads_as_a_sentence(made: dict[str, Any], said: str) -> None:
    row = AuditEvent(**({"actor_name": "alice"} | made))

    assert sentence_of(row) == said


def test_sentences_come_from_what_the_services_write(admin: User, workspace: Workspace) -> None:
    actor = Actor(name="alice", user=admin)
    bob = services.create_user(username="bob", password="a-long-password", actor=actor)
    services.create_binding(
        user=bob, role=Role.objects.get(name="Operator"), workspace=workspace, actor=actor
    )
    operation = make_operation(
        workspace, params={"hostname": "web-01", "provider": "p", "plan": "q"}
    )
    lifecycle.cancel_operation(operation=operation, actor=actor)

    said = [sentence_of(one) for one in AuditEvent.objects.order_by("-id")]

    assert said == [
        "alice cancelled server_create web-01",
        "tester submitted server_create web-01",
        "alice gave bob the role Operator in production",
        "alice created the user bob",
    ]


def test_a_sentence_is_short_of_one_line_and_cannot_inject_html() -> None:
    row = AuditEvent(
        event="access.denied",
        actor_name="<b>x</b>",
        target_name="a\nb" + "c" * 500,
        data={"reason": "<script>evil</script>"},
    )

    assert "\n" not in sentence_of(row)
    assert len(sentence_of(row)) < 300
    assert "<script>" not in marked_sentence_of(row)
    assert "&lt;b&gt;x&lt;/b&gt;" in marked_sentence_of(row)


# --- What changed --------------------------------------------------------------------------------


def test_a_change_is_told_field_by_field_and_item_by_item() -> None:
    row = AuditEvent(
        event="x.changed",
        data={
            "changed": {
                "permissions": [["a", "b"], ["b", "c"]],
                "disk": [{"fs": "zfs", "size": 1}, {"fs": "ext4", "size": 1}],
                "enabled": [True, False],
                "comment": ["", "new"],
            }
        },
    )

    told = {one.field: (one.old, one.new, one.removed, one.added) for one in changes_of(row)}

    assert told == {
        "permissions": ("", "", ("a",), ("c",)),
        "disk / fs": ("zfs", "ext4", (), ()),
        "enabled": ("yes", "no", (), ()),
        "comment": ("nothing", "new", (), ()),
    }


def test_what_is_named_like_a_secret_is_shown_nowhere(admin: User) -> None:
    data = {
        "changed": {"root-password": ["opensesame", "opensesame"]},
        "nested": {"api_key": "opensesame"},
        "secret": "opensesame",
    }
    row = event("prepared-config.changed", data=data)
    client = client_of(admin)

    page = text_of(client.get(f"{TRAIL}{row.pk}/change/"))
    exported = streamed(client.post(f"{TRAIL}export/", {"format": "jsonl"}))

    assert HIDDEN in page
    assert "opensesame" not in page + exported


def test_the_page_of_an_event_shows_the_change_its_target_and_its_request(
    admin: User, viewer: User
) -> None:
    client = client_of(admin)
    client.post(
        f"/admin/accounts/user/{viewer.pk}/change/",
        {"email": "v@example.com", "full_name": "Victor"},
        HTTP_X_REQUEST_ID="request-7",
    )
    row = AuditEvent.objects.get(event="user.changed")
    other = event("password.changed", request_id="request-7", target_name="victor")

    page = text_of(client.get(f"{TRAIL}{row.pk}/change/"))

    assert "<ins>v@example.com</ins>" in page
    assert f'href="/admin/accounts/user/{viewer.pk}/change/"' in page
    assert "request_id=request-7" in page
    assert f'href="{TRAIL}{other.pk}/change/"' in page


def test_the_history_of_a_row_is_what_the_trail_knows_of_it(admin: User, viewer: User) -> None:
    event("user.changed", target_type="user", target_id=str(viewer.pk), target_name="victor")
    other = event("user.changed", target_type="user", target_id=str(admin.pk), target_name="alice")
    url = f"/admin/accounts/user/{viewer.pk}/history/"

    answer = client_of(admin).get(url)

    assert answer["Location"] == f"{TRAIL}?target_type=user&target_id={viewer.pk}"
    page = text_of(client_of(admin).get(answer["Location"]))
    assert "victor" in page
    assert f"{TRAIL}{other.pk}/" not in page


def test_there_is_no_history_of_what_is_not_there_or_for_who_reads_no_trail(
    admin: User, workspace: Workspace
) -> None:
    server = make_server(workspace)
    reader = make_user("reader")
    role = Role.objects.create(name="Looker", permissions=["server_read", "workspace_read"])
    services.create_binding(user=reader, role=role, actor=Actor(name="system"))
    url = "/admin/operations/server/{}/history/"

    assert client_of(admin).get(url.format(server.pk)).status_code == 302
    for key in ("9" * 40, "nonsense"):
        assert client_of(admin).get(url.format(key)).status_code == 404
    assert client_of(reader).get(url.format(server.pk)).status_code == 404


def test_a_target_is_linked_only_where_it_is_there_and_may_be_seen(workspace: Workspace) -> None:
    auditor = make_user("auditor")
    role = Role.objects.create(name="Auditor", permissions=["audit_read"])
    services.create_binding(user=auditor, role=role, actor=Actor(name="system"))
    bind(auditor, "Viewer", workspace)
    client = client_of(auditor)
    hidden = make_server(make_workspace("other"))
    shown = make_server(workspace)

    def links_to(kind: str, pk: object) -> bool:
        row = event("x.y", target_type=kind, target_id=str(pk), target_name="it")
        return ">Open it</a>" in text_of(client.get(f"{TRAIL}{row.pk}/change/"))

    assert links_to("server", shown.pk)
    assert not links_to("server", hidden.pk)
    assert not links_to("user", auditor.pk)
    assert not links_to("server", "nonsense")
    assert not links_to("server", "9" * 40)
    assert not links_to("gadget", 1)


# --- Filters and pages ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "event=operation.failed",
        "event=operation.",
        "outcome=failed",
        "actor=oscar",
        "target_type=operation",
        "target_id=op-1",
        "workspace=staging",
        "source=10.0.0.7",
        "request_id=r-1",
        "q=WEB-01",
        "q=web-01+staging",
        "since=2026-03-02&until=2026-03-02",
    ],
)
def test_each_filter_finds_its_events_and_no_others(admin: User, query: str) -> None:
    event(
        "operation.failed",
        "oscar",
        outcome="failed",
        target_type="operation",
        target_id="op-1",
        target_name="server_create web-01",
        workspace="staging",
        source="10.0.0.7",
        request_id="r-1",
        occurred_at=datetime(2026, 3, 2, 23, 59, tzinfo=UTC),
        data={"reason": "exit"},
    )
    event("user.created", target_name="other", occurred_at=datetime(2026, 3, 1, 23, 59, tzinfo=UTC))
    event("user.deleted", target_name="other", occurred_at=datetime(2026, 3, 3, tzinfo=UTC))

    page = text_of(client_of(admin).get(f"{TRAIL}?{query}"))

    assert sentences_in(page) == ["server_create web-01 failed: exit"]


def test_a_wrong_day_is_told_and_a_filter_without_matches_leads_back(admin: User) -> None:
    client = client_of(admin)

    wrong = text_of(client.get(f"{TRAIL}?since=yesterday"))
    nothing = text_of(client.get(f"{TRAIL}?actor=nobody"))

    assert "Enter a valid date." in wrong
    assert "Nothing matches." in nothing


@pytest.mark.parametrize(
    "query", ["before=x", "after=-1", "before=" + "9" * 30, "q=%00", "source=%00"]
)
def test_a_query_string_that_somebody_made_up_breaks_nothing(admin: User, query: str) -> None:
    event("user.created")

    assert client_of(admin).get(f"{TRAIL}?{query}").status_code == 200


def test_pages_lead_to_the_older_and_back_without_a_gap(admin: User) -> None:
    client = client_of(admin)
    for number in range(120):
        event("user.created", target_name=f"n{number}")
    seen: list[str] = []

    def go(url: str, way: str) -> tuple[list[str], str]:
        page = text_of(client.get(TRAIL + url))
        found = re.search(rf'class="{way}" href="([^"]+)"', page)
        return sentences_in(page), found[1].replace("&amp;", "&") if found else ""

    url = "?event=user.created"
    while url:
        last = url
        shown, url = go(url, "older")
        seen += shown
    back, url = go(go(last, "newer")[1], "newer")

    assert [int(one.rpartition("n")[2]) for one in seen] == list(range(119, -1, -1))
    assert back == seen[50:100]
    assert go(url, "newer") == (seen[:50], "")


def test_nothing_is_counted_and_each_page_asks_as_often(admin: User) -> None:
    client = client_of(admin)
    for number in range(300):
        event("user.created", target_name=f"n{number}")
    middle = AuditEvent.objects.order_by("id")[150].pk
    client.get(TRAIL)

    def queries(query: str) -> list[str]:
        with CaptureQueriesContext(connection) as asked:
            client.get(TRAIL + query)
        return [one["sql"] for one in asked]

    first, deep = queries(""), queries(f"?before={middle}")

    assert len(first) == len(deep)
    assert not [sql for sql in first + deep if "COUNT(" in sql or "OFFSET" in sql]


def test_a_filter_without_an_index_looks_at_the_newest_events_and_says_so(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "WINDOW", 10)
    event("user.created", target_name="needle")
    for _ in range(20):
        event("user.created", target_name="hay")
    client = client_of(admin)
    today = timezone.now().date() - timedelta(days=1)

    near = text_of(client.get(f"{TRAIL}?q=needle"))
    far = text_of(client.get(f"{TRAIL}?q=needle&since={today}"))
    exported = streamed(client.post(f"{TRAIL}export/?q=needle", {"format": "jsonl"}))

    assert "Nothing matches." in near
    assert "newest 10 events" in near
    assert sentences_in(far) == ["alice created the user needle"]
    assert "needle" in exported


# --- Export --------------------------------------------------------------------------------------


@pytest.fixture
def console(admin: User) -> Client:
    return client_of(admin)


def test_the_filtered_trail_is_exported_as_csv_and_the_export_is_an_event(
    console: Client, admin: User
) -> None:
    event("user.created", target_name="bob", data={"email": "b@example.com"})
    event("user.deleted", target_name="carol")

    response = console.post(f"{TRAIL}export/?event=user.created", {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(streamed(response))))

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert re.search(
        r'attachment; filename="audit-\d{8}-\d{6}\.csv"', response["Content-Disposition"]
    )
    assert [row["sentence"] for row in rows] == ["alice created the user bob"]
    assert json.loads(rows[0]["data"]) == {"email": "b@example.com"}
    made = AuditEvent.objects.get(event="audit.exported")
    assert (made.actor, made.data["filter"]) == (admin, {"event": "user.created"})


def test_an_export_as_lines_holds_every_event_in_batches(
    console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "BATCH", 7)
    made = [event("user.created", target_name=f"n{number}").pk for number in range(20)]

    answer = streamed(console.post(f"{TRAIL}export/?event=user.", {"format": "jsonl"}))
    lines = [json.loads(line) for line in answer.splitlines()]

    assert [line["id"] for line in lines] == made[::-1]
    assert lines[0]["sentence"] == "alice created the user n19"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_an_export_is_a_formula(console: Client, begin: str) -> None:
    event(
        "user.created", actor=f"{begin}1+cmd", target_name=f"{begin}HYPERLINK(1)", user_agent=begin
    )

    answer = streamed(console.post(f"{TRAIL}export/", {"format": "csv"}))
    cells = [cell for row in csv.reader(io.StringIO(answer, newline="")) for cell in row]

    assert f"'{begin}HYPERLINK(1)" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_an_unknown_format_is_refused_and_leaves_no_event(console: Client) -> None:
    page = console.post(f"{TRAIL}export/", {"format": "xlsx"}, follow=True)

    assert "neither csv nor jsonl" in text_of(page)
    assert not AuditEvent.objects.filter(event="audit.exported").exists()


def test_only_who_reads_the_trail_exports_it(viewer: User) -> None:
    response = client_of(viewer).post(f"{TRAIL}export/", {"format": "csv"})

    assert response.status_code == 403
    assert not AuditEvent.objects.filter(event="audit.exported").exists()
