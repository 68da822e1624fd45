"""The demo's world on free ports, and somebody who travels in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.demo.guide import guided
from gateway.demo.world import World, running
from tests.demo.traveller import CALLBACK, Traveller


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(0, tmp_path) as started:
        yield started


@pytest.fixture
async def traveller(world: World) -> AsyncIterator[Traveller]:
    async with guided(world, CALLBACK) as (guide, wire):
        yield Traveller(guide, wire)
