"""Django, all of it in one file: `gunicorn -k wsdriver.worker examples.frameworks.django_app:app`"""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

import wsdriver


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page of Django\n")


def echo(request: HttpRequest) -> HttpResponse:
    if not wsdriver.is_websocket(request.META):
        return HttpResponse("a WebSocket, please\n", status=426)
    ws = wsdriver.WebSocket(request.META)  # request.META is the WSGI environ
    try:
        for message in ws:
            ws.send(message)
    except wsdriver.ConnectionClosed:
        pass  # the client has gone; Django would log an error
    return HttpResponse(ws.wsgi_response(), status=101)


urlpatterns = [path("", page), path("echo", echo)]

# Of a project of its own settings, only the view above and its line in urlpatterns are needed.
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost", "127.0.0.1"], SECRET_KEY="an example")
app = get_wsgi_application()
