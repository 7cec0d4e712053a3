"""Routes of accounts under `/v1`."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from accounts import views

router = SimpleRouter(trailing_slash=False)
router.register("auth", views.AuthViewSet, basename="auth")
router.register("users", views.UserViewSet, basename="user")
router.register("roles", views.RoleViewSet, basename="role")
router.register("role-bindings", views.RoleBindingViewSet, basename="role-binding")
router.register("workspaces", views.WorkspaceViewSet, basename="workspace")
router.register("audit", views.AuditViewSet, basename="audit-event")

urlpatterns = router.urls
