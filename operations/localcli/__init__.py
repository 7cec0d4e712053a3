"""provisioning-local: a small `provisioning` CLI for hosts you own (provider `local`).

A program of its own: standard library only, no Django, nothing outside this package.
Its contract and its reference are in docs/cli.md.
"""

from __future__ import annotations

NAME = "provisioning-local"
__version__ = "0.1.0"
