"""The stories of the tour, in the order in which to read them."""

from __future__ import annotations

from gateway.demo.stories.client_credentials import CLIENT_CREDENTIALS
from gateway.demo.stories.code import CODE
from gateway.demo.stories.device import DEVICE
from gateway.demo.stories.opaque import OPAQUE
from gateway.demo.stories.roles import ROLES
from gateway.demo.stories.thief import THIEF

STORIES = (ROLES, CODE, CLIENT_CREDENTIALS, DEVICE, OPAQUE, THIEF)
