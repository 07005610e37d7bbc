"""Connections that this machine does not have are no fault of a server's."""

from __future__ import annotations

import errno
from typing import Any, cast

import aiohttp
import pytest

from build_engine.errors import UsageError
from runtime.endpoint.faults import Lost, connection
from runtime.endpoint.session import require_connections
from runtime.open_files import allow_connections, most_connections


def test_more_than_may_be_open_are_refused_with_what_to_give() -> None:
    require_connections(100, 2, 200)
    with pytest.raises(UsageError, match=r"give --max-in-flight 99, or raise .* \(ulimit -Hn\)"):
        require_connections(100, 2, 199)
    with pytest.raises(UsageError, match=r"may have 1; raise the limit"):
        require_connections(100, 2, 1)


def test_no_more_are_allowed_than_there_may_be() -> None:
    assert allow_connections(1) <= most_connections()


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EMFILE, "no fault of its own: no more files may be open here; give a lower --max"),
        (errno.EADDRNOTAVAIL, "no fault of its own: no port is free here"),
        (errno.ECONNREFUSED, "it cannot be reached"),
    ],
)
def test_whose_fault_it_is(number: int, told: str) -> None:
    error = aiohttp.ClientConnectorError(cast("Any", None), OSError(number, "oh"))
    with pytest.raises(Lost, match=told), connection():
        raise error
