"""Console pages of auto-install; every act is the API's service."""

from __future__ import annotations

from autoinstall.admin.attempts import AttemptAdmin
from autoinstall.admin.configs import PreparedConfigAdmin
from autoinstall.admin.installations import InstallationAdmin
from autoinstall.admin.tokens import AnswerTokenAdmin

__all__ = ["AnswerTokenAdmin", "AttemptAdmin", "InstallationAdmin", "PreparedConfigAdmin"]
