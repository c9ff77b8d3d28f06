"""What a collection keeps as defaults of its searches reaches Milvus; what a search brings itself wins."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.unit.search.memory import INFO, Bench, MemoryStore, bench, item
from vitrine.search.request import SearchRequest, TextPart
from vitrine.vectorstore.index_params import Hnsw
from vitrine.vectorstore.neighbours import Neighbours

REQUEST = SearchRequest("shop", (TextPart("1.0"),), 3)


@dataclass
class TellingStore(MemoryStore):
    """Remembers the settings that `VectorSearcher` would send."""

    sent: list[Mapping[str, int]] = field(default_factory=list)

    async def neighbours(self, collection: str, vectors: Any, **asked: Any) -> list[Neighbours]:
        reach = asked["limit"] + asked["offset"]
        self.sent.append(asked["index"].search_params(asked["params"], limit=asked["wanted"], reach=reach))
        return await super().neighbours(collection, vectors, **asked)


async def test_the_next_search_after_a_change_uses_the_new_defaults() -> None:
    store, plain = TellingStore([item("a", 0.9)]), bench([])
    searching = Bench(store, plain.encoder, plain.names, plain.settings)
    for ef in (64, 300):
        searching.names.known["shop"] = replace(INFO, index=Hnsw().with_search({"ef": ef}))
        await searching.search(REQUEST)
    await searching.search(replace(REQUEST, params={"ef": 17}))
    assert store.sent == [{"ef": 64}, {"ef": 300}, {"ef": 17}]
