"""The demo: all that it takes on one machine, requests to paste, and a guided tour through the flows of OAuth 2."""
