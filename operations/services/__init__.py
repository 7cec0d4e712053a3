"""The acts of operations: submit, claim, finish, cancel, and the steps of workflows."""

from __future__ import annotations
