"""The servers that the tests of this folder run on, and what one of them does not have.

A test that needs such a part says so, `@needs(Part.IVF_PQ)`, and is not generated for a server without it.
"""

from collections.abc import Mapping
from enum import StrEnum

import pytest

from vitrine.vectorstore.index_params import Flat, Hnsw, HnswSq, IndexParams, IvfFlat, IvfPq, IvfSq8


class Server(StrEnum):
    """The Milvus of the embedded stack, and a second implementation of the newer protocol."""

    MILVUS = "milvus-2.3.5"
    LITE = "milvus-lite-3.2.2"


class Part(StrEnum):
    """What not every server has."""

    IVF_PQ = "builds an IVF_PQ index"
    VERSION_NUMBER = "tells its version as a number that indexes can be compared with"
    SEGMENTS = "tells which segments are searched by index"
    BACKGROUND_LOADING = "loads in the background, for longer than a fraction of a second"
    UNCOUNTED_UNLOADED = "does not count the rows of a collection that is not loaded"
    ATOMIC_CREATION = "refuses the second of two creations at one moment for its name alone"
    RELOADING = "loads after a restart what was loaded before"
    WAITING_READS = "lets a strongly consistent read wait for the next tick of its clock"


LACKS: Mapping[Server, frozenset[Part]] = {
    Server.MILVUS: frozenset(),
    Server.LITE: frozenset(
        {
            Part.IVF_PQ,
            Part.VERSION_NUMBER,
            Part.SEGMENTS,
            Part.BACKGROUND_LOADING,
            Part.UNCOUNTED_UNLOADED,
            Part.ATOMIC_CREATION,
            Part.RELOADING,
            Part.WAITING_READS,
        }
    ),
}


_COMMON = (Flat(), Hnsw(), IvfFlat(nlist=16, nprobe=8), IvfSq8(nlist=16, nprobe=8))
BUILDABLE: Mapping[Server, tuple[IndexParams, ...]] = {
    Server.MILVUS: (*_COMMON, IvfPq(nlist=16, m=16, nprobe=12)),
    Server.LITE: (*_COMMON, HnswSq()),
}
"""The kinds of index that each server builds."""


def needs(*parts: Part) -> pytest.MarkDecorator:
    """The test is for servers that have all of these."""
    return pytest.mark.needs(*parts)


def servers_for(definition: pytest.Item) -> list[Server]:
    """The servers that have what a test needs.

    Raises:
        pytest.UsageError: no server has: the test would never run.
    """
    parts = {part for mark in definition.iter_markers("needs") for part in mark.args}
    servers = [server for server in Server if not parts & LACKS[server]]
    if not servers:
        raise pytest.UsageError(f"{definition.nodeid} needs {', '.join(sorted(parts))}, which no server has in one")
    return servers
