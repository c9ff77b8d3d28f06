"""Ends the sessions of a dead Milvus, so that a restarted one serves at once.

Milvus's roles register in etcd with leases of 30 s. After a restart the predecessors are still there, and collections
are assigned to them until their leases run out: measured on 2.3.5, searches failed or came back empty for 60 s after a
SIGKILL; with this, for 2 s. (Shorter leases are no way out: with 5 s, a pause of 4 s ends the server.)
"""

import base64
import contextlib
import http.client
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from vitrine.local.service import LOOPBACK, PROBE_TIMEOUT_S

SESSIONS: Final = "by-dev/meta/session/"  # the server's default etcd.rootPath and etcd.metaSubPath
_NUMBERED: Final = re.compile(r"/(?P<role>[a-z]+)-(?P<number>\d+)$")
_MOST_KEYS: Final = 1_000


def end_dead_sessions(etcd_port: int) -> list[str]:
    """Removes all but the newest session of each role; this stack runs one of each.

    Args:
        etcd_port: client port of the etcd inside the Milvus that is starting.

    Returns:
        Keys that were removed. None while etcd does not answer yet: it is asked again with the next probe.
    """
    ended: list[str] = []
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
        prefix_end = SESSIONS[:-1] + chr(ord(SESSIONS[-1]) + 1)
        answer = _ask(
            etcd_port,
            "range",
            {"key": _encoded(SESSIONS), "range_end": _encoded(prefix_end), "keys_only": True, "limit": _MOST_KEYS},
        )
        keys = [base64.b64decode(entry["key"]).decode() for entry in answer.get("kvs", [])]
        for key in outdated(keys):
            _ask(etcd_port, "deleterange", {"key": _encoded(key)})
            ended.append(key)
    return ended


def outdated(keys: Iterable[str]) -> list[str]:
    """Of keys that end in a role and a server number, those that are not their role's highest number.

    Coordinators have one key without a number, which a restarted one replaces by itself.
    """
    by_role: dict[str, list[tuple[int, str]]] = {}
    for key in keys:
        if match := _NUMBERED.search(key):
            by_role.setdefault(match["role"], []).append((int(match["number"]), key))
    return [key for sessions in by_role.values() for _, key in sorted(sessions)[:-1]]


def _encoded(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def _ask(port: int, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    """etcd's JSON gateway."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("POST", f"/v3/kv/{verb}", json.dumps(body), {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()
