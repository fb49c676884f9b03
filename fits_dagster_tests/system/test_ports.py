"""Ports are reserved: two systems that start at the same moment never share one."""

from __future__ import annotations

import socket

from fits_dagster.system.ports import free_port, reserve_port


def test_a_reserved_port_is_nobody_elses_even_before_anybody_listens() -> None:
    preferred = free_port()
    with reserve_port(preferred, "127.0.0.1") as first, reserve_port(preferred, "127.0.0.1") as second:
        assert first.getsockname()[1] == preferred
        assert second.getsockname()[1] != preferred


def test_a_server_of_ours_listens_on_its_reserved_port_and_again_after_its_end() -> None:
    preferred = free_port()
    for _ in range(2):
        with reserve_port(preferred, "127.0.0.1") as holder, socket.socket() as server:
            assert holder.getsockname()[1] == preferred
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind(("127.0.0.1", preferred))
            server.listen()
            with socket.create_connection(("127.0.0.1", preferred)):
                # the server ends the connection first: the port is in TIME_WAIT for a while
                server.accept()[0].close()
