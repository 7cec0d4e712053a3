"""The URL map: health, `/v1`, `/api2/json`, the console."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from autoinstall import urls as autoinstall
from provisioning import health, views

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("health", health.LiveView.as_view(), name="health"),
    path("health/ready", health.ReadyView.as_view(), name="ready"),
    path("v1/version", views.VersionView.as_view(), name="version"),
    path("v1/metrics", views.MetricsView.as_view(), name="metrics"),
    path("v1/openapi.json", views.OpenApiView.as_view(), name="openapi"),
    path("v1/docs", views.SwaggerView.as_view(), name="docs"),
    path("v1/redoc", views.RedocView.as_view(), name="redoc"),
    path("v1/", include("operations.urls")),  # first: they are polled, and each route tried costs
    path("v1/", include("accounts.urls")),
    path("v1/auto-install/", include(autoinstall.v1)),
    path("api2/json/", include(autoinstall.api2)),
    path("admin/", admin.site.urls),
]

handler400 = views.bad_request
handler403 = views.forbidden
handler404 = views.not_found
handler500 = views.server_error
