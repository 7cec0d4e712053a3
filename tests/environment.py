"""Loaded before Django's settings: a state directory of its own for every run of the tests."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

KEPT = (
    "PROVISIONING_DATABASE__URL",
    "PROVISIONING_NU",
    "PROVISIONING_CHROMIUM",
    "PROVISIONING_STATE_DIR",
)

# Not the developer's: whatever is configured there must not reach the tests, but for the database.
for name in list(os.environ):
    if name == "JWT_SECRET" or (name.startswith("PROVISIONING_") and name not in KEPT):
        del os.environ[name]
if "PROVISIONING_STATE_DIR" not in os.environ:
    os.environ["PROVISIONING_STATE_DIR"] = tempfile.mkdtemp(prefix="ps-")
    atexit.register(shutil.rmtree, os.environ["PROVISIONING_STATE_DIR"], ignore_errors=True)
os.environ["PROVISIONING_CONFIG"] = os.devnull
# Started by nohup, or by a CI without a terminal, all processes of the tests would inherit that a hang-up
# is ignored; some tests send one.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
