"""A development authorization server, and what the demo needs besides; never on the request path."""
