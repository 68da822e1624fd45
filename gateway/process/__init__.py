"""Running the gateway: the worker that listens, and the program's own log."""
