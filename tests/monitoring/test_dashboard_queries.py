"""Every query of every dashboard is asked of a real Prometheus that watches the real stack, and has data.

Time is compressed in the recording rules alone: their five minutes are ten seconds here, so they have values soon.
What a machine without GPU and cluster does not have comes from the files of `expositions`, each of which says how it
was made; a metric that a real process has must not be in them.
"""

import base64
import math
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.fixtures.indexing import Indexing
from tests.fixtures.prometheus import RecordedMetrics, RunningPrometheus, Sample, Target, binary
from tests.fixtures.serving import RunningGateway, eventually
from tests.fixtures.shop import Shop, jpeg, product_ids
from tests.fixtures.stack import RunningStack
from tests.harness.compressed import write_compressed
from tests.harness.converge import drop_collection
from tests.monitoring import grafana
from tests.monitoring.grafana import ROOT, Asked
from tests.monitoring.rules_folder import RECORDING_FILES, rules_of
from vitrine.local.ports import choose_free

PRODUCTS: Final = 640
"""Rows are read 128 at a time, two of these ahead of decoding: only in a longer catalogue is it seen to grow, here four
times, 1.6 s apart at the run's pace."""
LOAD_S: Final = 6.0
SETTLED_S: Final = 2.0
"""What Prometheus knows of a moment changes no more after so long: scrapes are given up after a second."""
LASTING: Final = frozenset({"vitrine-gateway", "vitrine-triton", "milvus"})
ALIAS: Final = "dashed"
HERE: Final = {"namespace": "shop", "instance": ".*", "__rate_interval": "5s"}
MILVUS_26: Final = "milvus26"
EXPOSITIONS: Final = Path(__file__).parent / "expositions"
RECORDED: Final = ("gpu-triton", "kubernetes")
RULES: Final = ROOT / "helm" / "vitrine" / "monitoring" / "recording"
FIRING: Final = {
    "groups": [{"name": "test", "rules": [{"alert": "Test", "expr": "1", "labels": {"severity": "page"}}]}]
}
"""An alert that fires always, so that what shows alerts has something to show."""
OF_ALL_NAMESPACES: Final = {"vitrine-overview: Firing (A)", "vitrine-overview: Firing (B)"}
"""Alerts of a missing source have no namespace, so alerts are shown whatever is chosen."""
DASHBOARDS: Final = grafana.load()
QUERIES: Final = [asked for dashboard in DASHBOARDS for asked in grafana.queries(dashboard)]

every_query = pytest.mark.parametrize("asked", QUERIES, ids=lambda asked: asked.name)


@dataclass(frozen=True)
class Watched:
    """Prometheus after it has seen indexing and load; `began` is when it started."""

    prometheus: RunningPrometheus
    began: float
    ended: float

    def series(self, asked: Asked, **chosen: str) -> list[dict[str, Any]]:
        """What a panel would show, as `metric` and `values`; NaN is left out, as Grafana leaves it out."""
        expression = asked.with_variables({**HERE, **chosen})
        if asked.instant:
            found = [{**one, "values": [one["value"]]} for one in self.prometheus.query(expression, at=self.ended)]
        else:
            # Seconds counted back from the end, so that the last of them is asked for.
            start = self.ended - math.ceil(self.ended - self.began)
            found = self.prometheus.query_range(expression, start, self.ended, 1)
        for one in found:
            one["values"] = [(at, value) for at, value in one["values"] if math.isfinite(float(value))]
        return [one for one in found if one["values"]]


def _rules(folder: Path) -> list[Path]:
    firing = folder / "firing.yaml"
    firing.write_text(yaml.safe_dump(FIRING))
    return [*write_compressed(RULES, folder / "rules", 30), firing]


def _search(gateway: RunningGateway, number: int) -> None:
    """One of several kinds of requests, some of which are wrong."""
    picture = "data:image/jpeg;base64," + base64.b64encode(jpeg(number)).decode()
    kinds = (
        ({"query": f"red dress {number}"}, 200),
        ({"query": "red dress"}, 200),
        ({"query": f"blue top {number}", "min_score": 0.999}, 200),
        ({"query": [{"image": picture}]}, 200),
        ({"query": "x", "limit": 0}, 422),
    )
    body, status = kinds[number % len(kinds)]
    body = {"timeout_ms": 10_000, **body}  # nobody here asks how fast it is
    response = gateway.http.post(f"/v1/collections/{ALIAS}/search", json=body)
    assert response.status_code == status, response.text


@contextmanager
def _load(gateway: RunningGateway) -> Iterator[None]:
    """Searches for as long as the block lasts, four at a time."""
    over = threading.Event()

    def ask(first: int) -> None:
        number = first
        while not over.wait(0.05):
            _search(gateway, number)
            number += 4

    with ThreadPoolExecutor(4) as askers:
        asking = [askers.submit(ask, first) for first in range(4)]
        try:
            yield
        finally:
            over.set()
    for one in asking:
        one.result()


