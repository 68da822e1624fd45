"""Remembering answers for a while, bounded in number and in bytes."""
