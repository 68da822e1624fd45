"""How clients say who they are, over HTTP: by one way, and by the right secret."""

from __future__ import annotations

import base64

import pytest

from tests.devauth.visitor import Visitor

GRANT = {"grant_type": "client_credentials"}
SECRET = "demo-service-secret"


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


async def test_basic_and_post_are_both_good(visitor: Visitor) -> None:
    good = basic("demo-service", SECRET)
    assert (await visitor.post("/token", GRANT, **good)).status == 200
    posted = {**GRANT, "client_id": "demo-service", "client_secret": SECRET}
    assert (await visitor.post("/token", posted)).status == 200


@pytest.mark.parametrize(
    ("form", "fields", "status", "error"),
    [
        ({}, basic("demo-service", "wrong"), 401, "invalid_client"),
        # A failed attempt is not forgotten for the public client that the form names.
        ({"client_id": "demo-web"}, basic("demo-service", "wrong"), 401, "invalid_client"),
        ({"client_id": "demo-web"}, basic("demo-web", ""), 401, "invalid_client"),
        ({"client_id": "demo-web"}, {"Authorization": "Bearer x"}, 401, "invalid_client"),
        ({"client_id": "demo-opaque"}, basic("demo-service", SECRET), 400, "invalid_request"),
        (
            {"client_secret": SECRET},
            basic("demo-service", SECRET),
            400,
            "invalid_request",
        ),
        ({"client_id": "demo-service"}, {}, 401, "invalid_client"),
        ({"client_id": "demo-service", "client_secret": ""}, {}, 401, "invalid_client"),
        ({"client_id": "demo-web"}, {}, 401, "invalid_client"),
    ],
)
async def test_anything_else_is_not(
    visitor: Visitor, form: dict[str, str], fields: dict[str, str], status: int, error: str
) -> None:
    page = await visitor.post("/token", {**GRANT, **form}, **fields)
    assert (page.status, page.body["error"]) == (status, error)
    assert ("WWW-Authenticate" in page.fields) is (status == 401)
