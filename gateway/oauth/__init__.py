"""OAuth 2 and JOSE, one file a standard. Nothing here knows of routes or of configuration files."""
