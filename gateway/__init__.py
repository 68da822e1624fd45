"""An async reverse proxy that lets no request without the right OAuth 2 token reach your HTTP API."""

__version__ = "0.1.0"
