"""Requests of devices without HTTP: codes, decisions, polls."""

from __future__ import annotations

from gateway.devauth.clients import DEVICE_CODE, Client, Lifetimes
from gateway.devauth.device import DeviceRequests
from gateway.devauth.users import User
from tests.devauth.visitor import Clock

TV = Client(
    "tv", None, frozenset({"read"}), "api", grant_types=frozenset({DEVICE_CODE}), lifetimes=Lifetimes(device=100)
)
OTHER = Client("other", None, frozenset(), "api")


def test_both_codes_lead_to_the_request_and_neither_is_shown(clock: Clock) -> None:
    requests = DeviceRequests(clock)
    made = requests.make(TV, "read")
    assert requests.of_device(made.device_code, TV) is made
    assert requests.of_user(made.user_code) is made
    assert requests.of_user(made.user_code.replace("-", " ").lower()) is made
    assert requests.of_device(made.device_code, OTHER) is None
    assert requests.of_user("") is requests.of_user(made.device_code[:3]) is None
    assert made.device_code not in repr(made)
    assert made.user_code not in repr(made)


def test_a_decision_is_noted_with_the_user_and_closes_the_code(clock: Clock) -> None:
    requests, user = DeviceRequests(clock), User("alice", "pw")
    made = requests.make(TV, "read")
    made.decide(user, 5, is_approved=True)
    assert (made.decision, made.authorization.user, made.authorization.auth_time) == (True, user, 5)
    assert requests.of_user(made.user_code) is None
    assert requests.of_device(made.device_code, TV) is made


def test_after_its_time_the_user_code_is_unknown_and_the_device_is_told(clock: Clock) -> None:
    requests = DeviceRequests(clock)
    made = requests.make(TV, "read")
    clock.now += 100
    assert requests.of_user(made.user_code) is None
    found = requests.of_device(made.device_code, TV)
    assert found is not None
    assert found.is_expired()


def test_a_poll_counts_from_the_one_before(clock: Clock) -> None:
    made = DeviceRequests(clock).make(TV, "read")
    assert [made.polls_too_fast() for _ in range(3)] == [False, True, True]
    clock.now += 14
    assert made.polls_too_fast()
    clock.now += 20
    assert not made.polls_too_fast()
