"""The kinds of values: durations, sizes, addresses, patterns. Each says in a sentence what it wants."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, WithJsonSchema

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?")
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?")
_UNITS = {None: 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REST = re.compile(r"\*\*|\{([A-Za-z_][A-Za-z0-9_]*):\*\*\}")
_HOST_PATTERN = re.compile(
    r"(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_\-]+)*\.?(?::\d+)?|\[[0-9a-fA-F:.]+\]"
)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"(?:[!-~\x80-\U0010ffff](?:[ \t!-~\x80-\U0010ffff]*[!-~\x80-\U0010ffff])?)?")
_SCOPE = re.compile(r"[!#-\[\]-~]+")
_PARTS = re.compile(r"^(\[[^\]]+\]|[^:]*):(\d+)$")


def kind(value: object) -> str:
    """What a value is, for people who write YAML."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a block"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def duration(value: object) -> float:
    """Seconds, from `500ms`, `30s`, `5m`, `1h30m` or `0`."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if found is None:
        raise ValueError(f"must be a duration such as 500ms, 30s, 5m or 1h30m, not {kind(value)}{_unit_hint(value)}")
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _unit_hint(value: object) -> str:
    return f" without a unit: {value}s?" if isinstance(value, int) and not isinstance(value, bool) else ""


def size(value: object) -> int:
    """Bytes, from `16KiB`, `10MiB` or a plain number."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"must be a size such as 16KiB, 10MiB or a number of bytes, not {kind(value)}")
    return int(found[1]) * _UNITS[found[2]]


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str):
        raise ValueError(f"must be a text, not {kind(value)}{' (put it in quotes)' if value is not None else ''}")
    if not value:
        raise ValueError("must not be empty")
    return value


def listed(each: Callable[[object], Any], what: str) -> Callable[[object], tuple[Any, ...]]:
    """One value or a list of them, as a tuple."""

    def convert(value: object) -> tuple[Any, ...]:
        if isinstance(value, dict) or value is None:
            raise ValueError(f"must be {what} or a list of them, not {kind(value)}")
        members = value if isinstance(value, list | tuple) else [value]
        if not members:
            raise ValueError(f"must not be an empty list; leave the key out, or name {what}")
        return tuple(each(member) for member in members)

    return convert


def address(value: object) -> str:
    """`host:port`, `[::1]:8080`, `:8080` or `unix:/path`."""
    if isinstance(value, str) and value.startswith("unix:/"):
        return value
    found = _PARTS.match(value) if isinstance(value, str) else None
    if found is None or int(found[2]) > 65535:
        raise ValueError("must be an address such as 0.0.0.0:8080, [::1]:8080 or unix:/run/gateway.sock")
    return str(value)


def url(value: object) -> str:
    """An http or https URL without user information, query or fragment."""
    plain = text(value)
    try:
        parts = urlsplit(plain)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not plain.isascii() or not plain.isprintable() or " " in plain:
        raise ValueError("must be an http:// or https:// address")
    if "@" in urlsplit(plain).netloc:
        raise ValueError("must not hold a user name or a password")
    if "?" in plain or "#" in plain:
        raise ValueError("must have neither ? nor #")
    return plain


def upstream_url(value: object) -> str:
    """An http or https URL, or `unix:/path`."""
    if isinstance(value, str) and value.startswith("unix:/"):
        return value
    return url(value)


def network(value: object) -> str:
    """A network such as 10.0.0.0/8; everything at once is refused."""
    plain = text(value)
    try:
        parsed = ipaddress.ip_network(plain)
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8 or 192.0.2.1/32") from None
    if parsed.prefixlen == 0:
        raise ValueError("trusts everyone: any client could then say it was another one; name your proxies")
    return plain


def path_template(value: object) -> str:
    """A path whose segments are literals, `{name}`, or last `**` or `{name:**}`."""
    plain = text(value)
    if not plain.startswith("/"):
        raise ValueError("must begin with /")
    segments = plain[1:].split("/")
    names: list[str] = []
    for index, segment in enumerate(segments):
        rest = _REST.fullmatch(segment)
        parameter = _PARAMETER.fullmatch(segment)
        if rest is not None and index != len(segments) - 1:
            raise ValueError("** stands for all the rest, so it must be the last segment")
        if rest is None and parameter is None and ("{" in segment or "}" in segment or "*" in segment):
            raise ValueError(f"segment {segment} is neither a literal nor {{name}}, {{name:**}} or **")
        names += [found[1] for found in (rest, parameter) if found is not None and found[1]]
    if len(names) != len(set(names)):
        raise ValueError("two parameters have the same name")
    return plain


