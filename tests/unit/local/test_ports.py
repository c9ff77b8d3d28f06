import socket

import pytest

from vitrine.local.errors import PortInUse
from vitrine.local.ports import choose_free, is_free, require_free
from vitrine.local.service import Port


@pytest.fixture
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_port_with_a_listener_is_not_free(taken: int, host: str) -> None:
    assert not is_free(taken, host)


def test_chosen_ports_differ_and_are_free() -> None:
    ports = choose_free(20)
    assert len(set(ports)) == 20
    assert all(is_free(port, "") for port in ports)


def test_chosen_ports_are_given_to_nobody_else_before_their_servers_listen() -> None:
    ports = set(choose_free(200))
    given = set()
    for _ in range(2_000):
        with socket.socket() as any_port:
            any_port.bind(("", 0))
            given.add(any_port.getsockname()[1])
    others = {port for _ in range(50) for port in choose_free(20)}
    assert not ports & (given | others)
    with socket.create_server(("127.0.0.1", ports.pop())):
        pass


def test_a_taken_port_is_named_with_its_setting_and_its_holder(taken: int) -> None:
    with pytest.raises(PortInUse) as caught:
        require_free([Port(taken, "VITRINE_LOCAL__MILVUS_PORT", "Milvus")])
    assert f"Port {taken} for Milvus is taken" in caught.value.message
    assert "VITRINE_LOCAL__MILVUS_PORT" in caught.value.message
    assert "(pid " in caught.value.message
    assert caught.value.details == {"port": taken, "setting": "VITRINE_LOCAL__MILVUS_PORT"}


def test_one_port_for_two_services_is_refused() -> None:
    (port,) = choose_free(1)
    with pytest.raises(PortInUse, match="both first and second; change A or B"):
        require_free([Port(port, "A", "first"), Port(port, "B", "second")])


def test_free_ports_pass() -> None:
    require_free(Port(port, "X", "x") for port in choose_free(3))
