"""What operators see of a running gateway: probes and metrics, on a port of their own."""
