"""Loaded before Django's settings: a state directory of its own for every run of the tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Not the developer's: whatever is configured there must not reach the tests, but for the database.
for name in list(os.environ):
    if name == "JWT_SECRET" or (
        name.startswith("PROVISIONING_")
        and name not in ("PROVISIONING_DATABASE__URL", "PROVISIONING_NU", "PROVISIONING_STATE_DIR")
    ):
        del os.environ[name]
if "PROVISIONING_STATE_DIR" not in os.environ:
    os.environ["PROVISIONING_STATE_DIR"] = tempfile.mkdtemp(prefix="ps-")
    atexit.register(shutil.rmtree, os.environ["PROVISIONING_STATE_DIR"], ignore_errors=True)
os.environ["PROVISIONING_CONFIG"] = os.devnull
