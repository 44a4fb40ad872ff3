"""Starts and stops the processes that are measured."""

import ctypes
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "target" / "peers"
LOAD = OUT / "build" / "release" / "pkce-gate-load"
WORKERS = os.cpu_count() or 2

STARTED = []
GIVEN = set()  # by free_port


def die_with_parent():
    """Makes the kernel stop the child when this script ends, even by SIGKILL."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(command, stdout, **more):
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT if stdout is not subprocess.PIPE else None,
        start_new_session=True,
        preexec_fn=die_with_parent,
        **more,
    )
    STARTED.append(process)
    return process


def end(process):
    """SIGTERM, then SIGKILL, to the session that `start` made."""
    if process not in STARTED:
        return
    STARTED.remove(process)
    for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
        # A process keeps its number until it is waited for, so the signal cannot reach another process.
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        return


def end_all():
    for process in reversed(list(STARTED)):  # the load generator before the servers
        end(process)


def free_port():
    """A free loopback port that this script has not used yet, because the kernel reuses closed ports."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def open_files():
    """Raises the limit of open files to the hard limit, for this script and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def tree(pid):
    """A process and its descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            parents[int(entry)] = int(stat.rsplit(")", 1)[1].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def memory(pid):
    """Resident bytes of a process tree, as (sum of RSS, sum of PSS). PSS counts shared pages once."""
    rss = pss = 0
    for one in tree(pid):
        text = pathlib.Path(f"/proc/{one}/smaps_rollup").read_text()
        rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1]) * 1024
        pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) * 1024
    return rss, pss


def cpu(pid):
    """Seconds of CPU of a process tree, including children that have ended."""
    ticks = 0
    for one in tree(pid):
        fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


class Server:
    """A process that listens: the upstream, or a proxy."""

    def __init__(self, name, command, port, log=None):
        self.name = name
        self.port = port
        self.log = OUT / "run" / name / "out.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.logs = [self.log] + ([log] if log else [])
        with open(self.log, "ab", buffering=0) as out:  # append: so it can be cut between rounds
            self.process = start(command, out)
        self.wait()

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def wait(self):
        for _ in range(400):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        end(self.process)
        sys.exit(f"{self.name} does not start:\n{self.log.read_text()[-2000:]}")

    def cut_logs(self):
        """Truncates the log, so that it does not fill the disk."""
        for log in self.logs:
            if log.exists():
                os.truncate(log, 0)

    def end(self):
        end(self.process)


def filled(template, name, **values):
    """Writes a configuration to target/peers/run from a template in peers/."""
    run = OUT / "run" / name
    run.mkdir(parents=True, exist_ok=True)
    text = (HERE / "peers" / template).read_text()
    values = {"RUN": run, "WORKERS": WORKERS, **values}
    text = re.sub(r"@([A-Z_]+)@", lambda found: str(values[found[1]]), text)
    target = run / template
    target.write_text(text)
    return target


def upstream():
    port = free_port()
    return Server("upstream", [LOAD, "upstream", "--listen", f"127.0.0.1:{port}"], port)


def redis():
    """Keeps nothing on disk."""
    port = free_port()
    folder = OUT / "run" / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    words = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    return Server("redis", words, port)


def gate(binary, behind, name="gate", mode="enforce", entry="rewrite", codes="handle", pending="20s", code="10s",
         workers=WORKERS, under=(), store=""):
    """`store`: further keys of [store]; a kind other than memory gets a key."""
    port, admin = free_port(), free_port()
    if store:
        key = OUT / "run" / name / "seal"
        key.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([binary, "keygen", "--output", key], check=True, timeout=30)
        store += f'\nkeys = [{{ id = "bench", file = "{key}" }}]'
    config = filled(
        "gate.toml", name, PORT=port, ADMIN=admin, UPSTREAM=behind.port, MODE=mode, ENTRY=entry, CODES=codes,
        PENDING=pending, CODE=code, WORKERS=workers, STORE=store,
    )
    server = Server(name, [*under, binary, "run", "--config", config], port)
    server.admin = admin
    return server


