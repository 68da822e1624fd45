"""The decision: who is asking, and may they do this here? Order and verdict; knows routes' rules but no routing."""
