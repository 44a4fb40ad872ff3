"""Reports what Django reads: request.GET, request.POST and the resolved route. Werkzeug serves it."""

import logging

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path, re_path
from werkzeug.serving import run_simple

from echo import answer, port, report

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="a key")
django.setup()


def listed(params):
    return [[name, value] for name, values in params.lists() for value in values]


def echo(route):
    def view(request, **_):
        query, form = listed(request.GET), listed(request.POST)
        report(request.headers.get("X-Case"), request.method, request.path_info, route, query, form)
        status, headers = answer("X-Sign-In" in request.headers, query)
        return HttpResponse(status=status, headers=headers)

    return view


urlpatterns = [
    path("token", echo("token")),
    path("authorize", echo("authorize")),
    re_path("", echo("")),
]

logging.disable()
run_simple("127.0.0.1", port, get_wsgi_application(), threaded=True)
