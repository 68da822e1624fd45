"""Running the gateway: one process or a supervisor with its workers, and the program's own log."""
