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
class Inherited:
    """A `Place` by the numbers of its descriptors."""

    address: str
    numbers: tuple[int, ...]
    inode: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """Everything a worker needs to know. `control` is an inherited descriptor as well.

    The configuration comes as it was when the supervisor read it: a worker that is started again must not be the only
    one with an edited file. `revocations` are those that hold already.
    """

    slot: int
    workers: int
    config: Config = field(repr=False)
    control: int
    places: tuple[Inherited, ...]
    revocations: tuple[Revocation, ...] = field(default=(), repr=False)

    def packed(self) -> bytes:
        """For the standard input of the worker."""
        return pickle.dumps(self)

    def open_places(self) -> list[Place]:
        """The inherited sockets, as objects of this process."""
        return [Place(each.address, tuple(map(_socket, each.numbers)), each.inode) for each in self.places]


def read(stream: BinaryIO) -> Assignment:
    """The assignment of this process. Only its parent can write there: the same program, run by the same user."""
    assignment = pickle.load(stream)  # noqa: S301 - see above
    if not isinstance(assignment, Assignment):
        raise TypeError("no assignment on standard input")
    return assignment


def inherited(places: Sequence[Place]) -> tuple[Inherited, ...]:
    """Places as a child finds them: descriptors keep their numbers."""
    return tuple(
        Inherited(place.address, tuple(each.fileno() for each in place.sockets), place.inode) for place in places
    )


def _socket(number: int) -> socket.socket:
    inherited = socket.socket(fileno=number)
    inherited.set_inheritable(False)
    return inherited
