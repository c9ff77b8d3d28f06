"""Keys, tokens and limits at a real process; only what searches needs engines."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.conftest import OpenGateway
from tests.fixtures.serving import RunningGateway, eventually
from tests.unit.gateway.auth.conftest import AUDIENCE, ISSUER, Issuer, unsigned
from vitrine.gateway.auth.keys import new_key
from vitrine.local.gateway import environment_of
from vitrine.settings import MilvusSettings, ModelSettings, Settings, TelemetrySettings, TritonSettings

SEARCH = "/v1/collections/products/search"
# A removed key is refused within about two seconds; the rest is for a busy machine.
NOTICED_S = 10.0

OpenGuarded = Callable[..., RunningGateway]


class KeyTool:
    """`vitrine key` on one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *arguments: str) -> str:
        """Standard output of a verb that must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "vitrine.cli.app", "key", *arguments, "--file", str(self.path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.strip()

    def create(self, key_id: str, *scopes: str, collection: str = "products", more: tuple[str, ...] = ()) -> str:
        """A new key."""
        named = [word for scope in scopes for word in ("--scope", scope)]
        return self.run("create", "--id", key_id, *named, "--collection", collection, *more)


@pytest.fixture
def keys(tmp_path: Path) -> KeyTool:
    return KeyTool(tmp_path / "keys.json")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def auth(keys: KeyTool, issuer: Issuer, tmp_path: Path) -> dict[str, str]:
    """Environment of a gateway that takes these keys, and tokens of this issuer."""
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes(issuer.key_set())
    return {
        "VITRINE_AUTH__MODE": "on",
        "VITRINE_AUTH__KEYS_FILE": str(keys.path),
        "VITRINE_AUTH__OIDC_ISSUER": ISSUER,
        "VITRINE_AUTH__OIDC_AUDIENCE": AUDIENCE,
        "VITRINE_AUTH__OIDC_JWKS_FILE": str(jwks),
    }


@pytest.fixture
def without_engines(model_repository: Path) -> Settings:
    return Settings(
        model=ModelSettings(repository=model_repository),
        triton=TritonSettings(url="http://127.0.0.1:9"),
        milvus=MilvusSettings(uri="http://127.0.0.1:9"),
        telemetry=TelemetrySettings(log_level="DEBUG"),
    )


@pytest.fixture
def open_guarded(without_engines: Settings, tmp_path: Path) -> Iterator[OpenGuarded]:
    """Starts gateways that have no engines behind them."""
    opened: list[RunningGateway] = []

    def open_one(environment: dict[str, str], **gateway: Any) -> RunningGateway:
        log = tmp_path / f"guarded-{len(opened)}.log"
        opened.append(RunningGateway(without_engines, log, environment=environment, **gateway))
        opened[-1].wait_alive()
        return opened[-1]

    yield open_one
    for gateway in opened:
        gateway.stop()


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def _ask(gateway: RunningGateway, secret: str, path: str = "/v1/ui-config") -> httpx.Response:
    return gateway.http.get(path, headers=_bearer(secret))


def test_nobody_gets_in_with_anything_but_a_valid_credential(
    open_guarded: OpenGuarded, auth: dict[str, str], keys: KeyTool, issuer: Issuer
) -> None:
    key = keys.create("shop", "search")
    gateway = open_guarded(auth)
    assert gateway.http.get("/v1/ui-config").status_code == 401
    for secret in (new_key("shop"), new_key("other"), key[:-1], key + "x", issuer.token(exp=1), "x", "a.b.c"):
        assert _ask(gateway, secret).status_code == 401
    for algorithm in ("none", "NONE", "HS256"):
        assert _ask(gateway, unsigned({"alg": algorithm, "kid": "r1"}, issuer.claims())).status_code == 401
    assert _ask(gateway, key).status_code == 200
    assert _ask(gateway, issuer.token()).status_code == 200
    assert _ask(gateway, issuer.ec_token()).status_code == 200
    for path in ("/", "/livez", "/metrics", "/openapi.json", "/docs"):
        assert gateway.http.get(path).status_code == 200, path
    gateway.terminate()
    assert gateway.wait_ended() == 0


def test_a_key_made_or_revoked_while_it_runs_is_in_force_within_seconds(
    open_guarded: OpenGuarded, auth: dict[str, str], keys: KeyTool
) -> None:
    old = keys.create("old", "search")
    gateway = open_guarded(auth)
    assert _ask(gateway, old).status_code == 200
    new = keys.create("new", "search")
    eventually("the new key works", lambda: _ask(gateway, new).status_code == 200, NOTICED_S)
    keys.run("revoke", "old")
    eventually("the old key is refused", lambda: _ask(gateway, old).status_code == 401, NOTICED_S)
    assert _ask(gateway, new).status_code == 200


def test_a_broken_file_keeps_the_last_good_keys_and_shows_in_the_metrics(
    open_guarded: OpenGuarded, auth: dict[str, str], keys: KeyTool
) -> None:
    key = keys.create("shop", "search")
    gateway = open_guarded(auth)
    good = keys.path.read_bytes()

    def stale() -> bool:
        return 'vitrine_auth_source_stale{source="keys"} 1.0' in gateway.http.get("/metrics").text

    assert not stale()
    keys.path.write_text("{")
    eventually("it is noticed", stale, NOTICED_S)
    assert _ask(gateway, key).status_code == 200
    assert gateway.log.read_text().count("auth_source_stale") == 1
    keys.path.write_bytes(good)
    eventually("it is good again", lambda: not stale(), NOTICED_S)


def test_no_secret_is_in_the_log_the_answers_or_the_process_list(
    open_guarded: OpenGuarded, auth: dict[str, str], keys: KeyTool, issuer: Issuer
) -> None:
    right = keys.create("shop", "search", "write", "admin")
    gateway = open_guarded(auth)
    secrets = [right, new_key("shop"), new_key("unknown"), right[:-1] + "!", "hunter2-hunter2"]
    tokens = [issuer.token(), issuer.token(aud="other"), issuer.token(exp=1)]
    told = ""
    for secret in (*secrets, *tokens):
        for headers in (_bearer(secret), {"X-API-Key": secret}, {"Authorization": secret}):
            for method, path in (("GET", "/v1/ui-config"), ("POST", SEARCH), ("GET", "/v1/nothing"), ("PUT", SEARCH)):
                answer = gateway.http.request(method, path, headers=headers, content=b"{" if method != "GET" else None)
                told += f"{answer.headers} {answer.text}\n"
    process = psutil.Process(gateway.process.pid)
    gateway.terminate()
    command_line = " ".join((*process.cmdline(), *process.environ().values()))
    assert gateway.wait_ended() == 0
    log = gateway.log.read_text()
    assert '"caller":"key:shop"' in log
    assert '"reason":"wrong secret"' in log
    for text in (log, told, command_line):
        for secret in secrets:
            assert secret.rpartition("_")[2] not in text
        for token in tokens:
            assert not any(part in text for part in token.split(".")[1:])
        assert "jane@shop.example" not in text


def test_a_caller_above_its_rate_is_told_when_to_come_back(
    open_guarded: OpenGuarded, auth: dict[str, str], keys: KeyTool
) -> None:
    key = keys.create("slow", "search", more=("--rate", "0.1", "--burst", "3"))
    gateway = open_guarded(auth)
    answers = [_ask(gateway, key) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 8 <= int(answers[3].headers["Retry-After"]) <= 10
    assert gateway.http.get("/livez", headers=_bearer(key)).status_code == 200


def test_a_stranger_is_refused_before_the_body_is_there(
    open_guarded: OpenGuarded, auth: dict[str, str], keys: KeyTool
) -> None:
    keys.create("shop", "search")
    gateway = open_guarded(auth, max_in_flight=1)
    head = f"POST {SEARCH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.settings.gateway.port), timeout=30) as connection:
        connection.sendall(head.encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, json.loads(response.read())["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"VITRINE_GATEWAY__HOST": "0.0.0.0"}, "VITRINE_AUTH__KEYS_FILE"),  # noqa: S104 - it never gets that far
        ({"VITRINE_AUTH__MODE": "on"}, "VITRINE_AUTH__KEYS_FILE"),
        ({"VITRINE_AUTH__KEYS_FILE": "/nothing/here"}, "/nothing/here cannot be used"),
        ({"VITRINE_AUTH__OIDC_ISSUER": "https://issuer.example"}, "VITRINE_AUTH__OIDC_AUDIENCE"),
        ({"VITRINE_AUTH__OIDC_ALGORITHMS": '["HS256"]'}, "VITRINE_AUTH__OIDC_ALGORITHMS"),
    ],
)
def test_a_start_that_would_let_in_everybody_or_nobody_says_so_in_a_sentence(
    without_engines: Settings, environment: dict[str, str], told: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "vitrine.gateway"],
        env={**os.environ, **environment_of(without_engines), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "Traceback" not in ended.stdout + ended.stderr


def test_an_open_gateway_answers_its_own_page_and_no_other_site(open_guarded: OpenGuarded) -> None:
    gateway = open_guarded({})
    port = gateway.settings.gateway.port
    own = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
    refused: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
    ]
    assert gateway.http.post(SEARCH, json={"query": "x"}, headers=own).json()["code"] == "vector_store_unavailable"
    for headers in refused:
        answer = gateway.http.post(SEARCH, json={"query": "x"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site"), headers


@pytest.mark.usefixtures("shop")
def test_callers_search_their_own_collections_alone(
    open_gateway: OpenGateway, auth: dict[str, str], keys: KeyTool, issuer: Issuer
) -> None:
    mine, other = keys.create("mine", "search"), keys.create("other", "search", collection="elsewhere")
    writer = keys.create("writer", "write")
    gateway = open_gateway(auth)
    token, blind = issuer.token(), issuer.token(vitrine_collections=None)

    def search(secret: str, collection: str = "products") -> tuple[int, str]:
        path = f"/v1/collections/{collection}/search"
        answer = gateway.http.post(path, json={"query": "dress"}, headers=_bearer(secret))
        return answer.status_code, answer.json().get("code", "")

    for secret in (mine, token):
        assert search(secret) == (200, "")
        assert search(secret, "elsewhere") == (404, "collection_not_found")
    for secret in (other, blind):
        assert search(secret) == (404, "collection_not_found")
    assert search(other, "elsewhere") == (404, "collection_not_found"), "its own, but there is none"
    assert search(writer) == (403, "scope_missing")
    answers = [
        gateway.http.post(f"/v1/collections/{name}/search", json={"query": "x"}, headers=_bearer(other)).json()
        for name in ("products", "nothing_1")
    ]
    told = {re.sub("products|nothing_1", "", json.dumps(answer | {"request_id": ""})) for answer in answers}
    assert len(told) == 1, "what is another's and what does not exist are answered alike"
