"""Reports what Tornado reads: get_query_arguments, get_body_arguments and the matched route."""

import asyncio
import logging

from tornado.web import Application, RequestHandler

from echo import answer, port, report


class Echo(RequestHandler):
    def initialize(self, route):
        self.route = route

    def prepare(self):
        request = self.request
        query = [[name, value] for name in request.query_arguments for value in self.get_query_arguments(name)]
        form = [[name, value] for name in request.body_arguments for value in self.get_body_arguments(name)]
        report(request.headers.get("X-Case"), request.method, request.path, self.route, query, form)
        status, headers = answer("X-Sign-In" in request.headers, query)
        self.set_status(status)
        for name, value in headers.items():
            self.set_header(name, value)
        self.finish()


async def main():
    routes = [("/token", "token"), ("/authorize", "authorize"), (".*", "")]
    Application([(path, Echo, {"route": route}) for path, route in routes]).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


logging.disable()
asyncio.run(main())
