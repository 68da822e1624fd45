"""Finds the most specific route for host, path and method: a trie, so its cost does not grow with the number of routes.

It knows nothing of what a route does. Order in the configuration never matters: exact host before `*.` host before
none, then segment by segment a literal before `{x}` before `**`, then listed methods before none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, TypeVar

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.target import decode, normalise_path

T = TypeVar("T")

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NO_SEGMENTS: Mapping[str, str] = {}
_REST = re.compile(r"\*\*|\{([A-Za-z_][A-Za-z0-9_]*):\*\*\}")


# No dataclasses here: mypyc can't compile a generic one (docs/decisions/0024).


class Pattern(Generic[T]):
    """Which requests a route is for. Empty `hosts` or `methods` mean any; `name` is for messages."""

    __slots__ = ("hosts", "methods", "name", "paths", "value")

    def __init__(
        self, name: str, paths: tuple[str, ...], value: T, hosts: tuple[str, ...] = (), methods: tuple[str, ...] = ()
    ) -> None:
        self.name: Final = name
        self.paths: Final = paths
        self.value: Final = value
        self.hosts: Final = hosts
        self.methods: Final = methods


class Match(Generic[T]):
    """The route found. `segments` are the path parameters as sent, `parameters` the same percent-decoded."""

    __slots__ = ("segments", "value")

    def __init__(self, value: T, segments: Mapping[str, str]) -> None:
        self.value = value
        self.segments = segments

    @property
    def parameters(self) -> Mapping[str, str]:
        """What rules compare with."""
        return {name: decode(segment) for name, segment in self.segments.items()}


class RouteConflict(ValueError):
    """Two routes that could match the same request equally well: `pairs` are their names."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{first} and {second}" for first, second in pairs))
        self.pairs = tuple(pairs)


class _Entry(Generic[T]):
    """A route at one of its paths. `names` are of each part that is not literal, None for one without a name."""

    __slots__ = ("names", "pattern")

    def __init__(self, pattern: Pattern[T], names: tuple[str | None, ...]) -> None:
        self.pattern: Final = pattern
        self.names: Final = names


class _Leaf(Generic[T]):
    """What ends at one place of the trie: a route for each method, and one for any."""

    __slots__ = ("any_method", "by_method")

    def __init__(self) -> None:
        self.by_method: dict[str, _Entry[T]] = {}
        self.any_method: _Entry[T] | None = None

    def add(self, entry: _Entry[T]) -> Iterator[str]:
        """Add a route; yields the names of those that stand in its place already."""
        if not entry.pattern.methods:
            if self.any_method is not None:
                yield self.any_method.pattern.name
            self.any_method = entry
        for method in entry.pattern.methods:
            if method in self.by_method:
                yield self.by_method[method].pattern.name
            self.by_method[method] = entry

    def find(self, method: str) -> _Entry[T] | None:
        found = self.by_method.get(method)
        if found is None and method == "HEAD":
            found = self.by_method.get("GET")  # RFC 9110 §9.3.2: HEAD is allowed where GET is.
        return found or self.any_method

    def allowed(self) -> set[str]:
        methods = set(self.by_method)
        return methods | {"HEAD"} if "GET" in methods else methods


