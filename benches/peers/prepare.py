"""What has to be there before anything is measured: Debian packages, the load, the gate; and an end."""

import atexit
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import harness


def everything(packages, longest, gate):
    """What `gate` builds, to be measured; see below. `longest` are the seconds that measuring may take from here."""
    ends()
    install(packages)
    load()
    given = os.environ.get("GATE")
    binary = pathlib.Path(given).resolve(strict=True) if given else gate()
    within(longest)
    harness.open_files()
    shutil.rmtree(harness.OUT / "run", ignore_errors=True)
    return binary


def ends():
    """What was started is ended however this ends: at the end, by a signal, or because it takes too long."""
    atexit.register(harness.end_all)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    os.environ["PATH"] += ":/usr/sbin:/sbin"


def within(seconds):
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {seconds} seconds"))
    signal.alarm(seconds)


def install(packages):
    """Packages, each with a program or file that proves it, from Debian, without starting their services."""
    missing = [
        package for package, proof in packages.items() if not (pathlib.Path(proof).exists() or shutil.which(proof))
    ]
    if not missing:
        return
    print("== installing Debian packages: " + " ".join(missing), flush=True)
    root = [] if os.geteuid() == 0 else ["sudo"]
    # A policy of this script's own for as long as apt runs, unless there is one already.
    policy = "/usr/sbin/policy-rc.d"
    ours = not pathlib.Path(policy).exists()
    try:
        if ours:
            command = f"printf '#!/bin/sh\\nexit 101\\n' > {policy} && chmod 755 {policy}"
            subprocess.run([*root, "sh", "-c", command], check=True)
        apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "install", "-y", "--no-install-recommends", *missing], check=True)
    finally:
        if ours:
            subprocess.run([*root, "rm", "-f", policy], check=True)


CARGO = ("cargo", "build", "--release", "--locked")


def load():
    """The load and its upstream, a crate of their own."""
    print("== building the load", flush=True)
    place = ["--manifest-path", harness.HERE / "load" / "Cargo.toml", "--target-dir", harness.OUT / "build"]
    subprocess.run([*CARGO, *place], check=True)


def plain():
    """The gate as `cargo build --release` makes it."""
    print("== building the gate", flush=True)
    subprocess.run(CARGO, cwd=harness.ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", harness.ROOT / "target"))
    return target / "release" / "pkce-gate"


def released():
    """The gate as it is released."""
    subprocess.run([harness.ROOT / "deploy" / "release" / "build"], check=True)
    return harness.ROOT / "target" / "released" / "pkce-gate"
