"""The servers that are compared: one file each, which says how it is found, configured and started."""