def parameters(template: str) -> frozenset[str]:
    """The names of a template's parameters."""
    found = (_PARAMETER.fullmatch(part) or _REST.fullmatch(part) for part in template[1:].split("/"))
    return frozenset(match[1] for match in found if match is not None and match[1])


def host_pattern(value: object) -> str:
    """A host name, or `*.` and a host name."""
    plain = text(value)
    if not _HOST_PATTERN.fullmatch(plain):
        raise ValueError("must be a host name such as api.example.com or *.example.com")
    name = re.sub(r":\d+$", "", plain) if not plain.startswith("[") else plain
    return name.lower().removesuffix(".")


def method(value: object) -> str:
    """An HTTP method in capitals."""
    plain = text(value)
    if not re.fullmatch(r"[A-Z]+(?:-[A-Z]+)*", plain):
        raise ValueError("must be an HTTP method in capitals, such as GET")
    if plain in ("CONNECT", "TRACE"):
        raise ValueError(f"{plain} is never forwarded")
    return plain


def scope(value: object) -> str:
    """One scope-token (RFC 6749 §3.3)."""
    plain = text(value)
    if not _SCOPE.fullmatch(plain):
        raise ValueError("must be one scope: no blanks, quotes, backslashes or non-ASCII; several go into a list")
    return plain


def header_name(value: object) -> str:
    """A header field name (RFC 9110 §5.1)."""
    plain = text(value)
    if not _TOKEN.fullmatch(plain):
        raise ValueError("must be a header field name")
    return plain


def header_value(value: object) -> str:
    """A header field value (RFC 9110 §5.5)."""
    if not isinstance(value, str) or not _FIELD_VALUE.fullmatch(value):
        raise ValueError("must be a text without line ends, control characters or blanks at its ends")
    return value


DURATION_SCHEMA = {
    "type": ["string", "integer"],
    "pattern": r"^(([0-9]+(h|m|s|ms))+|0)$|\$\{",
    "examples": ["30s", "5m", "1h30m"],
}
SIZE_SCHEMA = {
    "type": ["string", "integer"],
    "pattern": r"^[0-9]+ *(B|KiB|MiB|GiB)?$|\$\{",
    "examples": ["16KiB", "10MiB"],
}


def _one_or_list(items: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [items, {"type": "array", "items": items, "minItems": 1}]}


_STRING = {"type": "string"}

Duration = Annotated[float, BeforeValidator(duration), WithJsonSchema(DURATION_SCHEMA)]
Size = Annotated[int, BeforeValidator(size), WithJsonSchema(SIZE_SCHEMA)]
Text = Annotated[str, BeforeValidator(text)]
Address = Annotated[str, BeforeValidator(address)]
Url = Annotated[str, BeforeValidator(url)]
Addresses = Annotated[
    tuple[str, ...], BeforeValidator(listed(address, "an address")), WithJsonSchema(_one_or_list(_STRING))
]
Networks = tuple[Annotated[str, BeforeValidator(network)], ...]
Hosts = Annotated[
    tuple[str, ...], BeforeValidator(listed(host_pattern, "a host name")), WithJsonSchema(_one_or_list(_STRING))
]
PathTemplate = Annotated[str, BeforeValidator(path_template)]
Paths = Annotated[
    tuple[str, ...], BeforeValidator(listed(path_template, "a path")), WithJsonSchema(_one_or_list(_STRING))
]
Methods = Annotated[tuple[str, ...], BeforeValidator(listed(method, "a method")), WithJsonSchema(_one_or_list(_STRING))]
Scopes = Annotated[tuple[str, ...], BeforeValidator(listed(scope, "a scope")), WithJsonSchema(_one_or_list(_STRING))]
Texts = Annotated[tuple[str, ...], BeforeValidator(listed(text, "a text")), WithJsonSchema(_one_or_list(_STRING))]
HeaderName = Annotated[str, BeforeValidator(header_name)]
HeaderValue = Annotated[str, BeforeValidator(header_value)]