MODULE = "/usr/lib/nginx/modules/{}.so"


def nginx(behind, name="nginx", lua=None, tls=None, under=(), redis=None):
    """nginx without enforcement, or with `lua` = "handle" or "upstream" (the code that clients receive); `under` valgrind as one
    process; with its records in `redis`."""
    port, admin = free_port(), free_port()
    values = dict(
        PORT=port, ADMIN=admin, UPSTREAM=behind.port, FILES=open_files(),
        USER="user root;" if os.geteuid() == 0 else "",
        MODULES="", LUA_HTTP="", LUA_AUTHORIZE="proxy_pass http://server;", LUA_MORE="", LUA_TOKEN="", LISTEN_TLS="",
    )
    if tls:
        values["LISTEN_TLS"] = (
            f"listen 127.0.0.1:{tls['port']} ssl http2 reuseport backlog=4096;\n"
            f"        ssl_certificate {tls['certificate']};\n        ssl_certificate_key {tls['key']};\n"
            "        ssl_protocols TLSv1.2 TLSv1.3;\n        ssl_session_tickets on;\n"
            "        http2_max_concurrent_streams 128;"
        )
    if lua:
        modules = ("ndk_http_module", "ngx_http_lua_module")
        values["MODULES"] = "\n".join(f"load_module {MODULE.format(module)};" for module in modules)
        values["LUA_HTTP"] = (
            f'lua_package_path "{HERE}/peers/?.lua;/usr/share/lua/5.1/?.lua;;";\n'
            "    lua_shared_dict pkce 512m;\n"
            "    init_by_lua_block {\n"
            '        require "resty.core"\n'
            '        local pkce = require "pkce"\n'
            f'        pkce.codes, pkce.pending, pkce.code = "{lua}", 20, 10\n'
            "    }"
        )
        values["LUA_AUTHORIZE"] = (
            'access_by_lua_block { require("pkce").authorize() }\n'
            '            header_filter_by_lua_block { require("pkce").bind() }\n'
            "            proxy_pass http://server;"
        )
        values["LUA_TOKEN"] = 'access_by_lua_block { require("pkce").redeem() }'
    if redis:
        values["LUA_HTTP"] = values["LUA_HTTP"].replace(
            "    }", f'        require("pkce-redis").port = {redis.port}\n    }}'
        )
        values["LUA_AUTHORIZE"] = 'content_by_lua_block { require("pkce-redis").authorize() }'
        values["LUA_MORE"] = (
            "location = /upstream-authorize {\n            internal;\n"
            "            proxy_pass http://server/authorize$is_args$args;\n        }"
        )
        values["LUA_TOKEN"] = 'access_by_lua_block { require("pkce-redis").redeem() }'
    config = filled("nginx.conf", name, **values)
    run = config.parent
    command = [*under, "nginx", "-p", run, "-e", run / "error.log", "-c", config]
    if under:
        command += ["-g", "master_process off;"]
    server = Server(name, command, port, run / "access.log")
    server.admin = admin
    return server


def haproxy(behind, name="haproxy", lua=False):
    port, admin = free_port(), free_port()
    values = dict(
        PORT=port, ADMIN=admin, UPSTREAM=behind.port, CONNECTIONS=min(12000, open_files() // 2 - 50),
        LUA_GLOBAL="", LUA_FRONTEND="",
    )
    if lua:
        script = filled("pkce-haproxy.lua", name, PENDING=20, CODE=10)
        values["LUA_GLOBAL"] = f"lua-load {script}"
        values["LUA_FRONTEND"] = (HERE / "peers" / "pkce-haproxy.cfg").read_text().strip()
    config = filled("haproxy.cfg", name, **values)
    server = Server(name, ["haproxy", "-db", "-f", config], port)
    server.admin = admin
    return server
