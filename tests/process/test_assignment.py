"""What a worker is given survives the way to it: configuration, places, secrets, sockets and revocations."""

from __future__ import annotations

import io
import os
import pickle

import pytest

from gateway import build
from gateway.access.revocation import Revocation
from gateway.config import ConfigError
from gateway.config.load import LoadedConfig
from gateway.process.assignment import Assignment, inherited, read
from gateway.process.listening import bind
from tests.world import configuration

SECRET = "admin-token-of-the-test"


def assignment(config: LoadedConfig, **changes: object) -> Assignment:
    given = {"slot": 1, "workers": 2, "config": config, "control": 3, "places": (), "revocations": ()}
    return Assignment(**{**given, **changes})  # type: ignore[arg-type]


def loaded(**changes: object) -> LoadedConfig:
    route = {
        "path": "/x/{t}",
        "require": {"claims": {"t": "{t}", "r": {"matches": "a.*"}, "n": {"not": {"equals": 1}}}},
    }
    config = configuration(9, route, admin={"listen": "127.0.0.1:0", "token": SECRET}, **changes)
    assert isinstance(config, LoadedConfig)
    return config


def test_a_gateway_can_be_built_from_what_arrives() -> None:
    entry = Revocation("id", "corp", "sub", "u1", 1.0, 2.0)
    arrived = read(io.BytesIO(assignment(loaded(), revocations=(entry,)).packed()))
    assert (arrived.slot, arrived.workers, arrived.revocations) == (1, 2, (entry,))
    assert arrived.config.admin.token.get_secret_value() == SECRET
    assert set(build.build(arrived.config).routes) == {"/x/{t}"}


def test_what_can_not_be_built_says_where_it_stands() -> None:
    issuer = {"issuer": "https://a.example", "audience": "a", "jwks": {"keys": []}}
    config = loaded(issuers={"corp": issuer})
    arrived = read(io.BytesIO(assignment(config).packed()))
    with pytest.raises(ConfigError) as refused:
        build.build(arrived.config)
    assert refused.value.problems == build.problems(config)


def test_sockets_are_found_by_their_numbers() -> None:
    (place,) = bind(["127.0.0.1:0"], 2)
    copies = tuple(os.dup(each.fileno()) for each in place.sockets)
    given = inherited([place])
    assert given[0].numbers == tuple(each.fileno() for each in place.sockets)
    arrived = assignment(loaded(), places=(type(given[0])(place.address, copies, 0),))
    (opened,) = arrived.open_places()
    assert opened.address == place.address
    assert [each.getsockname() for each in opened.sockets] == [each.getsockname() for each in place.sockets]
    assert not any(each.get_inheritable() for each in opened.sockets)
    opened.close()
    place.close()


def test_what_is_no_assignment_is_refused() -> None:
    with pytest.raises(TypeError, match="no assignment"):
        read(io.BytesIO(pickle.dumps({})))


def test_no_secret_is_shown() -> None:
    assert SECRET not in repr(assignment(loaded()))
