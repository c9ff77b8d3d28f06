"""Free ports and taken ones."""

import errno
import socket
from collections.abc import Iterable
from typing import Final

import psutil

from vitrine.local.errors import PortInUse
from vitrine.local.service import LOOPBACK, Port

_RESERVING_S: Final = 5.0


def is_free(number: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now; an empty host means all interfaces, IPv6 included."""
    family = socket.AF_INET if host or not socket.has_dualstack_ipv6() else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # What servers set: a connection of an earlier run that lingers in TIME_WAIT does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            probe.bind((host, number))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def choose_free(count: int) -> list[int]:
    """Ports that are free on all interfaces at this moment, all different.

    For a minute the system gives them to nobody who asks for any port: a server takes seconds to listen on its own, and
    a second stack that starts meanwhile must not be given the same one.
    """
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.settimeout(_RESERVING_S)
            probe.bind(("", 0))
            probe.listen(1)
        return [_reserved(probe) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _reserved(probe: socket.socket) -> int:
    """The port of a listening socket, with a connection left there in TIME_WAIT: servers do not count that as taken."""
    number = int(probe.getsockname()[1])
    with socket.create_connection((LOOPBACK, number), _RESERVING_S):
        accepted, _ = probe.accept()
        accepted.close()  # whoever closes first lingers
    return number


def require_free(ports: Iterable[Port]) -> None:
    """Checks every port before anything is started.

    Raises:
        PortInUse: names the port, who has it (where that can be seen), and the setting that changes it; also when two
            settings give the same port.
    """
    claimed: dict[int, Port] = {}
    for port in ports:
        if port.number in claimed:
            raise PortInUse(
                f"Port {port.number} is given to both {claimed[port.number].purpose} and {port.purpose}; "
                f"change {claimed[port.number].setting} or {port.setting}.",
                port=port.number,
                setting=port.setting,
            )
        claimed[port.number] = port
        if not is_free(port.number, port.host):
            raise PortInUse(
                f"Port {port.number} for {port.purpose} is taken{_holder(port.number)}; "
                f"stop that program or set {port.setting} to another port.",
                port=port.number,
                setting=port.setting,
            )


def _holder(number: int) -> str:
    """ " by python (pid 12)" where the system tells us, else nothing: other users' processes are hidden."""
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            listens = connection.status == psutil.CONN_LISTEN
            if listens and address and address.port == number and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""
