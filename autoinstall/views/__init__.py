"""The doors of auto-install: parse, service, answer."""
