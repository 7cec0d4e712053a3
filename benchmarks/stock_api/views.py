"""One ModelViewSet, one login."""

from __future__ import annotations

from typing import Any

from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework import serializers, viewsets
from rest_framework.routers import SimpleRouter

application = get_wsgi_application()

from rest_framework_simplejwt.views import TokenObtainPairView  # noqa: E402 - needs Django set up

from benchmarks.stock_api.models import Operation  # noqa: E402


class OperationSerializer(serializers.ModelSerializer[Operation]):
    class Meta:
        model = Operation
        fields = "__all__"


class OperationViewSet(viewsets.ReadOnlyModelViewSet[Any]):
    queryset = Operation.objects.all()
    serializer_class = OperationSerializer


router = SimpleRouter(trailing_slash=False)
router.register("operations", OperationViewSet)
urlpatterns = [*router.urls, path("login", TokenObtainPairView.as_view())]
