"""A thousand machines at once, through real processes: every one is answered, no value twice, no gap."""

from __future__ import annotations

import http.client
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from tests.live.harness import LiveServer
from tests.live.test_bodies import in_chunks
from tests.processes import wait_until

MACHINES = 1000
CLIENTS = 64
PATH = "/api2/json/auto-install/answer"


class Answered(NamedTuple):
    status: int
    body: bytes

    @property
    def fqdn(self) -> str:
        return str(json.loads(self.body)["global"]["fqdn"])


class Rack(NamedTuple):
    """A config of its own, whose machines are called pve0, pve1 and so on; with two tokens."""

    name: str
    credential: str
    other_token: str


def system_info(rack: str, number: int) -> dict[str, Any]:
    return {
        "$schema": {"version": "1.0"},
        "product": {"fullname": "Proxmox VE", "product": "pve", "enable_btrfs": True},
        "iso": {"release": "9.2", "isorelease": "1"},
        "dmi": {
            "system": {
                "serial": f"{rack}-{number}",
                "uuid": f"{rack[-8:]}-58a1-4c55-9d51-{number:012x}",
                "name": f"Northwind {rack}",
            },
            "baseboard": {"serial": f"B-{number}"},
            "chassis": {"serial": f"C-{number}"},
        },
        "network_interfaces": [
            {"link": "eno1", "mac": f"A0:36:9F:00:{number >> 8:02X}:{number & 255:02X}"}
        ],
    }


