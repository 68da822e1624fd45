"""What a request through the gateway costs, beside plain nginx in the same run."""
