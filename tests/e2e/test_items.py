"""Items written over HTTP, into the real Milvus by way of the real Triton."""

import base64
import concurrent.futures
import itertools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from tests.e2e.conftest import PRODUCTS, OpenGateway
from tests.e2e.writable import Writable
from tests.fixtures.serving import RunningGateway, eventually
from tests.fixtures.shop import jpeg
from tests.fixtures.stack import RunningStack
from vitrine.gateway.schemas.items import BulkAnswer, ItemWritten
from vitrine.settings import MIB

# What docs/api.md promises of the time until searches see a write.
BOUND_S = 5.0
RECOVERY_S = 120.0

_numbers = itertools.count()
MakeWritable = Callable[..., Writable]


@pytest.fixture
def make_writable(stack: RunningStack) -> MakeWritable:
    """Makes an empty collection behind a new alias."""
    return lambda **options: Writable(stack.settings, f"writable_{next(_numbers)}", **options)


@pytest.fixture(scope="module")
def writable(stack: RunningStack) -> Writable:
    """One for all tests that only mind their own ids."""
    return Writable(stack.settings, "writable")


def data_url(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def found(gateway: RunningGateway, writable: Writable, seed: int) -> list[str]:
    """What a search for a picture finds, nearest first."""
    return gateway.ids([{"image": data_url(jpeg(seed))}], alias=writable.alias, limit=10)


def test_a_written_item_is_found_within_the_promised_time_and_a_deleted_one_no_more(
    gateway: RunningGateway, writable: Writable, record_property: Callable[[str, object], None]
) -> None:
    seen: list[float] = []
    gone: list[float] = []
    for n in range(5):
        item_id = f"visible{n}"
        assert item_id not in found(gateway, writable, n), "what is not there is not found"
        written = writable.put(gateway, item_id, n)
        assert written.status_code == 201, written.text
        seen.append(eventually("it is found", lambda: item_id in found(gateway, writable, n), BOUND_S))  # noqa: B023
        deleted = gateway.http.delete(f"{writable.path}/{item_id}")
        assert deleted.status_code == 204, deleted.text
        gone.append(eventually("it is gone", lambda: item_id not in found(gateway, writable, n), BOUND_S))  # noqa: B023
    record_property("seconds until found", max(seen))
    record_property("seconds until gone", max(gone))
    print(f"until found {sorted(seen)}, until gone {sorted(gone)}")


def test_what_was_answered_is_what_milvus_holds(gateway: RunningGateway, writable: Writable) -> None:
    fields = {"colour": 'Odd " or 1==1', "price": 5, "stock": -(2**62), "sale": False}
    sent = {"image": data_url(jpeg(1)), "title": "Dress", "group": "d1", "image_path": "a b.jpg", "fields": fields}
    response = gateway.http.put(f"{writable.path}/whole", json=sent)
    assert response.status_code == 201, response.text
    answer = ItemWritten.model_validate_json(response.content, strict=True)
    assert answer.collection == "writable_v1"
    hit = writable.hits(["whole"])["whole"]
    assert (hit.title, hit.group, hit.image_path) == ("Dress", "d1", "a b.jpg")
    assert hit.fields == answer.metadata == fields
    # Replaced, not added to: what the second one does not say is gone.
    again = gateway.http.put(f"{writable.path}/whole", json={"image": data_url(jpeg(2))})
    assert (again.status_code, again.json()["created"]) == (200, False)
    hit = writable.hits(["whole"])["whole"]
    assert (hit.title, hit.group, hit.image_path, hit.fields) == ("", "", "", {})
    assert writable.ids().count("whole") == 1


def test_all_ways_of_sending_a_picture_give_the_vector_that_the_indexer_gave(
    writable: Writable, shop: Path, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway({"VITRINE_ITEMS__IMAGES_ROOT": str(shop)}, media_root=shop)
    product = PRODUCTS[7]
    path = f"images/{product[:3]}/{product}.jpg"
    picture = (shop / path).read_bytes()
    indexed = writable.vector(product, alias="products")
    for item_id, sent in (
        ("by-url", {"json": {"image": data_url(picture)}}),
        ("by-form", {"files": {"image": picture}}),
        ("by-path", {"json": {"image_path": path}}),
    ):
        response = gateway.http.put(f"{writable.path}/{item_id}", **sent)
        assert response.status_code == 201, response.text
        assert np.dot(writable.vector(item_id), indexed) == pytest.approx(1.0, abs=1e-5), item_id
    assert gateway.http.get(response.json()["image_url"]).content == picture
    for outside in ("../" * 12 + "etc/passwd", "/etc/passwd", "articles.csv/../x"):
        refused = gateway.http.put(f"{writable.path}/outside", json={"image_path": outside})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    no_picture = gateway.http.put(f"{writable.path}/outside", json={"image_path": "articles.csv"})
    assert (no_picture.status_code, no_picture.json()["code"]) == (422, "image_unrecognised")
    assert "outside" not in writable.ids()


def test_odd_ids_are_written_read_and_deleted(gateway: RunningGateway, writable: Writable) -> None:
    odd = ["a/b c", "é✓", 'x" or 1==1', "x' or ''=='", "100%", "a//b", "\\", "delete"]
    for item_id in odd:
        response = writable.put(gateway, quote(item_id, safe=""), 3)
        assert response.status_code == 201, response.text
        assert response.json()["id"] == item_id
    assert set(odd) <= set(writable.ids())
    for item_id in odd:
        address = f"{writable.path}/{quote(item_id, safe='')}"
        eventually(item_id, lambda: gateway.http.get(address).status_code == 200, BOUND_S)  # noqa: B023
        assert gateway.http.delete(address).status_code == 204
        assert gateway.http.delete(address).status_code == 404, "deletions see what was written before, at once"
    assert set(odd).isdisjoint(writable.ids())


def test_a_bulk_request_writes_the_good_ones_and_nothing_of_the_bad(
    gateway: RunningGateway, make_writable: MakeWritable
) -> None:
    writable = make_writable()
    good = [{"id": f"g{n:02d}", "image": data_url(jpeg(n)), "title": f"t{n}"} for n in range(90)]
    bad = [
        {"id": "b0", "image": data_url(b"<html></html>")},
        {"id": "b1", "image": data_url(jpeg(1)), "fields": {"size": "M"}},
        {"id": "g05", "image": data_url(jpeg(99))},
        {"id": "b3"},
        {"nothing": 1},
    ]
    sent = good[:50] + bad + good[50:]
    response = gateway.http.post(writable.path, json={"items": sent})
    assert response.status_code == 200, response.text
    answer = BulkAnswer.model_validate_json(response.content, strict=True)
    assert (answer.read, answer.written, answer.rejected) == (95, 90, 5)
    assert [one.status for one in answer.results] == [201] * 50 + [422] * 5 + [201] * 40
    assert writable.ids() == [entry["id"] for entry in good]
    assert {item_id: hit.title for item_id, hit in writable.hits(["g05", "g89"]).items()} == {"g05": "t5", "g89": "t89"}
    again = gateway.http.post(writable.path, json={"items": good}).json()
    assert {one["status"] for one in again["results"]} == {200}
    assert writable.count() == 90, "repeating changes nothing"
    ids = [entry["id"] for entry in good[:30]]
    deleted = gateway.http.post(f"{writable.path}:delete", json={"ids": [*ids, "never"]}).json()
    assert (deleted["deleted"], deleted["rejected"]) == (30, 1)
    assert [one["status"] for one in deleted["results"]] == [204] * 30 + [404]
    assert writable.ids() == [entry["id"] for entry in good[30:]]


def test_a_hundred_large_pictures_need_no_more_memory_than_a_few(
    make_writable: MakeWritable, open_gateway: OpenGateway, tmp_path: Path
) -> None:
    writable = make_writable()
    limit = writable.settings.images.max_bytes
    (tmp_path / "0.jpg").write_bytes(jpeg(1).ljust(limit, b"\0"))  # what follows a picture's end is not read
    for n in range(1, 100):
        (tmp_path / f"{n}.jpg").hardlink_to(tmp_path / "0.jpg")
    gateway = open_gateway({"VITRINE_ITEMS__IMAGES_ROOT": str(tmp_path)})
    assert writable.put(gateway, "warm", 1).is_success
    before = _peak_bytes(gateway)
    items = [{"id": f"p{n}", "image_path": f"{n}.jpg"} for n in range(100)]
    response = gateway.http.post(writable.path, json={"items": items}, headers={"X-Timeout-Ms": "10000"})
    assert response.status_code == 200, response.text
    assert response.json()["written"] == 100
    grown = _peak_bytes(gateway) - before
    print(f"grown by {grown / MIB:.0f} MiB over pictures of {100 * limit / MIB:.0f} MiB")
    assert grown < 12 * limit


def _peak_bytes(gateway: RunningGateway) -> int:
    """The most memory that the process has had."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_many_writers_of_one_id_leave_one_whole_item(gateway: RunningGateway, make_writable: MakeWritable) -> None:
    writable = make_writable()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: writable.put(gateway, "one", n, title=str(n)), range(40)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert writable.ids() == ["one"]
    _assert_whole(gateway, writable, "one")


@pytest.mark.usefixtures("shop")
def test_another_models_collection_is_not_written_to(gateway: RunningGateway, make_writable: MakeWritable) -> None:
    writable = make_writable(fingerprint="e" * 64)
    response = writable.put(gateway, "p1", 1)
    assert (response.status_code, response.json()["code"]) == (503, "contract_mismatch")
    assert response.json()["details"]["found"] == "e" * 64
    assert writable.count() == 0


def test_a_write_follows_its_alias_at_once(gateway: RunningGateway, make_writable: MakeWritable) -> None:
    writable = make_writable()
    assert writable.put(gateway, "p1", 1).json()["collection"] == f"{writable.alias}_v1"
    writable.make("v2")
    written = writable.put(gateway, "p1", 1)
    assert (written.status_code, written.json()["collection"]) == (201, f"{writable.alias}_v2")
    assert writable.ids() == ["p1"]


@pytest.mark.parametrize("name", ["milvus", "triton"])
def test_a_write_while_an_engine_is_stuck_is_answered_in_time(
    gateway: RunningGateway, stack: RunningStack, writable: Writable, name: str
) -> None:
    assert writable.put(gateway, f"before-{name}", 1).is_success
    engine = stack[name]
    engine.pause()
    try:
        began = time.monotonic()
        for response in (
            writable.put(gateway, f"stuck-{name}", 1, timeout_ms=1_000),
            gateway.http.post(
                writable.path,
                json={"items": [{"id": f"stuck-{name}", "image": data_url(jpeg(1))}]},
                headers={"X-Timeout-Ms": "1000"},
            ),
        ):
            assert response.status_code in {503, 504}, response.text
        if name == "milvus":
            delete = gateway.http.delete(f"{writable.path}/before-{name}", headers={"X-Timeout-Ms": "1000"})
            assert delete.status_code in {503, 504}, delete.text
        assert time.monotonic() - began < 6
    finally:
        engine.resume()
    eventually("writes work again", lambda: writable.put(gateway, f"after-{name}", 2).is_success, RECOVERY_S)
    assert f"stuck-{name}" not in writable.ids() or name == "milvus"


def test_an_item_is_wholly_the_old_or_wholly_the_new_whenever_milvus_stops(
    gateway: RunningGateway, stack: RunningStack, writable: Writable
) -> None:
    """Milvus is stopped at different moments of a write: before it, in its middle, after it."""
    undisturbed = writable.put(gateway, "torn", 0, title="0")
    assert undisturbed.is_success
    took_s = undisturbed.elapsed.total_seconds()
    statuses: list[str] = []
    last = 0
    for n, share in enumerate((0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 5.0), start=1):
        answers: list[httpx.Response] = []
        writing = threading.Thread(
            target=lambda: answers.append(writable.put(gateway, "torn", n, title=str(n), timeout_ms=2_500))  # noqa: B023
        )
        writing.start()
        time.sleep(took_s * share)
        stack.milvus.pause()
        try:
            writing.join(10)
        finally:
            stack.milvus.resume()
        (answer,) = answers
        statuses.append(f"{share}: {answer.status_code} {answer.json().get('code', '')}")
        assert answer.status_code in {200, 503, 504}, answer.text
        eventually("Milvus answers again", lambda: writable.put(gateway, "other", 1).is_success, RECOVERY_S)
        title = _assert_whole(gateway, writable, "torn")
        if answer.status_code == 200:
            assert title == str(n), "what was acknowledged is there"
        elif answer.json()["code"] != "write_unconfirmed":
            assert title == str(last), "what was never sent is not there"
        else:
            assert title in {str(last), str(n)}
        last = int(title)
    print(json.dumps(statuses, indent=1))
    assert any(" 200 " in status for status in statuses), statuses
    assert any(" 50" in status for status in statuses), statuses
    assert writable.put(gateway, "torn", 11, title="11").status_code == 200
    assert _assert_whole(gateway, writable, "torn") == "11"
    assert writable.ids().count("torn") == 1


def _assert_whole(gateway: RunningGateway, writable: Writable, item_id: str) -> str:
    """The item's vector is that of the picture its title names. Returns the title."""
    title = writable.hits([item_id])[item_id].title
    reference = writable.put(gateway, f"reference-{title}", int(title))
    assert reference.is_success, reference.text
    assert np.dot(writable.vector(item_id), writable.vector(f"reference-{title}")) == pytest.approx(1.0, abs=1e-5)
    return title
