"""The configuration: read, typed, checked. Only `build`, `process` and `cli` know it; the rest gets plain values."""

from gateway.config.files import ConfigFiles
from gateway.config.load import LoadedConfig as Config
from gateway.config.load import Places, load, parse, schema
from gateway.config.problems import ConfigError, ConfigUnreadable, Location, Problem

__all__ = [
    "Config",
    "ConfigError",
    "ConfigFiles",
    "ConfigUnreadable",
    "Location",
    "Places",
    "Problem",
    "load",
    "parse",
    "schema",
]
