"""Fixtures that any test may ask for, and what holds for all of them."""

from hypothesis import settings

from tests.services import redis_server as redis_server

# How long an example takes says how busy the machine is, and nothing of the gateway.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
