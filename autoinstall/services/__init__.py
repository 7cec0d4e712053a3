"""What auto-install does: one act, one function."""
