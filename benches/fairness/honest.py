"""Honest clients, each from a separate network, that count whether they are served."""

import base64
import collections
import concurrent.futures
import hashlib
import http.client
import secrets
import threading
import time
import urllib.parse

HOST = "login.example.com"
CALLBACK = "https://app.example.com/callback"
FORM = "application/x-www-form-urlencoded"
PATIENCE = 8  # seconds that a client waits for each answer


class Refused(Exception):
    """A request was not served, with the reason."""


class Client:
    """One user, at one address."""

    def __init__(self, port, address, fields=()):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE, source_address=(address, 0))
        self.fields = dict(fields, Host=HOST)

    def ask(self, method, target, body=None, kind=FORM, **fields):
        fields |= {"Content-Type": kind} if body is not None else {}
        self.connection.request(
            method, target, body, self.fields | fields, encode_chunked="Transfer-Encoding" in fields
        )
        answer = self.connection.getresponse()
        answer.read()
        if answer.status >= 400:
            raise Refused(str(answer.status))
        return answer

    def page(self):
        self.ask("GET", "/page")

    def form(self):
        self.ask("POST", "/login", "user=alice&password=secret")

    def upload(self):
        piece = b"x" * 4096
        self.ask("POST", "/upload", iter([piece] * 40), "image/png", **{"Transfer-Encoding": "chunked"})

    def sign_in(self, client="spa"):
        """Authorization, callback, token."""
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        state = secrets.token_urlsafe(16)
        asked = {
            "response_type": "code", "client_id": client, "redirect_uri": CALLBACK, "state": state,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }
        location = "/authorize?" + urllib.parse.urlencode(asked)
        cookies = {}
        while not location.startswith(CALLBACK):
            answer = self.ask("GET", location.removeprefix(f"http://{HOST}"), **cookies)
            location = answer.getheader("location", CALLBACK)
            if cookie := answer.getheader("set-cookie"):
                cookies["Cookie"] = cookie.partition(";")[0]
        back = dict(urllib.parse.parse_qsl(location.partition("?")[2]))
        if back.get("state") != state or "code" not in back:
            raise Refused("no code")
        redeemed = {
            "grant_type": "authorization_code", "code": back["code"], "client_id": client,
            "redirect_uri": CALLBACK, "code_verifier": verifier,
        }
        self.ask("POST", "/token", urllib.parse.urlencode(redeemed))

    def close(self):
        self.connection.close()


WORK = ("page", "form", "upload", "sign_in")


class Tally:
    """Counts the requests and their results."""

    def __init__(self):
        self.outcomes = collections.Counter()
        self.lock = threading.Lock()

    def one(self, port, address, work, fields=()):
        client = Client(port, address, fields)
        try:
            getattr(client, work)()
            outcome = "served"
        except Refused as refused:
            outcome = f"{work} {refused}"
        except (OSError, http.client.HTTPException) as error:
            outcome = f"{work} {type(error).__name__}"
        finally:
            client.close()
        with self.lock:
            self.outcomes[outcome] += 1

    @property
    def asked(self):
        return sum(self.outcomes.values())

    @property
    def served(self):
        return self.outcomes["served"]

    def failures(self):
        return ", ".join(f"{count} x {what}" for what, count in self.outcomes.most_common() if what != "served")


def address(number):
    """An address in a separate /24 without attackers."""
    return f"127.{100 + number // 250}.{number % 250}.1"


def ask_for(seconds, port, works=WORK, at_once=6, pause=0.1):
    """Clients one after the other, `at_once` at a time."""
    tally, end = Tally(), time.monotonic() + seconds

    def come(worker):
        number = worker
        while time.monotonic() < end:
            tally.one(port, address(number), works[number // at_once % len(works)])
            number += at_once
            time.sleep(pause)

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(come, range(at_once)))
    return tally


def crowd(count, port, source, fields_of, at_once=64):
    """This many users sign in, as fast as they can."""
    tally = Tally()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda number: tally.one(port, source(number), "sign_in", fields_of(number)), range(count)))
    return tally
