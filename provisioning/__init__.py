"""Wiring: configuration, settings, routes, processes. The product lives in the three apps."""

from __future__ import annotations

__version__ = "0.1.0"
