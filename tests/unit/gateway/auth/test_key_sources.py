import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge

from tests.unit.gateway.auth.conftest import AUDIENCE, ISSUER, Issuer
from vitrine.gateway.auth import key_sources
from vitrine.gateway.auth.errors import IssuerUnavailable, Unauthenticated
from vitrine.gateway.auth.key_sources import MAX_AGE_S, MIN_PAUSE_S, FetchedKeys, FileKeys
from vitrine.gateway.auth.signing_keys import MAX_SET_BYTES
from vitrine.gateway.auth.tokens import TokenReader
from vitrine.settings import AuthSettings

URL = "https://issuer.example/jwks"


@dataclass
class Provider:
    """What answers at the issuer's address, how often it was asked, and the time."""

    content: bytes
    status: int = 200
    failure: Exception | None = None
    gate: asyncio.Event | None = None
    asked: int = 0
    now: float = 1000.0
    stale: Gauge = field(default_factory=lambda: Gauge("stale", "x", registry=CollectorRegistry()))

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        assert str(request.url) == URL
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        headers = {"location": "https://elsewhere.example/"} if 300 <= self.status < 400 else {}
        return httpx.Response(self.status, content=self._pieces(), headers=headers)

    async def _pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), 10_000):
            yield self.content[start : start + 10_000]

    @property
    def staleness(self) -> float:
        return next(iter(self.stale.collect())).samples[0].value


@pytest.fixture
def provider(issuer: Issuer) -> Provider:
    return Provider(issuer.key_set())


@pytest.fixture
async def keys(provider: Provider) -> AsyncIterator[FetchedKeys]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(provider.answer))
    keys = FetchedKeys(client, URL, provider.stale, clock=lambda: provider.now)
    yield keys
    await keys.close()


async def test_keys_are_fetched_once_and_again_when_they_are_old(keys: FetchedKeys, provider: Provider) -> None:
    assert keys.current is None
    for _ in range(3):
        await keys.refresh()
    assert provider.asked == 1
    first = keys.current
    assert first is not None
    assert first.keys() == {"r1", "e1"}
    provider.now += MAX_AGE_S
    await keys.refresh()
    assert provider.asked == 2
    assert keys.current is first, "the same keys stay the same object"


async def test_a_known_key_asks_nobody(keys: FetchedKeys, provider: Provider) -> None:
    await keys.refresh()
    found = await keys.with_kid("r1")
    assert found is keys.current
    assert provider.asked == 1


async def test_a_new_key_of_the_issuer_is_learned_when_it_is_first_used(
    keys: FetchedKeys, provider: Provider, issuer: Issuer
) -> None:
    await keys.refresh()
    provider.content = issuer.key_set(rsa_kid="r2")
    provider.now += MIN_PAUSE_S
    found = await keys.with_kid("r2")
    assert found is not None
    assert found.keys() == {"r2", "e1"}


async def test_invented_keys_do_not_make_more_fetches(keys: FetchedKeys, provider: Provider) -> None:
    for n in range(100):
        found = await keys.with_kid(f"invented-{n}")
        assert found is not None
        assert f"invented-{n}" not in found
    assert provider.asked == 1
    provider.now += MIN_PAUSE_S
    for n in range(100):
        await keys.with_kid(f"invented-{n}")
    assert provider.asked == 2


async def test_callers_at_the_same_time_wait_for_one_fetch(keys: FetchedKeys, provider: Provider) -> None:
    provider.gate = asyncio.Event()
    waiting = [asyncio.create_task(keys.with_kid("r1")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting[0].cancel()
    provider.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert provider.asked == 1
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(keys.current is one for one in found[1:])


@pytest.mark.parametrize(
    ("status", "content", "failure"),
    [
        (500, b"", None),
        (302, b"", None),
        (200, b"not json", None),
        (200, b'{"keys": []}', None),
        (200, b" " * (MAX_SET_BYTES + 1), None),
        (200, b"", httpx.ConnectError("refused")),
        (200, b"", httpx.ReadTimeout("slow")),
    ],
)
async def test_a_failed_fetch_leaves_the_keys_and_is_told_once(
    keys: FetchedKeys,
    provider: Provider,
    status: int,
    content: bytes,
    failure: Exception | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await keys.refresh()
    before, good = keys.current, provider.content
    provider.status, provider.content, provider.failure = status, content, failure
    for _ in range(3):
        provider.now += MAX_AGE_S
        await keys.refresh()
        assert keys.current is before
        assert provider.staleness == 1
    assert provider.asked == 4, "a redirect is not followed either"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    provider.status, provider.content, provider.failure = 200, good, None
    provider.now += MIN_PAUSE_S
    await keys.refresh()
    assert provider.staleness == 0


async def test_a_provider_that_never_answers_is_given_up(
    keys: FetchedKeys, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sources, "FETCH_TIMEOUT_S", 0.02)
    provider.gate = asyncio.Event()
    assert await keys.with_kid("r1") is None
    assert provider.staleness == 1


async def test_tokens_before_the_first_keys_are_answered_later_and_after_them_at_once(
    keys: FetchedKeys, provider: Provider, issuer: Issuer
) -> None:
    reader = TokenReader(AuthSettings(oidc_issuer=ISSUER, oidc_audience=AUDIENCE), keys)
    provider.status = 503
    with pytest.raises(IssuerUnavailable):
        await reader.principal_of(issuer.token())
    provider.status = 200
    with pytest.raises(IssuerUnavailable):
        await reader.principal_of(issuer.token())
    provider.now += MIN_PAUSE_S
    assert (await reader.principal_of(issuer.token())).collections == {"products"}
    with pytest.raises(Unauthenticated):
        await reader.principal_of(issuer.token(header={"kid": "other"}))


async def test_closing_gives_up_a_fetch_under_way(keys: FetchedKeys, provider: Provider) -> None:
    provider.gate = asyncio.Event()
    waiting = asyncio.create_task(keys.with_kid("r1"))
    await asyncio.sleep(0.01)
    await keys.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_a_file_of_keys_is_read_again_when_it_changes(jwks_file: Path, issuer: Issuer) -> None:
    keys = FileKeys(jwks_file, Gauge("stale", "x", registry=CollectorRegistry()))
    assert asyncio.run(keys.with_kid("r9")).keys() == {"r1", "e1"}
    jwks_file.write_bytes(issuer.key_set(rsa_kid="r9"))
    asyncio.run(keys.refresh())
    assert asyncio.run(keys.with_kid("r9")).keys() == {"r9", "e1"}
