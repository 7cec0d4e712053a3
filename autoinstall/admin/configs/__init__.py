"""Prepared configs in the console: the list, the guided form, its checks and preview, answer files."""

from __future__ import annotations

from autoinstall.admin.configs.pages import PreparedConfigAdmin

__all__ = ["PreparedConfigAdmin"]
