"""The load: a client of our own in a process of its own, as `wrk` cannot make every body another.

`python -m benchmarks.catalogue.load` reads a Job as JSON and writes a Result: sockets and epoll, since
a client library would cost more than the server.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import resource
import select
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.catalogue import machines
from benchmarks.catalogue.servers import CLIENT_CORE, ROOT, Server

PATH = "/api2/json/auto-install/answer"
_FQDN = re.compile(rb'"fqdn":"([^"]*)"')


@dataclass(frozen=True)
class Job:
    """`connections` that each send one request after the other for `seconds`; with 0 each sends one."""

    port: int
    credential: str
    serials: list[str]
    connections: int
    seconds: float
    series: int  # no two jobs with the same number: their machines are others
    cores: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    seconds: float  # to the last response
    latencies: list[float]  # in ms, sorted; of the good responses
    errors: list[str]
    fqdns: list[str]  # of a job with `seconds` 0
    cpu_seconds: float  # of this client

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]


_series = itertools.count(1)


def run(
    server: Server,
    serials: list[str],
    *,
    connections: int,
    seconds: float = 0,
    cores: list[int] = CLIENT_CORE,
    may_fail: bool = False,
) -> Result:
    """Load the server from another process. Unless they may, failed requests end the benchmark."""
    job = Job(
        port=server.port,
        credential=server.credential,
        serials=serials,
        connections=connections,
        seconds=seconds,
        series=next(_series),
        cores=cores,
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.catalogue.load"],
        cwd=ROOT,
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = Result(**json.loads(done.stdout))
    if result.errors and not may_fail:
        sys.exit(f"{len(result.errors)} requests failed, the first so: {result.errors[0]}")
    return result


def warm_up(server: Server, serials: list[str]) -> None:
    """Every config is served once, and so compiled."""
    for first in range(0, len(serials), 200):
        some = serials[first : first + 200]
        run(server, some, connections=len(some))


# --- In the client's process -------------------------------------------------------------------


class Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = time.perf_counter()
        self.received = b""
        with contextlib.suppress(BlockingIOError):
            self.socket.connect(("127.0.0.1", port))

    def ask(self, request: bytes) -> None:
        self.received = b""
        if self.socket.send(request) != len(request):
            raise OSError("the socket took only a part of the request")

    def is_complete(self) -> bool:
        """After reading what is there."""
        piece = self.socket.recv(65536)
        if not piece:
            raise OSError("the server closed the connection")
        self.received += piece
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return False
        head = head.lower()
        if b"transfer-encoding: chunked" in head:
            return body.endswith(b"0\r\n\r\n")
        return len(body) >= int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])


class Client:
    def __init__(self, job: Job) -> None:
        self.job = job
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{job.port}\r\n"
            "User-Agent: proxmox-installer/9.2\r\n"
            "Accept: application/json, application/toml;q=0.5\r\n"
            "Content-Type: application/json; charset=utf-8\r\n"
            f"Authorization: Bearer {job.credential}\r\n"
            f"Content-Length: {machines.BODY_BYTES}\r\n\r\n"
        ).encode()
        self.requests = [
            (head + machines.body(serial, number)).split(machines.UUID.encode())
            for number, serial in enumerate(job.serials, 1)
        ]
        self.sent = 0
        self.latencies: list[float] = []
        self.errors: list[str] = []
        self.fqdns: list[str] = []

    def request(self) -> bytes:
        before, after = self.requests[self.sent % len(self.requests)]
        self.sent += 1
        uuid = f"{self.job.series:08x}-5ca1-4c55-9d51-{self.sent:012x}"
        return before + uuid.encode() + after

    def work(self) -> Result:
        job, now = self.job, time.perf_counter
        began = now()
        until = began + job.seconds
        ready = select.epoll()
        open_ones: dict[int, Connection] = {}
        for _ in range(job.connections):
            one = Connection(job.port)
            open_ones[one.socket.fileno()] = one
            ready.register(one.socket, select.EPOLLOUT)
        last = began
        while open_ones:
            events = ready.poll(60)
            if not events:
                self.errors += ["no answer in 60 s"] * len(open_ones)
                break
            for number, event in events:
                one = open_ones[number]
                try:
                    if event & select.EPOLLOUT:
                        one.ask(self.request())
                        ready.modify(number, select.EPOLLIN)
                        continue
                    if not one.is_complete():
                        continue
                    last = now()
                    self.note(one, last)
                    if last < until:
                        one.began = last
                        one.ask(self.request())
                        continue
                except OSError as error:
                    self.errors.append(str(error))
                ready.unregister(number)
                open_ones.pop(number).socket.close()
        cpu = time.process_time()
        return Result(last - began, sorted(self.latencies), self.errors, self.fqdns, cpu)

    def note(self, one: Connection, now: float) -> None:
        if one.received[9:12] == b"200":
            self.latencies.append((now - one.began) * 1000)
            if not self.job.seconds and (found := _FQDN.search(one.received)):
                self.fqdns.append(found[1].decode())
        else:
            self.errors.append(one.received[-200:].decode(errors="replace"))


def main() -> None:
    fields: dict[str, Any] = json.load(sys.stdin)
    job = Job(**fields)
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    json.dump(asdict(Client(job).work()), sys.stdout)


if __name__ == "__main__":
    main()
