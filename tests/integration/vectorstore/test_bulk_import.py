import pytest

from tests.fixtures.stack import RunningService
from vitrine.vectorstore.bulk_import import BulkImportUnsupported, RpcImporter, bulk_importer
from vitrine.vectorstore.connection import MilvusConnection


async def test_milvus_imports_through_its_grpc_service(milvus_server: RunningService) -> None:
    async with (
        await MilvusConnection.open(milvus_server.settings.milvus) as connection,
        bulk_importer(connection) as importer,
    ):
        assert isinstance(importer, RpcImporter)


async def test_milvus_lite_is_told_to_be_unable_before_anything_is_made(milvus_lite_server: RunningService) -> None:
    async with await MilvusConnection.open(milvus_lite_server.settings.milvus) as connection:
        with pytest.raises(BulkImportUnsupported):
            async with bulk_importer(connection):
                pytest.fail("there is nothing to import with")
