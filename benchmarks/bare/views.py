"""One view: it keeps the body in one row, by one statement."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

TABLE = "CREATE TABLE IF NOT EXISTS kept (id {} PRIMARY KEY, body text NOT NULL)"
KEEP = "INSERT INTO kept (body) VALUES (%s)"


def make_table() -> None:
    """Before the first process serves."""
    is_sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute(
            TABLE.format("integer" if is_sqlite else "bigint GENERATED ALWAYS AS IDENTITY")
        )
    connection.close()


def keep(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute(KEEP, [request.body.decode()])
    return HttpResponse(b'{"data":null}', content_type="application/json")


urlpatterns = [path("api2/json/auto-install/answer", keep)]
application = get_wsgi_application()
