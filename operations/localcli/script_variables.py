"""The environment variables by which a script is told what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping

from operations.localcli import servers
from operations.localcli.installations import Installation, Noun
from operations.localcli.workspace import Workspace


def script_variables(
    workspace: Workspace, noun: Noun, record: Installation, settings: Mapping[str, object]
) -> dict[str, str]:
    """TASKSERV_NAME, _VERSION, _SERVER, _SETTINGS, or the same of CLUSTER with _SERVERS.

    _SETTINGS is one JSON object, _SERVERS a JSON array of servers; what is not given is empty.
    """
    prefix = noun.word.upper()
    variables = {
        "PROVISIONING_WORKSPACE": workspace.name,
        f"{prefix}_NAME": record["name"],
        f"{prefix}_VERSION": record["version"] or "",
        f"{prefix}_SETTINGS": json.dumps(settings),
    }
    if noun.is_on_server:
        return {**variables, f"{prefix}_SERVER": record["server"] or ""}
    hosts = [servers.result(server) for server in servers.find_all(workspace)]
    return {**variables, f"{prefix}_SERVERS": json.dumps(hosts)}
