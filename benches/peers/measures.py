"""The measurements, in order. All raw numbers are recorded; table.py makes the table."""

import json
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.request

import harness
from harness import LOAD, OUT

# Otherwise a large copy is one instruction, which callgrind counts once per byte.
NO_REP_MOVSB = "glibc.cpu.x86_rep_movsb_threshold=1000000000"


class Plan:
    """Durations and numbers of rounds."""

    def __init__(self, quick):
        self.quick = quick
        self.rounds = 1 if quick else 15
        self.warm = 0.2
        self.seconds = 1.0
        self.connections = 64
        self.rate = 3000
        self.idle = min(500 if quick else 9900, harness.open_files() // 2 - 60)
        self.pending = 20_000 if quick else 1_000_000
        self.hold_seconds = 20 if quick else 150
        self.requests = 5_000 if quick else 40_000


# A window in which a hypervisor took more than this share of the machine is repeated, up to this number of times.
STOLEN, WINDOWS = 0.02, 4


def say(text):
    print(f"  {text}", flush=True)


def load(server, what, plan, redis=None, **options):
    """Runs one window of load. Returns counts, CPU of the proxy (and of Redis), percentiles.

    Repeats it if a hypervisor took the machine."""
    if "count" in options:
        return window(server, what, plan, options)
    tried = []
    for _ in range(WINDOWS):
        before = machine()["cpu"]
        result = window(server, what, plan, options, redis)
        result["stolen"] = stolen(before, machine()["cpu"])
        tried.append(result)
        if result["stolen"] <= STOLEN:
            break
    return min(tried, key=lambda one: one["stolen"])


def stolen(before, after):
    took = [b - a for a, b in zip(before, after)]
    return took[7] / max(1, sum(took))


def window(server, what, plan, options, redis=None):
    options = {
        "to": server.address, "what": what, "connections": plan.connections, "warm": plan.warm,
        "seconds": plan.seconds, "process": server.pid, **options,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    if redis:
        asked, spent = round_trips(server, redis), harness.cpu(redis.pid)
    process = harness.start([LOAD, "run", *words], subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=float(options["warm"]) + float(options["seconds"]) + 30)
    harness.end(process)
    if process.returncode:
        raise SystemExit(f"{server.name}: the load failed, see above")
    server.cut_logs()
    result = json.loads(out)
    if redis:
        result["redis_micros"] = (harness.cpu(redis.pid) - spent) / max(1, result["units"]) * 1e6
        result["round_trips"] = (round_trips(server, redis) - asked) / max(1, result["units"])
    result["micros"] = result["cpu"] / max(1, result["units"]) * 1e6
    return result


def verify(server):
    """Ends the run if the proxy does not enforce PKCE."""
    done = subprocess.run([LOAD, "verify", "--to", server.address], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise SystemExit(f"{server.name} does not enforce: {done.stderr}")


def throughput(binary, plan, raw):
    """CPU per unit, saturated and at a fixed rate, interleaved."""
    up = harness.upstream()
    gate = harness.gate(binary, up)
    redirect = harness.gate(binary, up, "gate-redirect", entry="redirect")
    off = harness.gate(binary, up, "gate-off", mode="off", codes="upstream")
    leaner = harness.gate(binary, up, "gate-upstream", codes="upstream")
    nginx = harness.nginx(up)
    lua = harness.nginx(up, "nginx-lua", lua="handle")
    lua_leaner = harness.nginx(up, "nginx-lua-upstream", lua="upstream")
    haproxy = harness.haproxy(up)
    haproxy_lua = harness.haproxy(up, "haproxy-lua", lua=True)
    enforcing = [gate, redirect, leaner, lua, lua_leaner, haproxy_lua]
    for server in enforcing:
        verify(server)
    say("the enforcing proxies refuse bad requests: " + ", ".join(server.name for server in enforcing))

    windows = [("get", server, {}) for server in (gate, nginx, haproxy)]
    windows += [("post", server, {}) for server in (gate, nginx, haproxy)]
    windows += [
        ("flow", server, {})
        for server in (gate, lua, haproxy_lua, redirect, off, nginx, haproxy, leaner, lua_leaner)
    ]
    windows += [("rate", server, {"rate": plan.rate}) for server in (up, gate, lua, haproxy_lua, nginx)]
    results = raw.setdefault("throughput", {})
    for round_ in range(plan.rounds):
        for what, server, options in windows:
            result = load(server, "flow" if what == "rate" else what, plan, **options)
            results.setdefault(what, {}).setdefault(server.name, []).append(result)
        say(f"round {round_ + 1} of {plan.rounds}: " + ", ".join(
            f"{what} {results[what]['gate'][-1]['micros']:.1f}" for what in ("get", "post", "flow")
        ) + " us of CPU in the gate")
    for server in enforcing:
        verify(server)
    raw["dropped"] = {
        server.name: counter(server, "pkce_gate_log_lines_dropped_total") for server in (gate, redirect, leaner)
    }
    for server in (haproxy_lua, haproxy, lua_leaner, lua, nginx, leaner, off, redirect, gate, up):
        server.end()


STORES = {
    "gate-sealed": 'kind = "sealed"',
    "gate-claims": 'kind = "sealed"\nclaims = "redis"\nurl = "redis://127.0.0.1:{port}"\ndeadline = "2s"',
    "gate-redis": 'kind = "redis"\nurl = "redis://127.0.0.1:{port}"\ndeadline = "2s"',
}


def stores(binary, plan, raw):
    """Flows with each kind of store, saturated and at 1,000 a second, and nginx with Lua and Redis. Also the CPU and calls of Redis."""
    up, redis = harness.upstream(), harness.redis()
    servers = [harness.gate(binary, up)]
    servers += [harness.gate(binary, up, name, store=keys.format(port=redis.port)) for name, keys in STORES.items()]
    servers.append(harness.nginx(up, "nginx-lua", lua="handle"))
    servers.append(harness.nginx(up, "nginx-lua-redis", lua="handle", redis=redis))
    for server in servers:
        verify(server)
    say("the enforcing proxies refuse bad requests: " + ", ".join(server.name for server in servers))
    results = raw.setdefault("stores", {})
    for round_ in range(plan.rounds):
        for what, options in (("flow", {}), ("rate", {"rate": 1000})):
            for server in [*servers, *([up] if what == "rate" else [])]:
                # All flows count, because Redis cannot tell those of the first moments.
                result = load(server, "flow", plan, redis=redis, warm=0, **options)
                results.setdefault(what, {}).setdefault(server.name, []).append(result)
        say(f"round {round_ + 1} of {plan.rounds}")
    for server in servers:
        verify(server)
    for server in (*servers, redis, up):
        server.end()


def round_trips(server, redis):
    """How often this proxy has asked Redis. The gate counts its calls; nginx' connections ask one thing at a time."""
    if server.name.startswith("gate"):
        return counter(server, "pkce_gate_store_calls_total")
    with socket.create_connection(("127.0.0.1", redis.port), 10) as client:
        client.sendall(b"INFO stats\r\n")
        came = client.recv(65536).decode()
    return int(re.search(r"total_reads_processed:(\d+)", came)[1]) - 1


def before(binary, plan, raw):
    """CPU per unit of this gate and of another build of it, `BEFORE`, in turn."""
    up = harness.upstream()
    gates = [("after", binary), ("before", pathlib.Path(os.environ["BEFORE"]).resolve(strict=True))]
    ways = {"": {}, "-redirect": {"entry": "redirect"}, "-upstream": {"codes": "upstream"}}
    servers = {
        (name, way): harness.gate(build, up, name + way, **options)
        for name, build in gates for way, options in ways.items()
    }
    results = raw.setdefault("before", {})
    for round_ in range(plan.rounds):
        # Each goes first as often as the other.
        names = ["after", "before"][:: 1 if round_ % 2 else -1]
        for unit, way in (("get", ""), ("post", ""), ("flow", ""), ("flow", "-redirect"), ("flow", "-upstream")):
            for name in names:
                result = load(servers[name, way], unit, plan)
                results.setdefault(unit + way, {}).setdefault(name, []).append(result)
        say(f"round {round_ + 1} of {plan.rounds}")
    for server in (*servers.values(), up):
        server.end()


def counter(server, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.admin}/metrics", timeout=5) as answer:
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\d+)", answer.read().decode(), re.M)
    return sum(map(int, found))


def connections(binary, plan, raw):
    """Memory of a fresh process that has answered a few requests, and with many idle connections."""
    up = harness.upstream()
    for start in (lambda: harness.gate(binary, up), lambda: harness.nginx(up), lambda: harness.haproxy(up)):
        server = start()
        load(server, "get", plan, seconds=60, warm=0, count=100, connections=2)
        time.sleep(0.5)
        idle = harness.memory(server.pid)
        process = subprocess.Popen(
            [LOAD, "idle", "--to", server.address, "--connections", str(plan.idle)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=harness.die_with_parent,
            start_new_session=True,
        )
        harness.STARTED.append(process)
        opened = process.stdout.readline().strip()
        if opened != str(plan.idle):
            raise SystemExit(f"{server.name}: not all idle connections could be opened")
        time.sleep(1)
        full = harness.memory(server.pid)
        process.stdin.close()
        if process.wait(20):
            raise SystemExit(f"{server.name} closed idle connections")
        harness.end(process)
        raw.setdefault("memory", {})[server.name] = {
            "rss": idle[0], "pss": idle[1], "connections": plan.idle, "rss_with": full[0], "pss_with": full[1],
        }
        server.end()
    up.end()


def growth(binary, plan, raw):
    """CPU per flow with a full store and with a nearly empty one, and the memory of a record."""
    up = harness.upstream()
    full = harness.gate(binary, up, "gate-full", pending="15m", code="5m")
    load(full, "hold", plan, seconds=10, warm=0, count=1000)
    before = harness.memory(full.pid)[0]
    held = load(full, "hold", plan, seconds=plan.hold_seconds, warm=0, count=plan.pending)["units"]
    after = harness.memory(full.pid)[0]
    say(f"{held} pending authorizations held")
    result = raw["growth"] = {"pending": held, "bytes": (after - before) / held, "full": [], "empty": []}
    for _ in range(plan.rounds):
        empty = harness.gate(binary, up, "gate-empty", pending="15m", code="5m")
        load(empty, "hold", plan, seconds=10, warm=0, count=1000)
        for name, server in (("empty", empty), ("full", full)):
            result[name].append(load(server, "flow", plan, seconds=min(1.2, plan.seconds)))
        empty.end()
    full.end()
    up.end()


def instructions(binary, plan, raw):
    """User-space instructions per unit, counted by callgrind: reproducible on a busy machine."""
    up = harness.upstream()
    servers = {
        "gate": (("get", "post", "flow"), lambda under: harness.gate(binary, up, "gate-callgrind", under=under)),
        "nginx": (("get", "post"), lambda under: harness.nginx(up, "nginx-callgrind", under=under)),
        "nginx-lua": (("flow",), lambda under: harness.nginx(up, "nginx-lua-callgrind", lua="handle", under=under)),
    }
    count = 200 if plan.quick else 1500
    for name, (units, start) in servers.items():
        for what, each in counted(f"callgrind-{name}", units, start, plan, count):
            raw.setdefault("instructions", {}).setdefault(what, {})[name] = each
    up.end()


def counted(name, units, start, plan, count, connections=8, tunables=NO_REP_MOVSB):
    """Each unit with its average instructions over `count` runs. `start` gets the command under which it starts the server."""
    out = OUT / "run" / name
    server = start([
        "env", f"GLIBC_TUNABLES={tunables}", "valgrind", "--tool=callgrind",
        "--instr-atstart=no", "--smc-check=all", f"--callgrind-out-file={out}",
    ])
    for what in units:
        fixed = {"connections": connections, "warm": 0, "seconds": 100}

        def some(count):
            if what == "connect":
                connect(server, count)
            else:
                load(server, what, plan, count=count, **fixed)

        some(count // 2)  # LuaJIT compiles during these
        control(server, "-i", "on")
        some(count)
        control(server, "-i", "off")
        control(server, "-d", what)
        dumps = sorted(out.parent.glob(f"{out.name}.*"), key=lambda path: int(path.suffix[1:]))
        total = int(re.search(r"^totals: (\d+)", dumps[-1].read_text(), re.M)[1])
        yield what, total / count
    server.end()


PAGE = b"GET /account/settings?tab=profile HTTP/1.1\r\nhost: login.example.com\r\nconnection: close\r\n\r\n"


def connect(server, count):
    """Requests this many pages one after the other, each over a new connection."""
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", server.port), 60) as client:
            client.sendall(PAGE)
            came = b""
            while piece := client.recv(65536):
                came += piece
            assert came.startswith(b"HTTP/1.1 200 "), came[:200]


def control(server, *words):
    subprocess.run(["callgrind_control", *words, str(server.pid)], check=True, capture_output=True, timeout=60)


def tls(binary, plan, raw):
    """HTTP/1.1 and HTTP/2 over TLS by h2load: nginx, and the gate as soon as `check` accepts [server.tls]."""
    folder = OUT / "run" / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=login.example.com", "-addext", "subjectAltName=DNS:login.example.com,IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=30,
    )
    up = harness.upstream()
    port = harness.free_port()
    nginx = harness.nginx(up, "nginx-tls", tls={"port": port, "certificate": certificate, "key": key})
    servers = [(nginx, port)]
    gate = gate_with_tls(binary, up, certificate, key)
    if gate:
        servers.append((gate, gate.port))
    results = raw.setdefault("tls", {})
    for _ in range(plan.rounds if gate else 1):
        for protocol, option in (("h1", ["--h1"]), ("h2", ["-m", "8"])):
            for server, port in servers:
                results.setdefault(protocol, {}).setdefault(server.name, []).append(
                    h2load(server, port, option, plan)
                )
                server.cut_logs()
    for server, _ in servers:
        server.end()
    up.end()


def h2load(server, port, options, plan):
    before = harness.cpu(server.pid)
    process = harness.start(
        ["h2load", "-t", 1, "-c", 16, "-n", plan.requests, *options, "-H", ":authority: login.example.com",
         f"https://127.0.0.1:{port}/account/settings?tab=profile"],
        subprocess.PIPE, text=True,
    )
    out, _ = process.communicate(timeout=120)
    harness.end(process)
    good = re.search(r"status codes: (\d+) 2xx", out)
    if not good or int(good[1]) != plan.requests:
        raise SystemExit(f"{server.name}: h2load: {out[-1500:]}")
    used = harness.cpu(server.pid) - before
    return {"units": plan.requests, "cpu": used, "micros": used / plan.requests * 1e6}


def gate_with_tls(binary, up, certificate, key):
    """None if `pkce-gate check` refuses [server.tls]."""
    port = harness.free_port()
    config = harness.filled(
        "gate.toml", "gate-tls", PORT=port, ADMIN=harness.free_port(), UPSTREAM=up.port, MODE="enforce", ENTRY="rewrite",
        CODES="handle", PENDING="20s", CODE="10s", STORE="",
    )
    tls = f'\n[server.tls]\ncertificate = "{certificate}"\nprivate_key = "{key}"\n'
    config.write_text(config.read_text() + tls)
    checked = subprocess.run([binary, "check", "--config", config], capture_output=True, text=True, timeout=30)
    if checked.returncode:
        say("this gate has no TLS listener yet; nginx is measured alone")
        return None
    return harness.Server("gate-tls", [binary, "run", "--config", config], port)


def elsewhere(before):
    """The share of the machine that other processes took since `before`, and the share of the hypervisor."""
    now = machine()
    total = sum(now["cpu"]) - sum(before["cpu"])
    idle = sum(now["cpu"][3:5]) - sum(before["cpu"][3:5])
    stolen = now["cpu"][7] - before["cpu"][7]
    ours = now["ours"] - before["ours"]
    return {"others": max(0.0, (total - idle - stolen - ours) / total), "stolen": stolen / total}


def machine():
    fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    stat = pathlib.Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    # Includes children that have ended and been waited for: at the end of a run, all of them.
    return {"cpu": [int(field) for field in fields], "ours": sum(int(field) for field in stat[11:15])}


def versions(binary):
    def first(*command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return (done.stdout + done.stderr).splitlines()[0].strip()

    model = re.search(r"^model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return {
        "gate": first(binary, "--version"),
        "nginx": first("nginx", "-v"),
        "haproxy": first("haproxy", "-v"),
        "kernel": os.uname().release,
        "processor": model[1] if model else os.uname().machine,
        "cores": harness.WORKERS,
        "load": os.getloadavg()[0],
    }
