"""The table of kinds: what can be asked, and who reads its params."""

from __future__ import annotations

from operations.localcli import installation_commands, server_commands
from operations.localcli.installations import CLUSTER, TASKSERV
from operations.localcli.params import Params
from operations.localcli.request import Reader, Request

READERS: dict[str, Reader] = {
    "server_create": server_commands.CreateServer.read,
    "server_delete": server_commands.DeleteServer.read,
    "server_list": server_commands.ListServers.read,
    "server_status": server_commands.ServerStatus.read,
    "server_ssh": server_commands.SshToServer.read,
    **installation_commands.readers(TASKSERV),
    **installation_commands.readers(CLUSTER),
}
# Those that may be steps of a batch.
CHANGING = [kind for kind in READERS if kind.endswith(("_create", "_delete"))]


def read(kind: str, params: Params) -> Request:
    """The request of `kind`; raises BadInputError when its params break a rule."""
    return READERS[kind](params)
