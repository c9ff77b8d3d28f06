import socket

from vitrine.local.milvus_sessions import end_dead_sessions, outdated


def test_only_the_newest_session_of_each_role_stays() -> None:
    keys = [
        "by-dev/meta/session/datanode-9",
        "by-dev/meta/session/datanode-10",
        "by-dev/meta/session/datanode-2",
        "by-dev/meta/session/proxy-3",
        "by-dev/meta/session/rootcoord",
        "by-dev/meta/session/id",
    ]
    assert outdated(keys) == ["by-dev/meta/session/datanode-2", "by-dev/meta/session/datanode-9"]


def test_an_etcd_that_does_not_answer_is_left_alone() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert end_dead_sessions(nobody.getsockname()[1]) == []
