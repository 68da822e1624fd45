"""These tests run on both event loops: their transports differ in what they call, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

BOTH_LOOPS = {
    "test_client.py",
    "test_connection.py",
    "test_inline_task.py",
    "test_response_writer.py",
    "test_server_connection.py",
    "test_tls_listener.py",
    "test_websocket_relay.py",
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name in BOTH_LOOPS:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
