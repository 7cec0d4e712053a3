"""`/v1/auto-install/tokens`."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from autoinstall.documents import TokenChange, TokenCreate
from autoinstall.models import AnswerToken
from autoinstall.services import tokens
from autoinstall.shapes import TokenOut, TokenPatch, TokenSaved, token_out, token_saved
from autoinstall.views.manners import if_match, read_shape, with_etag
from provisioning.api import ApiViewSet

EXAMPLE = OpenApiExample(
    "A token for one rack",
    value={"id": "rack-7", "comment": "Row B", "source-cidrs": ["10.7.0.0/24"], "max-uses": 40},
    request_only=True,
)


class AnswerTokenViewSet(ApiViewSet):
    """What installers show to get their answer."""

    queryset = AnswerToken.objects.all()
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    required_permissions: ClassVar[dict[str, str]] = {
        "list": "answer_token_read",
        "retrieve": "answer_token_read",
        "create": "answer_token_manage",
        "update": "answer_token_manage",
        "partial_update": "answer_token_manage",
        "destroy": "answer_token_manage",
    }
    filters: ClassVar[dict[str, str]] = {"id": "name", "created-by": "created_by"}

    @extend_schema(
        summary="List answer tokens",
        responses=TokenOut,
        parameters=[OpenApiParameter("id"), OpenApiParameter("created-by")],
    )
    def list(self, request: Request) -> Response:
        return self.answer_page(lambda rows: [token_out(row).wire() for row in rows])

    @extend_schema(summary="One answer token", responses=TokenOut)
    def retrieve(self, request: Request, name: str) -> Response:
        token = tokens.find_token(name)
        return with_etag(Response(token_out(token).wire()), token)

    @extend_schema(
        summary="Create an answer token: its secret is shown this once",
        request=TokenCreate,
        responses={201: TokenSaved},
        examples=[EXAMPLE],
    )
    def create(self, request: Request) -> Response:
        wanted = read_shape(TokenCreate, request.data)
        token, secret = tokens.create_token(wanted=wanted, actor=self.actor)
        response = Response(token_saved(token, secret).wire(), status=status.HTTP_201_CREATED)
        response["Location"] = f"{request.path}/{token.name}"
        return with_etag(response, token)

    @extend_schema(
        summary="Change an answer token, or rotate its secret",
        request=TokenChange,
        responses=TokenSaved,
    )
    def update(self, request: Request, name: str) -> Response:
        token, secret = tokens.change_token(
            name=name,
            change=read_shape(TokenChange, request.data),
            actor=self.actor,
            precondition=if_match(request),
        )
        return with_etag(Response(token_saved(token, secret).wire()), token)

    @extend_schema(
        summary="Change an answer token, or rotate its secret",
        request=TokenPatch,
        responses=TokenSaved,
    )
    def partial_update(self, request: Request, name: str) -> Response:
        return self.update(request, name)

    @extend_schema(summary="Delete an answer token that no config uses", responses={204: None})
    def destroy(self, request: Request, name: str) -> Response:
        tokens.delete_token(name=name, actor=self.actor, precondition=if_match(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