def _moment_of_all(prometheus: RunningPrometheus) -> float:
    """A moment (Unix s) at which all that lasts was scraped, and every recording rule had a value.

    On a busy machine a scrape may come too late: until the next one its series are gone, and with them the panels that
    show one value.
    """
    rules = {rule.name for rule in rules_of(*RECORDING_FILES)}
    moment = 0.0

    def complete() -> bool:
        nonlocal moment
        moment = time.time() - SETTLED_S
        up = {one["metric"]["job"] for one in prometheus.query("up == 1", at=moment)}
        recorded = prometheus.query('{__name__=~"vitrine:.+"}', at=moment)
        return up >= LASTING and {one["metric"]["__name__"] for one in recorded if _is_number(one)} >= rules

    eventually("all is seen at one moment", complete)
    return moment


def _is_number(sample: Sample) -> bool:
    return math.isfinite(float(sample["value"][1]))


@pytest.fixture(scope="module")
def recorded() -> Iterator[dict[str, RecordedMetrics]]:
    """Servers of what cannot run here, by the name of its file."""
    servers = {path.stem: RecordedMetrics(path.read_text()) for path in EXPOSITIONS.glob("*.txt")}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture(scope="module")
def watched(
    stack: RunningStack, recorded: dict[str, RecordedMetrics], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """The stack indexes a catalogue and answers searches, while Prometheus looks on."""
    binary()
    folder = tmp_path_factory.mktemp("dashboards")
    local = stack.settings.local
    gateway = RunningGateway(
        stack.settings,
        folder / "gateway.log",
        environment={"VITRINE_CANARY__INTERVAL_S": "2"},
        default_collection=ALIAS,
    )
    (index_port,) = choose_free(1)
    engines = {
        "vitrine-gateway": [gateway.url.removeprefix("http://")],
        "vitrine-triton": [f"127.0.0.1:{local.triton_metrics_port}"],
        "milvus": [f"127.0.0.1:{local.milvus_metrics_port}"],
        "vitrine-indexer": [f"127.0.0.1:{index_port}"],
        **{name: [recorded[name].address] for name in RECORDED},
    }
    targets = [
        *(Target(job, addresses, {"namespace": HERE["namespace"]}) for job, addresses in engines.items()),
        Target("milvus-2.6", [recorded["milvus-2.6"].address], {"namespace": MILVUS_26}),
    ]
    indexing = Indexing(stack.settings, folder / "state")
    shop = Shop(folder / "shop")
    for product_id in product_ids(PRODUCTS):
        shop.add(product_id)
    shop.add_row("0999999001")  # has no picture, so it is rejected
    began = time.time()
    with RunningPrometheus(folder, targets, _rules(folder), interval="1s") as prometheus:
        try:
            prometheus.wait_ready()
            port = {"VITRINE_TELEMETRY__METRICS_PORT": str(index_port)}
            # Slow enough for several scrapes: of a counter that was never seen lower, no rate can be told.
            run = indexing.run("--catalogue", shop.write(), "--collection", ALIAS, "--max-rate", "80", **port)
            assert run.status == 0, run.stderr
            eventually("the gateway is ready", lambda: gateway.http.get("/readyz").status_code == 200)
            with _load(gateway):
                time.sleep(LOAD_S)
                ended = _moment_of_all(prometheus)
            yield Watched(prometheus, began, ended)
        finally:
            gateway.stop()
            indexing.close()
            drop_collection(stack.settings, ALIAS)


@every_query
def test_a_panel_has_data(watched: Watched, asked: Asked) -> None:
    found = watched.series(asked)
    assert found, asked.with_variables(HERE)
    for one in found:
        assert asked.legend_labels <= one["metric"].keys(), f"{asked.legend} of {one['metric']}"


@every_query
def test_a_panel_shows_the_chosen_namespace_alone(watched: Watched, asked: Asked) -> None:
    found = watched.series(asked, namespace="elsewhere")
    assert bool(found) == (asked.name in OF_ALL_NAMESPACES)


@pytest.mark.parametrize(
    "asked", [one for one in QUERIES if one.dashboard == "vitrine-milvus"], ids=lambda one: one.name
)
def test_a_panel_of_milvus_has_data_of_a_current_server(watched: Watched, asked: Asked) -> None:
    if "kubelet" in asked.expression:
        assert watched.series(asked)  # the kubelet's, of any namespace
    else:
        assert watched.series(asked, namespace=MILVUS_26)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one["uid"])
def test_there_is_something_to_choose(watched: Watched, dashboard: dict[str, Any]) -> None:
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            chosen = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert chosen is not None
            series = chosen[1].replace("$namespace", HERE["namespace"])
            assert watched.prometheus.label_values(chosen[2], series), variable["name"]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one["uid"])
def test_alerts_are_marked_on_every_page(watched: Watched, dashboard: dict[str, Any]) -> None:
    (annotation,) = dashboard["annotations"]["list"]
    found = watched.prometheus.query(annotation["expr"], at=watched.ended)
    assert {one["metric"]["alertname"] for one in found} == {"Test"}


def test_nothing_is_recorded_that_a_real_process_has(watched: Watched) -> None:
    for name in RECORDED:
        recorded = f'{{job="{name}", __name__!~"up|scrape_.*"}}'
        for one in watched.prometheus.query(f"count by (__name__) (last_over_time({recorded}[5m]))"):
            metric = one["metric"]["__name__"]
            real = f'last_over_time({metric}{{job=~"vitrine-.*|milvus"}}[5m])'
            assert not watched.prometheus.query(real), f"{metric} is real now: take it out of {name}.txt"
