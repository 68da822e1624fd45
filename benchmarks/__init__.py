"""What a request through the gateway costs, beside plain nginx and beside its peers in the same run."""
