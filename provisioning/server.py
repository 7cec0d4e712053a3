"""`provisioning-server`: one command, one process tree.

It migrates, makes the first admin, starts web and worker, keeps them alive, and stops both in order.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence

from provisioning import __version__, config, state
from provisioning.config import ConfigError

SUPERVISE_SECONDS = 0.5
READY_SECONDS = 60.0
# Beyond the worker's own grace for running operations.
STOP_SECONDS = 20.0


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script; exits with one sentence when the start is refused."""
    flags = read_flags(argv)
    os.environ.update(config.flags_as_environment(flags))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "provisioning.settings")
    try:
        prepare(config.current().values)
    except ConfigError as error:
        sys.exit(f"provisioning-server: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    run(config.current().values)


def read_flags(argv: Sequence[str] | None) -> dict[str, str | bool | None]:
    """The flags as dotted configuration keys; `--config` goes to the environment at once."""
    parser = argparse.ArgumentParser(
        prog="provisioning-server",
        description="Provisioning Server: web and worker in one process tree.",
        epilog="Everything else is set in config.toml or the environment: docs/configuration.md.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--config", metavar="FILE", help="configuration file (TOML)")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (default 8083)")
    parser.add_argument(
        "--jwt-secret",
        help="key of the access tokens; other users of this machine can read it in the process "
        "list, so prefer JWT_SECRET_FILE",
    )
    parser.add_argument("--cli-path", help="the provisioning CLI (default: the bundled one)")
    parser.add_argument("--log-level", help=f"one of {', '.join(config.LOG_LEVELS)}")
    parser.add_argument(
        "--dev", action="store_true", default=None, help="accept sample secrets (never in use)"
    )
    given = parser.parse_args(argv)
    if given.config:
        os.environ["PROVISIONING_CONFIG"] = os.path.abspath(given.config)
    return {
        "server.host": given.host,
        "server.port": given.port,
        "auth.jwt_secret": given.jwt_secret,
        "provisioning.cli_path": given.cli_path,
        "logging.level": given.log_level,
        "dev": given.dev,
    }


def prepare(values: config.Config) -> None:
    """Everything that can be refused, before anything is started. Raises ConfigError."""
    # What we start may change directory: a relative state directory is meant from here.
    os.environ["PROVISIONING_STATE_DIR"] = str(state.prepare_state_dir(values.state_dir))
    config.current.cache_clear()
    refuse_used_port(values.server.host, values.server.port)
    import django
    from django.core.checks import Tags, run_checks
    from django.db import OperationalError, connections

    django.setup()
    from provisioning import bootstrap

    for problem in run_checks(tags=None):
        if problem.is_serious() and Tags.database not in getattr(problem, "tags", ()):
            raise ConfigError(problem.msg)
        if problem.id and problem.id.startswith("provisioning."):
            say(f"Warning: {problem.msg}")
    try:
        bootstrap.migrate()
        password = values.admin_password or secrets.token_urlsafe(18)
        is_new = bootstrap.create_first_admin(password)
    except OperationalError as error:
        raise ConfigError(f"the database does not answer: {str(error).splitlines()[0]}") from None
    connections.close_all()
    if is_new and values.admin_password:
        say(f"Created the user {bootstrap.ADMIN_NAME} with the password you have set.")
    elif is_new:
        say(f"Created the user {bootstrap.ADMIN_NAME} with the password {password}")
        say("It is shown only this once: log in and change it.")


def refuse_used_port(host: str, port: int) -> None:
    """Raise ConfigError when somebody listens there; two servers could else share a port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise ConfigError(f"server.host = {host!r}: is no address of this machine") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen on {host} port {port} ({reason}): is another server running? "
            "Choose another with --port."
        ) from None


def run(values: config.Config) -> None:
    """Start web and worker, keep them alive until a signal, stop them in order."""
    from provisioning.processes import Part

    stop, hurry = threading.Event(), threading.Event()

    def on_signal(*_: object) -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    worker, web = Part("worker"), Part("serve")
    announce(values, stop)
    while not stop.wait(SUPERVISE_SECONDS):
        for part in (worker, web):
            if sentence := part.keep_alive():
                say(sentence)
    say("Stopping. Running operations may end; Ctrl-C again to leave them running without waiting.")
    web.ask_to_stop()
    worker.ask_to_stop()
    deadline = time.monotonic() + values.provisioning.shutdown_grace_seconds + STOP_SECONDS
    while worker.is_running and time.monotonic() < deadline:
        if hurry.wait(0.1):
            hurry.clear()
            worker.ask_to_stop()
    web.wait(STOP_SECONDS)
    worker.wait(0)
    say("Stopped.")


def announce(values: config.Config, stop: threading.Event) -> None:
    """Say where it listens once it does."""
    deadline = time.monotonic() + READY_SECONDS
    while not stop.is_set() and time.monotonic() < deadline:
        if is_listening(values.server.host, values.server.port):
            base = base_url(values)
            say(f"Provisioning Server {__version__} listens on {base}")
            say(f"  API documentation  {base}/v1/docs")
            say(f"  Console            {base}/admin/")
            return
        stop.wait(0.05)


def base_url(values: config.Config) -> str:
    """The public URL when there is one, else what reaches us from this machine."""
    if values.server.public_url:
        return values.server.public_url.rstrip("/")
    scheme = "https" if values.server.tls_cert else "http"
    host = values.server.host
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{values.server.port}"


def is_listening(host: str, port: int) -> bool:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    try:
        with socket.create_connection((target, port), timeout=1):
            return True
    except OSError:
        return False


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
