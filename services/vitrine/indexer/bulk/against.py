"""Bulk files compared with a collection that exists: would they fit in, or beside it behind the same alias?"""

from collections.abc import Iterator
from pathlib import Path

from vitrine.errors import CollectionNotFound, ContractMismatch
from vitrine.indexer.bulk.manifest import MANIFEST_FILE, BulkFilesInvalid, Manifest
from vitrine.indexer.bulk.problems import Problem
from vitrine.indexer.target import CollectionDiffers, Wanted, require_same
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection


async def compare_with_collection(folder: Path, collection: str, settings: MilvusSettings) -> list[Problem]:
    """What of model, dimension and fields differs.

    Args:
        collection: a collection's name or an alias.

    Raises:
        VectorStoreUnavailable, DeadlineExceeded: Milvus does not answer.
    """
    async with await MilvusConnection.open(settings) as connection:
        try:
            info = await CollectionAdmin(connection).describe(collection, counted=False)
        except CollectionNotFound as error:
            return [Problem("collection_not_found", error.message)]
    try:
        return list(_differences(Manifest.read_from(folder), info))
    except BulkFilesInvalid:  # told by the check of the files
        return []


def _differences(manifest: Manifest, info: CollectionInfo) -> Iterator[Problem]:
    if manifest.dimension != info.dimension:
        yield Problem("dimension_differs", f"vectors of {manifest.dimension}, {info.name} holds {info.dimension}")
    wanted = Wanted("", manifest.dimension, manifest.fields, None, manifest.fingerprint, manifest.model)
    try:
        require_same(info, wanted)
    except (ContractMismatch, CollectionDiffers) as error:
        yield Problem(error.code, error.message, MANIFEST_FILE)
