"""Sending an allowed request on: what the upstream receives, and what the client gets back."""
