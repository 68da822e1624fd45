"""`oauth-gateway test`: what the configuration is meant to decide, written down as requests, tokens and verdicts."""

from gateway.cli.test.command import command

__all__ = ["command"]
