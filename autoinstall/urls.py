"""Routes of auto-install: `/v1/auto-install` in our manners, `/api2/json/auto-install` in those of
Proxmox Datacenter Manager."""

from __future__ import annotations

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from autoinstall import compat
from autoinstall.views import configs, installations, installer, tokens

router = SimpleRouter(trailing_slash=False)
router.register("tokens", tokens.AnswerTokenViewSet, basename="answer-token")
router.register("prepared", configs.PreparedConfigViewSet, basename="prepared-config")
router.register("answer-files", configs.AnswerFileViewSet, basename="answer-file")
router.register("installations", installations.InstallationViewSet, basename="installation")
router.register("attempts", installations.AttemptViewSet, basename="attempt")
router.register("preview", installations.PreviewViewSet, basename="preview")

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
HOOK = rf"installations/(?P<attempt>{UUID})/post-hook\Z"

# Mounted at /v1/auto-install/
v1 = [
    path("answer", installer.answer, name="answer"),
    path("answer/<path:credential>", installer.answer, name="answer-by-path"),
    re_path(HOOK, installer.post_hook, name="post-hook"),
    *router.urls,
]

# Mounted at /api2/json/
api2 = [
    path("auto-install", compat.IndexView.as_view()),
    path("auto-install/answer", installer.answer),
    path("auto-install/answer/<path:credential>", installer.answer),
    re_path(rf"auto-install/{HOOK}", installer.post_hook, {"is_compat": True}),
    path("auto-install/tokens", compat.TokensView.as_view()),
    path("auto-install/tokens/<str:name>", compat.TokenView.as_view()),
    path("auto-install/prepared", compat.ConfigsView.as_view()),
    path("auto-install/prepared/<path:name>", compat.ConfigView.as_view()),
    path("auto-install/installations", compat.InstallationsView.as_view()),
    path("auto-install/installations/<str:attempt>", compat.InstallationView.as_view()),
    re_path(r".*\Z", compat.unknown),
]
