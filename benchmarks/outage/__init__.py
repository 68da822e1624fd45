"""What clients see while something that the gateway uses is killed and comes back."""
