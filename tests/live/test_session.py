"""The README's session against a real server with the bundled CLI, as curl would hold it."""

from __future__ import annotations

import httpx

from tests.live.harness import PASSWORD, LiveServer

BODY = {
    "workspace": "production",
    "provider": "local",
    "plan": "2xCPU-4GB",
    "hostname": "web-01",
}


def test_a_server_is_created_and_the_whole_story_can_be_read(bundled: LiveServer) -> None:
    login = httpx.post(
        bundled.url("/v1/auth/login"), json={"username": "admin", "password": PASSWORD}
    )
    assert login.status_code == 200
    assert login.json().keys() == {"token", "refresh_token", "expires_in"}
    headers = {"Authorization": f"Bearer {login.json()['token']}"}

    accepted = httpx.post(bundled.url("/v1/servers/create"), json=BODY, headers=headers)
    assert accepted.status_code == 202
    operation = accepted.json()
    assert operation["status"] in ("pending", "running")
    assert accepted.headers["Location"] == f"/v1/operations/{operation['id']}"

    ended = bundled.wait_for(operation["id"], "completed", "failed")
    assert (ended["status"], ended["exit_code"], ended["error"]) == ("completed", 0, None)
    assert ended["started_at"] <= ended["finished_at"]
    assert ended["result"]["hostname"] == "web-01"

    [listed] = [row for row in bundled.get("/v1/servers") if row["hostname"] == "web-01"]
    assert (listed["provider"], listed["plan"]) == ("local", "2xCPU-4GB")
    assert listed["last_operation"] == operation["id"]

    log = httpx.get(bundled.url(operation["links"]["log"]), headers=headers)
    assert log.status_code == 200
    assert log.headers["X-Log-Complete"] == "true"
    assert "web-01" in log.text

    assert bundled.events_of(operation["id"]) == [
        "operation.submitted",
        "operation.started",
        "operation.completed",
    ]


def test_the_body_of_the_published_ci_step_fails_with_the_sentence_of_the_cli(
    bundled: LiveServer,
) -> None:
    body = {"workspace": "production", "provider": "upcloud", "plan": "2xCPU-4GB"}
    accepted = bundled.client.post("/v1/servers/create", json=body)
    assert accepted.status_code == 202
    ended = bundled.wait_for(accepted.json()["id"], "completed", "failed")
    assert (ended["status"], ended["reason"]) == ("failed", "exit")
    assert "upcloud" in ended["error"]
    assert "\n" not in ended["error"]


def test_a_created_server_can_be_asked_for_its_status_and_deleted(bundled: LiveServer) -> None:
    created = bundled.create_server("web-77")
    bundled.wait_for(created["id"], "completed")
    [item] = [row for row in bundled.get("/v1/servers") if row["hostname"] == "web-77"]
    status = bundled.get(f"/v1/servers/{item['id']}/status")
    assert status["source"] == "live"
    deleted = bundled.client.delete(f"/v1/servers/{item['id']}")
    assert deleted.status_code == 202
    assert bundled.wait_for(deleted.json()["id"], "completed", "failed")["status"] == "completed"
    assert "web-77" not in str(bundled.get("/v1/servers"))


def test_the_version_names_the_bundled_cli(bundled: LiveServer) -> None:
    version = bundled.get("/v1/version")
    assert version["api_version"] == "v1"
    assert version["cli"]["path"].endswith("provisioning-local")
    assert version["cli"]["version"]
