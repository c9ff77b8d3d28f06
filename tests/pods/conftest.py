"""The chart's pods, run by podman beside the real engines.

`make test-pods` makes the images, and a network of their own in which the chart's ports are free.
"""

import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.fixtures.indexing import Shelf
from tests.fixtures.stack import START_TIMEOUT_S, RunningStack, engines_dir
from tests.helm.rendering import Pod, Rendered, render
from tests.pods.provided import Provided
from tests.pods.running import PodRunning
from tests.pods.translation import translate
from vitrine.demo.catalogue import write_catalogue
from vitrine.local.gateway import meeting_the_stack
from vitrine.settings import LocalSettings, ModelSettings, Settings
from vitrine.vectorstore.connection import MilvusConnection

OVERLAY: Final = Path(__file__).with_name("overlay.yaml")
PRODUCTS: Final = int(os.environ.get("POD_PRODUCTS", "240"))
INDEXING_TIMEOUT_S: Final = 300.0
_SEED: Final = 7

Start = Callable[..., PodRunning]


def rendered_here(example: str, *more: str) -> Rendered:
    """An example as it is, but for what overlay.yaml says."""
    return render(example, f"--values={OVERLAY}", *more)


@pytest.fixture(scope="session")
def stack_under_test(tmp_path_factory: pytest.TempPathFactory, model_repository: Path) -> Iterator[RunningStack]:
    """The session's stack at the ports that the chart names, which only a network of our own has free."""
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        pytest.fail("These tests want a network of their own: run `make test-pods`.")
    state_dir = tmp_path_factory.mktemp("stack")
    local = LocalSettings(state_dir=state_dir, engines_dir=engines_dir(), start_timeout_s=START_TIMEOUT_S)
    settings = meeting_the_stack(Settings(local=local, model=ModelSettings(repository=model_repository)))
    stack = RunningStack(settings, state_dir)
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smaller demo shop."""
    folder = tmp_path_factory.mktemp("catalogue")
    folder.chmod(0o755)  # a claim that is mounted read-only gets no fsGroup
    write_catalogue(folder, count=PRODUCTS, seed=_SEED, workers=2, on_progress=lambda _done, _total: None)
    return folder


@pytest.fixture(scope="session")
def provided(tmp_path_factory: pytest.TempPathFactory, model_repository: Path, catalogue: Path) -> Provided:
    """What docs/kubernetes.md has people make before they install the chart."""
    work = tmp_path_factory.mktemp("pods")
    claims = {"vitrine-models": model_repository, "vitrine-catalogue": catalogue}
    return Provided(work, claims, services=("milvus",))


@pytest.fixture(scope="module")
def start(stack: RunningStack, provided: Provided) -> Iterator[Start]:
    """Starts pods beside the engines; at a module's end they are removed, whatever became of them."""
    del stack  # ready, before any pod
    with _pods(provided) as start_pod:
        yield start_pod


@pytest.fixture(scope="session")
def indexing_pod(stack: RunningStack, provided: Provided) -> Iterator[PodRunning]:
    """The pod of the indexer's Job with the values for a laptop, ended: the alias `products` leads to the catalogue."""
    del stack
    rendered = rendered_here("dev")
    (pod,) = rendered.pods_of("indexer")
    with _pods(provided) as start_pod:
        running = start_pod(rendered, pod, provided.with_claims_of(rendered))
        assert running.wait_ended(INDEXING_TIMEOUT_S) == 0, running.log()
        yield running


@pytest.fixture(scope="module")
def gateway(start: Start, indexing_pod: PodRunning) -> Iterator[PodRunning]:
    """The gateway's pod with the values for a laptop, ready by its own probes."""
    del indexing_pod  # /readyz is 503 without a collection
    rendered = rendered_here("dev")
    (pod,) = rendered.pods_of("gateway")
    running = start(rendered, pod)
    running.wait_ready()
    yield running
    running.remove()


@contextmanager
def _pods(provided: Provided) -> Iterator[Start]:
    started: list[PodRunning] = []

    def start_pod(rendered: Rendered, pod: Pod, given: Provided = provided, **more: int) -> PodRunning:
        launch = translate(rendered, pod, given, **more)
        started.append(PodRunning(f"vitrine-{uuid.uuid4().hex[:8]}", launch))
        return started[-1]

    try:
        yield start_pod
    finally:
        for running in started:
            running.remove()


@pytest.fixture
async def shelf(stack: RunningStack) -> AsyncIterator[Shelf]:
    """What Milvus holds."""
    async with await MilvusConnection.open(stack.settings.milvus) as connection:
        yield Shelf(connection)
