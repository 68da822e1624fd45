"""HTTP as an intermediary speaks it (RFC 9110, RFC 9112). Nothing here knows of OAuth or of configuration."""
