"""Which collection a search sees: the one behind its alias, or for a while the one before it.

Models are upgraded by moving the alias to a collection of the new model, and gateways one by one. A gateway that still
has the old model goes on with the collection that the alias came from, if that one is of its model: it is whole, it is
loaded, and nothing is mixed. A gateway never looks further back than that one step.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from vitrine.domain import Deadline
from vitrine.embedding.contract import ModelContract
from vitrine.errors import CollectionNotFound, CollectionNotReady, VitrineError
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.directory import CollectionDirectory

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a search of some alias sees; `previous` when the alias itself points at a collection of another model."""

    collection: CollectionInfo
    previous: bool = False


class Resolver:
    """Finds the one collection of a search that this process can search.

    Args:
        directory: for aliases.
        contract: of the model here.
    """

    def __init__(self, directory: CollectionDirectory, contract: ModelContract) -> None:
        self._directory = directory
        self._contract = contract
        self._told: dict[str, str] = {}

    async def resolve(self, name: str, deadline: Deadline) -> Resolved:
        """The loaded collection of this model behind a name or alias.

        Raises:
            CollectionNotFound: no such name.
            CollectionNotReady: it is half-made or not loaded.
            ContractMismatch: it is of another model, and there is no earlier one of this model.
            VectorStoreUnavailable, DeadlineExceeded
        """
        found = await self._directory.resolve(name, deadline)
        if found.fingerprint != self._contract.fingerprint and found.name != name:
            before = await self._before(found, deadline)
            if before is not None:
                self._tell(name, found, before)
                return Resolved(before, previous=True)
        self._contract.require(found.fingerprint, f"Collection {found.name}")
        if not found.loaded:
            raise CollectionNotReady(f"Collection {found.name} is not loaded.", collection=found.name)
        return Resolved(found)

    async def resolve_all(self, names: Iterable[str], deadline: Deadline) -> dict[str, Resolved | VitrineError]:
        """Each name asked for once, with what `resolve` gives or raises: searches that come together see one collection
        of an alias, wherever it moves."""

        async def one(name: str) -> Resolved | VitrineError:
            try:
                return await self.resolve(name, deadline)
            except VitrineError as error:
                return error

        different = list(dict.fromkeys(names))
        if len(different) == 1:  # a task costs 20 microseconds
            return {different[0]: await one(different[0])}
        return dict(zip(different, await asyncio.gather(*map(one, different)), strict=True))

    async def _before(self, found: CollectionInfo, deadline: Deadline) -> CollectionInfo | None:
        """Where the alias came from, if this process can search it."""
        if not found.lineage.moved_from:
            return None
        try:
            before = await self._directory.resolve(found.lineage.moved_from, deadline)
        except (CollectionNotFound, CollectionNotReady):
            return None
        return before if before.loaded and before.fingerprint == self._contract.fingerprint else None

    def _tell(self, alias: str, found: CollectionInfo, before: CollectionInfo) -> None:
        """Once for each move of an alias: somebody must restart this process some day."""
        if self._told.get(alias) != found.build_id:
            self._told[alias] = found.build_id
            _log.warning(
                "%s points at %s, which is of another model (%s). This process goes on with %s until it is restarted "
                "with that model.",
                alias,
                found.name,
                found.model,
                before.name,
            )
