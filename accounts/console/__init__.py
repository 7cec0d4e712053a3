"""The browser console: Django's admin under our name, with our look, permissions and login.

An app registers its pages with `ConsoleAdmin` and its part of the home page with `register_panel`.
"""

from __future__ import annotations

from accounts.console.home import register_panel
from accounts.console.pages import ConsoleAdmin
from accounts.console.site import ConsoleSite

__all__ = ["ConsoleAdmin", "ConsoleSite", "register_panel"]
