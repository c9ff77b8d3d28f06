"""Makes, loads and removes collections, and points aliases at them."""

import asyncio
import contextlib
import dataclasses
import json
import logging
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.domain import Deadline
from vitrine.errors import CollectionNotFound, CollectionNotReady, InvalidInput, VitrineError
from vitrine.vectorstore.collection import (
    EMBEDDING,
    METRIC,
    PROPERTY_ATTEMPT,
    PROPERTY_BUILD_ID,
    PROPERTY_BULK_SOURCE,
    PROPERTY_SEARCH_DEFAULTS,
    CollectionInfo,
    CollectionSpec,
    build_schema,
    info_from,
    properties_of,
    valid_collection_name,
)
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.index_reader import POLL_S, IndexReader, Progress
from vitrine.vectorstore.lineage import PROPERTY_LINEAGE, Lineage

__all__ = ["CollectionAdmin", "Progress"]

_log = logging.getLogger(__name__)


class CollectionAdmin(IndexReader):
    """Changes to whole collections of one Milvus, and every question that `IndexReader` answers."""

    async def create(
        self,
        spec: CollectionSpec,
        *,
        replace_incomplete: bool = False,
        deadline: Deadline | None = None,
        on_progress: Progress | None = None,
    ) -> CollectionInfo:
        """Creates a collection, its index, and loads it.

        The build id is written last: a collection without one was interrupted on the way. `list` shows it, nothing can
        be written into it, and it can be dropped or made again.

        Args:
            spec: what to make.
            replace_incomplete: drop a half-made collection of that name first. Only for a caller who knows that nobody
                else is making it at this moment.
            deadline: for all of it.
            on_progress: told about the wait for loading.

        Raises:
            InvalidInput: the name is taken, or the server is too old for the index.
        """
        until = self._until(deadline)
        await self._require_server(spec.index, until)
        await self._require_free(spec.name, until, replace_incomplete=replace_incomplete)
        attempt = secrets.token_hex(8)
        await self._ask(
            "create the collection",
            spec.name,
            until,
            lambda timeout: self._client.create_collection(
                spec.name,
                schema=build_schema(spec),
                properties=properties_of(spec, attempt=attempt, created_at=datetime.now(UTC)),
                consistency_level="Bounded",
                timeout=timeout,
            ),
        )
        try:
            return await self._finish(spec, attempt, until, on_progress)
        except VitrineError:
            with contextlib.suppress(VitrineError):
                await self._drop_own(spec.name, attempt)
            raise

    async def load(self, name: str, *, deadline: Deadline | None = None, on_progress: Progress | None = None) -> None:
        """Loads a collection into memory and waits until it can be searched; no error when it is."""
        until = self._until(deadline)
        loading = asyncio.ensure_future(
            self._ask("load the collection", name, until, lambda t: self._client.load_collection(name, timeout=t))
        )
        try:
            while not (await asyncio.wait({loading}, timeout=POLL_S))[0]:
                if on_progress is not None:
                    on_progress(f"loading {name}", await self._load_share(name, until))
            await loading
        finally:
            loading.cancel()
        if on_progress is not None:
            on_progress(f"loading {name}", 1.0)

    async def begin_load(self, name: str, deadline: Deadline | None = None) -> None:
        """Asks Milvus to load a collection and waits for its word alone: the loading goes on by itself."""
        until = self._until(deadline, waits=False)
        request = milvus_pb2.LoadCollectionRequest(collection_name=name)
        await self._connection.call(
            "LoadCollection", request, seconds=until.remaining(), doing="load the collection", collection=name
        )

    async def release(self, name: str, deadline: Deadline | None = None) -> None:
        """Takes a collection out of memory; its data stays. No error when it is out."""
        until = self._until(deadline)
        await self._ask(
            "release the collection", name, until, lambda t: self._client.release_collection(name, timeout=t)
        )

    async def drop(self, name: str, deadline: Deadline | None = None) -> None:
        """Removes a collection and its data; no error when it is gone already.

        Raises:
            InvalidInput: an alias points at it, or `name` is one. Milvus 2.3 would drop the collection and leave the
                alias behind, taken and pointing nowhere.
        """
        until = self._until(deadline)
        try:
            description = await self._description(name, until)
        except CollectionNotFound:
            return
        if description["collection_name"] != name or description.get("aliases"):
            aliases = list(description.get("aliases", ()))
            raise InvalidInput(
                f"{name!r} cannot be dropped while an alias points at it: {', '.join(aliases)}.",
                collection=description["collection_name"],
                aliases=aliases,
            )
        await self._ask("drop the collection", name, until, lambda t: self._client.drop_collection(name, timeout=t))

    async def point_alias(self, alias: str, name: str, deadline: Deadline | None = None) -> None:
        """Makes an alias, or moves it in one step: every search before sees the old collection, every later one `name`.

        Raises:
            InvalidInput: `alias` is no name an alias can have, or a collection has it.
            CollectionNotReady: `name` is half-made.
        """
        if not valid_collection_name(alias):
            raise InvalidInput(f"{alias!r} cannot be an alias: letters, digits and _ only.", alias=alias)
        until = self._until(deadline, waits=False)
        description = await self._description(name, until)
        if not info_from(description, rows=0, loaded=False).complete:
            raise CollectionNotReady(f"Collection {name!r} is half-made.", collection=name)
        if await self.exists(alias, until) and await self.alias_target(alias, until) is None:
            raise InvalidInput(f"{alias!r} cannot be an alias: a collection has that name.", alias=alias)
        client, target = self._client, description["collection_name"]
        try:
            await self._ask("move the alias", alias, until, lambda t: client.alter_alias(target, alias, timeout=t))
        except CollectionNotFound:  # there is no such alias yet
            await self._ask("make the alias", alias, until, lambda t: client.create_alias(target, alias, timeout=t))

    async def remove_alias(self, alias: str, deadline: Deadline | None = None) -> None:
        """Removes an alias; no error when there is none."""
        until = self._until(deadline, waits=False)
        with contextlib.suppress(CollectionNotFound):
            await self._ask("remove the alias", alias, until, lambda t: self._client.drop_alias(alias, timeout=t))

    async def set_search_defaults(
        self, name: str, settings: Mapping[str, int], deadline: Deadline | None = None
    ) -> CollectionInfo:
        """Changes what searches of a collection use unless they bring settings of their own.

        Gateways take it up when they next ask what the collection is, within their directory's time to live; it
        survives a restart of Milvus. Settings not named keep their value.

        Args:
            name: the collection's own.
            settings: such as `{"ef": 128}`.
            deadline: for all of it.

        Raises:
            InvalidInput: `name` is an alias, or its index takes no such setting.
            LimitExceeded: a value out of bounds.
        """
        until = self._until(deadline, waits=False)
        info = await self.describe(name, until, counted=False)
        if info.name != name:
            raise InvalidInput(f"{name!r} is an alias; the collection is {info.name}.", collection=info.name)
        changed = info.index.with_search(settings)
        await self._set_property(name, PROPERTY_SEARCH_DEFAULTS, json.dumps(changed.search_settings()), until)
        return dataclasses.replace(info, index=changed)

    async def record_lineage(self, name: str, lineage: Lineage, deadline: Deadline | None = None) -> None:
        """Replaces the lineage of a collection, named by its own name; it survives a restart of Milvus."""
        until = self._until(deadline, waits=False)
        await self._set_property(name, PROPERTY_LINEAGE, lineage.as_text(), until)

    async def record_bulk_source(self, name: str, digest: str, deadline: Deadline | None = None) -> None:
        """Notes which bulk files a collection is being filled from, before any of them is."""
        until = self._until(deadline, waits=False)
        await self._set_property(name, PROPERTY_BULK_SOURCE, digest, until)

    async def _finish(
        self, spec: CollectionSpec, attempt: str, until: Deadline, on_progress: Progress | None
    ) -> CollectionInfo:
        await self._create_index(spec, until)
        await self.load(spec.name, deadline=until, on_progress=on_progress)
        # Two processes that create the same collection at the same moment both succeed; the properties tell them apart.
        description = await self._description(spec.name, until)
        if description.get("properties", {}).get(PROPERTY_ATTEMPT) != attempt:
            raise InvalidInput(f"Another process is creating {spec.name!r} at this moment.", collection=spec.name)
        await self._set_property(spec.name, PROPERTY_BUILD_ID, secrets.token_hex(16), until)
        return await self.describe(spec.name, until)

    async def _create_index(self, spec: CollectionSpec, until: Deadline) -> None:
        """The client's own method also waits half a second, for an index over no rows, and asks without a timeout."""
        parameters = {
            "index_type": spec.index.index_type,
            "metric_type": METRIC,
            "params": json.dumps(spec.index.build_params()),
        }
        request = milvus_pb2.CreateIndexRequest(
            collection_name=spec.name,
            field_name=EMBEDDING,
            index_name=EMBEDDING,
            extra_params=[common_pb2.KeyValuePair(key=key, value=value) for key, value in parameters.items()],
        )
        await self._connection.call(
            "CreateIndex", request, seconds=until.remaining(), doing="create the index", collection=spec.name
        )

    async def _set_property(self, name: str, key: str, value: str, until: Deadline) -> None:
        # Milvus 2.3.5 shows a changed property at once but stores what stood before the change: after a restart the
        # last change is gone (milvus #30144). So each is made twice.
        for _ in range(2):
            await self._ask(
                "keep the collection's properties",
                name,
                until,
                lambda t: self._client.alter_collection_properties(name, {key: value}, timeout=t),
            )

    async def _drop_own(self, name: str, attempt: str) -> None:
        until = self._until(None, waits=False)
        description = await self._description(name, until)
        if description.get("properties", {}).get(PROPERTY_ATTEMPT) == attempt:
            _log.warning("creating %s failed; what was made of it is dropped", name)
            await self._ask("drop the collection", name, until, lambda t: self._client.drop_collection(name, timeout=t))

    async def _require_server(self, index: IndexParams, until: Deadline) -> None:
        version = await self._connection.server_version(until)
        numbers = _numbers(version)
        if numbers and numbers < _numbers(index.minimum_server):
            raise InvalidInput(
                f"{index.index_type} needs Milvus {index.minimum_server} or newer; this one is {version}.",
                index=index.index_type,
                minimum_server=index.minimum_server,
                server=version,
            )

    async def _require_free(self, name: str, until: Deadline, *, replace_incomplete: bool) -> None:
        try:
            description = await self._description(name, until)
        except CollectionNotFound:
            return
        half_made = PROPERTY_ATTEMPT in description["properties"] and PROPERTY_BUILD_ID not in description["properties"]
        if half_made and replace_incomplete:
            await self.drop(name, until)
            return
        what = "a half-made collection" if half_made else "taken"
        raise InvalidInput(f"The name {name!r} is {what} already.", collection=name, half_made=half_made)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers a version starts with; none for names such as "master", whose server may judge for itself."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
