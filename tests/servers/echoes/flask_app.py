"""Reports what Flask reads: request.args, request.form, request.get_json and the matched route."""

import logging

from flask import Flask, request

from echo import answer, pairs, port, report

app = Flask(__name__)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def echo(route):
    query = list(request.args.items(multi=True))
    form = list(request.form.items(multi=True)) + pairs(request.get_json(silent=True))
    report(request.headers.get("X-Case"), request.method, request.path, route, query, form)
    status, headers = answer("X-Sign-In" in request.headers, query)
    return "", status, headers


app.add_url_rule("/token", "token", lambda: echo("token"), methods=METHODS)
app.add_url_rule("/authorize", "authorize", lambda: echo("authorize"), methods=METHODS)
app.add_url_rule("/", "root", lambda: echo(""), methods=METHODS)
app.add_url_rule("/<path:rest>", "rest", lambda rest: echo(""), methods=METHODS)

logging.disable()
app.run("127.0.0.1", port, threaded=True)
