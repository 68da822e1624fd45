"""What a worker is given by its supervisor: read from standard input at its start."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from gateway.access.revocation import Revocation
from gateway.config import Config
from gateway.process.listening import Place


@dataclass(frozen=True, slots=True)
class Assignment:
    """Everything a worker needs to know. `control` and `places` name inherited descriptors.

    The configuration comes as it was when the supervisor read it: a worker that is started again must not be the only
    one with an edited file. `revocations` are those that hold already.
    """

    slot: int
    workers: int
    config: Config = field(repr=False)
    control: int
    places: tuple[tuple[str, tuple[int, ...]], ...]
    revocations: tuple[Revocation, ...] = field(default=(), repr=False)

    def packed(self) -> bytes:
        """For the standard input of the worker."""
        return pickle.dumps(self)

    def open_places(self) -> list[Place]:
        """The inherited sockets, as objects of this process."""
        return [Place(address, tuple(_socket(number) for number in numbers)) for address, numbers in self.places]


def read(stream: BinaryIO) -> Assignment:
    """The assignment of this process. Only its parent can write there: the same program, run by the same user."""
    assignment = pickle.load(stream)  # noqa: S301 - see above
    if not isinstance(assignment, Assignment):
        raise TypeError("no assignment on standard input")
    return assignment


def numbers(places: Sequence[Place]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The descriptors of sockets, which keep their numbers in a child."""
    return tuple((place.address, tuple(each.fileno() for each in place.sockets)) for place in places)


def _socket(number: int) -> socket.socket:
    inherited = socket.socket(fileno=number)
    inherited.set_inheritable(False)
    return inherited