class _Node(Generic[T]):
    """A place of the trie: what each segment leads to, and what ends here."""

    __slots__ = ("leaf", "literals", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.leaf: _Leaf[T] | None = None
        self.rest: _Leaf[T] | None = None

    def find(self, segments: list[str], at: int, captured: tuple[str, ...], search: _Search[T]) -> bool:
        """Look for the most specific leaf that allows the method, at the rest of the path. Visits no node twice."""
        node, last = self, len(segments)
        while at < last:
            segment = segments[at]
            literal = node.literals.get(segment)
            parameter = node.parameter if segment else None
            at += 1
            if literal is not None and (parameter is not None or node.rest is not None):
                # More than one way leads on: only then does it have to come back here.
                if literal.find(segments, at, captured, search):
                    return True
            elif literal is not None:
                node = literal
                continue
            if parameter is None:
                return node.rest is not None and search.tries(node.rest, (*captured, "/".join(segments[at - 1 :])))
            if node.rest is not None:
                found = parameter.find(segments, at, (*captured, segment), search)
                return found or search.tries(node.rest, (*captured, "/".join(segments[at - 1 :])))
            node = parameter
            captured = (*captured, segment)
        if node.leaf is not None and search.tries(node.leaf, captured):
            return True
        return node.rest is not None and search.tries(node.rest, (*captured, ""))


class _Search(Generic[T]):
    """One search for a method: what was found, or else which methods would have been."""

    __slots__ = ("allowed", "captured", "entry", "is_path_known", "method")

    def __init__(self, method: str) -> None:
        self.method = method
        self.entry: _Entry[T] | None = None
        self.captured: tuple[str, ...] = ()
        self.allowed: set[str] = set()
        self.is_path_known = False

    def tries(self, leaf: _Leaf[T], captured: tuple[str, ...]) -> bool:
        """Whether the leaf's route may be taken; it is then `entry`."""
        entry = leaf.find(self.method)
        if entry is None:
            self.is_path_known = True
            self.allowed |= leaf.allowed()
            return False
        self.entry = entry
        self.captured = captured
        return True


class Router(Generic[T]):
    """All routes, compiled. Raises `RouteConflict` naming every pair that would be equally good for some request."""

    def __init__(self, patterns: Iterable[Pattern[T]]) -> None:
        self._any_host: _Node[T] = _Node()
        self._exact: dict[str, _Node[T]] = {}
        self._wildcard: dict[str, _Node[T]] = {}
        conflicts: list[tuple[str, str]] = []
        for pattern in patterns:
            for root in self._roots(pattern.hosts):
                for path in pattern.paths:
                    conflicts += [(other, pattern.name) for other in _insert(root, path, pattern)]
        self._has_hosts = bool(self._exact or self._wildcard)
        self._any = (self._any_host,)
        if conflicts:
            raise RouteConflict(list(dict.fromkeys(conflicts)))

    def _roots(self, hosts: tuple[str, ...]) -> Iterator[_Node[T]]:
        if not hosts:
            yield self._any_host
        for host in hosts:
            if host.startswith("*."):
                yield self._wildcard.setdefault(host[2:].lower(), _Node())
            else:
                yield self._exact.setdefault(host.lower().rstrip("."), _Node())

    def match(self, host: str, path: str, method: str) -> Match[T]:
        """The most specific route for a canonical path. Raises `GatewayError`: route_not_found, method_not_allowed."""
        if path == "*":
            # OPTIONS * asks about the server as a whole (RFC 9110 §9.3.7): it is no path, not even below `/**`.
            raise GatewayError(errors.ROUTE_NOT_FOUND, "the asterisk is no path")
        segments = path[1:].split("/")
        if not self._has_hosts and (match := _only_way(self._any_host, segments, method)) is not None:
            return match
        search: _Search[T] = _Search(method)
        for root in self._serving(host) if self._has_hosts else self._any:
            if root.find(segments, 0, (), search) and search.entry is not None:
                return Match(search.entry.pattern.value, _named(search.entry.names, search.captured))
        if search.is_path_known:
            allowed = tuple(sorted(search.allowed))
            raise GatewayError(errors.METHOD_NOT_ALLOWED, f"{method} on a known path", allow=allowed)
        raise GatewayError(errors.ROUTE_NOT_FOUND, "no route has this host and path")

    def serves(self, host: str) -> bool:
        """Whether some route is for this host, or for any."""
        return next(self._serving(host), None) is not None

    def _serving(self, host: str) -> Iterator[_Node[T]]:
        exact = self._exact.get(host)
        if exact is not None:
            yield exact
        if self._wildcard:
            labels = host.split(".")
            for index in range(1, len(labels)):
                node = self._wildcard.get(".".join(labels[index:]))
                if node is not None:
                    yield node
        if self._any_host.literals or self._any_host.parameter or self._any_host.rest:
            yield self._any_host


def _only_way(node: _Node[T], segments: list[str], method: str) -> Match[T] | None:
    """The route, where at each segment one way alone leads on, as in most configurations; else None, and a search."""
    captured: tuple[str, ...] = ()
    for segment in segments:
        literal = node.literals.get(segment)
        if node.rest is not None or (literal is not None and node.parameter is not None):
            return None
        if literal is not None:
            node = literal
        elif node.parameter is not None and segment:
            captured = (*captured, segment)
            node = node.parameter
        else:
            return None
    entry = node.leaf.by_method.get(method) if node.leaf is not None and node.rest is None else None
    return Match(entry.pattern.value, _named(entry.names, captured)) if entry is not None else None


def _insert(root: _Node[T], path: str, pattern: Pattern[T]) -> list[str]:
    node = root
    names: list[str | None] = []
    for segment in path[1:].split("/"):
        rest = _REST.fullmatch(segment)
        if rest is not None:
            node.rest = node.rest or _Leaf()
            return list(node.rest.add(_Entry(pattern, (*names, rest[1]))))
        parameter = _PARAMETER.fullmatch(segment)
        if parameter is None:
            node = node.literals.setdefault(segment, _Node())
        else:
            names.append(parameter[1])
            node.parameter = node.parameter or _Node()
            node = node.parameter
    node.leaf = node.leaf or _Leaf()
    return list(node.leaf.add(_Entry(pattern, tuple(names))))


def _named(names: tuple[str | None, ...], captured: tuple[str, ...]) -> Mapping[str, str]:
    if not captured:
        return _NO_SEGMENTS
    if len(captured) == 1 and names[0] is not None:
        return {names[0]: captured[0]}
    return {name: segment for name, segment in zip(names, captured, strict=True) if name is not None}


def canonical_template(path: str) -> str:
    """A route's path with its literals in the one form of `http.target`. Raises `GatewayError` for what has none."""
    return "/" + "/".join(_canonical_segment(segment) for segment in path[1:].split("/"))


def _canonical_segment(segment: str) -> str:
    if _PARAMETER.fullmatch(segment) or _REST.fullmatch(segment):
        return segment
    return normalise_path(f"/{segment}")[1:]


def literal_prefix(path: str) -> str:
    """The part of a route's path before its first parameter or `**`, without a trailing slash."""
    segments = []
    for segment in path[1:].split("/"):
        if _PARAMETER.fullmatch(segment) or _REST.fullmatch(segment):
            break
        segments.append(segment)
    return "".join(f"/{segment}" for segment in segments).rstrip("/")
