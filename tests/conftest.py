"""Fixtures that any test may ask for."""

from tests.services import redis_server as redis_server