def post(server: LiveServer, path: str, body: bytes, **headers: str) -> Answered:
    """With a connection of its own, as every installer has."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        sent = {
            "Content-Type": "application/json; charset=utf-8",
            "Accept": "application/json, application/toml;q=0.5",
            **headers,
        }
        connection.request("POST", path, body, sent)
        answer = connection.getresponse()
        return Answered(answer.status, answer.read())
    finally:
        connection.close()


def ask(server: LiveServer, credential: str, info: dict[str, Any]) -> Answered:
    body = json.dumps(info).encode()
    return post(server, PATH, body, Authorization=f"Bearer {credential}")


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    body: dict[str, Any] = answer.json()
    return body


def make_token(server: LiveServer, name: str, **more: Any) -> str:
    """Its `id:secret`."""
    body = {"id": name, **more}
    return str(made(server.client.post("/v1/auto-install/tokens", json=body))["credential"])


def make_rack(server: LiveServer, **more: Any) -> Rack:
    name = f"rack-{secrets.token_hex(4)}"
    credential = make_token(server, f"{name}-a")
    make_token(server, f"{name}-b")
    body = {
        "id": name,
        "authorized-tokens": [f"{name}-a", f"{name}-b"],
        "target-filter": {"/dmi/system/name": f"Northwind {name}"},
        "country": "at",
        "fqdn": "pve{{ nr }}.example.com",
        "keyboard": "de",
        "mailto": "ops@example.com",
        "timezone": "Europe/Vienna",
        "root-password": "a-long-password",
        "filesystem": {"filesystem": "ext4"},
        "disk-list": ["sda"],
        "post-hook-base-url": "https://ps.example.com",
        "template-counters": {"nr": 0},
        **more,
    }
    made(server.client.post("/v1/auto-install/prepared", json=body))
    return Rack(name, credential, f"{name}-b")


def storm(
    server: LiveServer,
    rack: Rack,
    numbers: range,
    wait_for_turn: Callable[[int], None] = lambda number: None,
) -> list[Answered]:
    """All these machines, as many at a time as there are clients."""

    def one(number: int) -> Answered:
        wait_for_turn(number)
        return ask(server, rack.credential, system_info(rack.name, number))

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, numbers))


def numbers_of(answers: list[Answered]) -> list[int]:
    refused = [answer for answer in answers if answer.status != 200]
    assert not refused, (len(refused), refused[:3])
    return sorted(int(answer.fqdn.partition(".")[0].removeprefix("pve")) for answer in answers)


def rows_of(server: LiveServer, rack: Rack) -> int:
    """How many attempts this rack has."""
    path = "/v1/auto-install/attempts"
    answer = server.client.get(path, params={"answer-id": rack.name, "limit": 1, "count": "true"})
    assert answer.status_code == 200, answer.text
    return int(answer.headers["X-Total-Count"])


@contextmanager
def meanwhile(act: Callable[[int], None]) -> Iterator[list[int]]:
    """The act again and again in a thread of its own; yields how often, in a list."""
    is_over = threading.Event()
    times: list[int] = []
    errors: list[BaseException] = []

    def repeat() -> None:
        try:
            while not is_over.is_set():
                act(len(times))
                times.append(len(times))
                is_over.wait(0.05)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield times
    finally:
        is_over.set()
        thread.join()
    assert not errors, errors


def test_a_thousand_machines_at_once_get_a_thousand_values(server: LiveServer) -> None:
    rack = make_rack(server)

    answers = storm(server, rack, range(MACHINES))

    assert numbers_of(answers) == list(range(MACHINES))
    assert rows_of(server, rack) == MACHINES


def test_a_thousand_machines_are_answered_while_config_and_tokens_are_edited(
    server: LiveServer,
) -> None:
    rack = make_rack(server)
    config = f"/v1/auto-install/prepared/{rack.name}"
    token = f"/v1/auto-install/tokens/{rack.other_token}"
    client = server.log_in()

    def edit(time: int) -> None:
        """As a console would: everything that was read is sent back, the counters as well."""
        found = made(client.get(config))
        counters = found["template-counters"]
        body = {"mailto": f"ops{time}@example.com", "template-counters": counters}
        made(client.patch(config, json=body if time % 2 else {"mailto": body["mailto"]}))
        made(client.patch(token, json={"regenerate-secret": True}))

    with closing(client), meanwhile(edit) as edits:

        def after_edits(number: int) -> None:
            """However fast the machine, there are edits all through the storm."""
            wait_until(lambda: len(edits) >= number // 50, "there were enough edits")

        answers = storm(server, rack, range(MACHINES), after_edits)

    assert len(edits) >= (MACHINES - 1) // 50
    assert numbers_of(answers) == list(range(MACHINES))
    assert rows_of(server, rack) == MACHINES


def test_every_machine_asking_twice_at_once_keeps_its_value(server: LiveServer) -> None:
    rack = make_rack(server)
    infos = [system_info(rack.name, number // 2) for number in range(200)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda info: ask(server, rack.credential, info), infos))

    assert numbers_of(answers) == sorted(2 * list(range(100)))
    assert all(
        one.fqdn == other.fqdn for one, other in zip(answers[::2], answers[1::2], strict=True)
    )


def rotate(server: LiveServer, credential: str) -> str:
    """The new `id:secret`."""
    path = f"/v1/auto-install/tokens/{credential.partition(':')[0]}"
    return str(made(server.client.patch(path, json={"regenerate-secret": True}))["credential"])


def test_a_token_rotated_in_one_process_is_dead_in_all_at_once(server: LiveServer) -> None:
    rack = make_rack(server)
    statuses = []

    for number in range(5):
        fresh = rotate(server, rack.credential)
        # More requests than processes, each with a connection of its own: every process gets some.
        statuses.append([ask(server, rack.credential, {}).status for _ in range(6)])
        statuses.append(
            [ask(server, fresh, system_info(rack.name, number)).status for _ in range(6)]
        )
        rack = rack._replace(credential=fresh)

    assert statuses == [[401] * 6, [200] * 6] * 5


def test_machines_in_the_middle_of_a_rotation_are_answered_or_refused_and_nothing_else(
    server: LiveServer,
) -> None:
    rack = make_rack(server)

    with ThreadPoolExecutor(16) as pool:
        asked = [
            pool.submit(ask, server, rack.credential, system_info(rack.name, number))
            for number in range(60)
        ]
        rotate(server, rack.credential)
        statuses = [one.result().status for one in asked]

    answered = statuses.count(200)
    assert set(statuses) <= {200, 401, 429}
    assert rows_of(server, rack) == answered


@pytest.mark.parametrize("size", [600_000, 3_000_000])
@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_body_that_is_too_large_is_413_with_a_row(
    is_chunked: bool, size: int, server: LiveServer
) -> None:
    credential = make_token(server, f"large-{secrets.token_hex(4)}")
    data = b" " * size

    answer = httpx.post(
        server.url(PATH),
        content=in_chunks(data) if is_chunked else data,
        headers={"Authorization": f"Bearer {credential}"},
    )

    assert (answer.status_code, "bytes" in answer.text) == (413, True)
    token = credential.partition(":")[0]
    (row,) = server.get("/v1/auto-install/attempts", token=token)
    assert (row["outcome"], row["credential"]) == ("malformed", "header")


def test_a_body_in_chunks_is_answered(server: LiveServer) -> None:
    rack = make_rack(server)
    body = json.dumps(system_info(rack.name, 1)).encode()

    answer = httpx.post(
        server.url(PATH),
        content=in_chunks(body, 7),
        headers={"Authorization": f"Bearer {rack.credential}", "Accept": "application/json"},
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["global"]["fqdn"] == "pve0.example.com"


def test_no_secret_is_written_by_any_process(server: LiveServer) -> None:
    name = f"path-{secrets.token_hex(4)}"
    credential = make_token(server, name, **{"allow-in-path": True})
    secret = credential.partition(":")[2]
    body = json.dumps(system_info("rack-00000000", 1)).encode()
    rack = make_rack(server)
    hook = json.loads(ask(server, rack.credential, system_info(rack.name, 1)).body)[
        "post-installation-webhook"
    ]
    path = httpx.URL(hook["url"]).path

    for asked in (
        f"/v1/auto-install/answer/{credential}",
        f"{PATH}/{credential}",
        f"{PATH}/{secret}:{name}",
        f"{PATH}/{secret}",
        f"{PATH}//{credential}?again={credential}",
        f"/api2/extjs/auto-install/answer/{credential}",
    ):
        assert post(server, asked, body).status in (400, 401, 404)
    assert post(server, PATH, body, Authorization=f"Bearer {secret}:{name}").status == 401
    assert post(server, f"{path}?token={hook['auth-token']}", b"{}").status == 200

    assert "/auto-install/answer/********" in server.said
    assert secret not in server.said
    assert hook["auth-token"] not in server.said
