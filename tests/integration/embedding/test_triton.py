"""What Triton does with more work than it can take, and what becomes of it on this side."""

import asyncio
import re
import shutil
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.stack import RunningService, RunningStack, settings_on_free_ports
from vitrine.domain import Deadline, Vectors
from vitrine.embedding.caching_encoder import open_caching_encoder
from vitrine.embedding.contract import ModelContract
from vitrine.embedding.encoder import open_encoder
from vitrine.embedding.transport.servers import Servers
from vitrine.embedding.triton import TritonClient, _refusal, infer_request
from vitrine.errors import DeadlineExceeded, Overloaded
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.telemetry.stages import StageClock

CALLS = 64
PICTURES = np.random.default_rng(5).integers(0, 256, (8, 224, 224, 3), np.uint8)


@pytest.fixture(scope="module")
def short_queue(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A Triton whose models let two requests wait, the rest of the repository as it is."""
    folder = tmp_path_factory.mktemp("short_queue")
    repository = folder / "models"
    shutil.copytree(model_repository, repository)
    for config in repository.glob("*/config.pbtxt"):
        text, changed = re.subn(r"max_queue_size: \d+", "max_queue_size: 2", config.read_text())
        assert changed == 1, f"{config} bounds no queue"
        config.write_text(text)
    stack = RunningStack(settings_on_free_ports(folder / "state", repository), folder)
    stack.triton.start()
    stack.triton.wait_ready()
    yield stack.triton
    stack.triton.stop()


async def outcomes(triton: RunningService, seconds: float) -> list[Vectors | BaseException]:
    """What CALLS calls at the same time came to."""
    client = TritonClient(triton.settings.triton)
    try:
        calls = (client.infer_image(PICTURES, Deadline.after(seconds)) for _ in range(CALLS))
        return await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await client.close()


def failures(triton: RunningService, reason: str) -> int:
    """How many requests for pictures Triton counts as failed for a reason of its own list."""
    url = f"http://127.0.0.1:{triton.settings.local.triton_metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    pattern = rf'^nv_inference_request_failure{{model="clip_image",reason="{reason}".*}} (\S+)$'
    return int(sum(map(float, re.findall(pattern, text, re.MULTILINE))))


async def test_a_full_queue_refuses_what_comes_on_top_and_answers_the_rest(short_queue: RunningService) -> None:
    answers = await outcomes(short_queue, 30)
    kinds = Counter(type(answer) for answer in answers)
    assert set(kinds) == {np.ndarray, Overloaded}, kinds
    vectors = [answer for answer in answers if isinstance(answer, np.ndarray)]
    for vector in vectors:
        np.testing.assert_allclose(vector, vectors[0], atol=1e-5)


async def test_a_request_whose_caller_waits_no_more_is_not_computed(triton_server: RunningService) -> None:
    before = failures(triton_server, "REJECTED")
    answers = await outcomes(triton_server, 0.3)
    kinds = Counter(type(answer) for answer in answers)
    assert kinds[DeadlineExceeded] > 0
    assert set(kinds) <= {np.ndarray, DeadlineExceeded}, kinds
    vectors = await one_call(triton_server)
    assert vectors.shape == (8, ModelContract.load(triton_server.settings.model.repository).dimension)
    assert failures(triton_server, "REJECTED") > before


async def test_the_queue_itself_rejects_what_has_waited_out_its_own_timeout(triton_server: RunningService) -> None:
    """The bound that holds for callers of any kind: these are patient, only the request's timeout is short."""
    before = failures(triton_server, "REJECTED")
    body, json_bytes = infer_request("pixels", "UINT8", PICTURES, 0.1)
    servers = Servers(triton_server.settings.triton.url)
    headers = [("Inference-Header-Content-Length", str(json_bytes))]
    try:
        answers = await asyncio.gather(
            *(servers.post("/v2/models/clip_image/infer", headers, body, 60) for _ in range(CALLS))
        )
    finally:
        servers.close()
    refused = [answer for answer in answers if answer.status != 200]
    assert refused, "all were computed, however long they waited"
    assert {type(_refusal("clip_image", answer)) for answer in refused} == {DeadlineExceeded}
    assert failures(triton_server, "REJECTED") - before == len(refused)


def texts_computed(triton: RunningService) -> int:
    """How many texts Triton has run through its model so far."""
    url = f"http://127.0.0.1:{triton.settings.local.triton_metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return int(sum(map(float, re.findall(r'^nv_inference_count{model="clip_text".*} (\S+)$', text, re.MULTILINE))))


async def test_equal_queries_at_once_and_afterwards_are_computed_once(triton_server: RunningService) -> None:
    metrics = GatewayMetrics("1", (), (), ())
    async with open_caching_encoder(triton_server.settings, metrics.embedding_cache) as encoder:
        await encoder.check_contract(Deadline.after(10))
        before = await asyncio.to_thread(texts_computed, triton_server)
        asked = (encoder.encode_texts(["a red dress for all"], Deadline.after(30), StageClock()) for _ in range(CALLS))
        answers = await asyncio.gather(*asked)
        answers.append(await encoder.encode_texts(["A  red DRESS for all"], Deadline.after(30), StageClock()))
        assert await asyncio.to_thread(texts_computed, triton_server) == before + 1
    for answer in answers:
        np.testing.assert_array_equal(answer.vectors, answers[0].vectors)
    np.testing.assert_allclose(np.linalg.norm(answers[0].vectors), 1, atol=1e-5)


async def one_call(triton: RunningService) -> Vectors:
    client = TritonClient(triton.settings.triton)
    try:
        return await client.infer_image(PICTURES, Deadline.after(30))
    finally:
        await client.close()


async def test_the_live_triton_names_the_contract_it_serves(triton_server: RunningService) -> None:
    contract = ModelContract.load(triton_server.settings.model.repository)
    client = TritonClient(triton_server.settings.triton)
    try:
        found = await client.fingerprints(Deadline.after(10))
    finally:
        await client.close()
    assert found == {"clip_text": contract.fingerprint, "clip_image": contract.fingerprint}


async def test_a_text_has_one_vector_whatever_it_is_sent_with(triton_server: RunningService) -> None:
    texts = ["red dress", "a floral top with long sleeves and a round collar", "socks", "x " * 200]
    async with open_encoder(triton_server.settings) as encoder:
        together = await encoder.encode_texts(texts, Deadline.after(30), StageClock())
        alone = [await encoder.encode_texts([text], Deadline.after(30), StageClock()) for text in texts]
    np.testing.assert_allclose(together.vectors, np.concatenate([one.vectors for one in alone]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together.vectors, axis=1), 1, atol=1e-5)
    assert together.truncated == (False, False, False, True)
