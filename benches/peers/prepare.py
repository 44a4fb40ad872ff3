"""What has to be there before anything is measured: Debian packages, the load, the gate; and an end."""

import atexit
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import harness


def everything(packages, longest):
    """The gate that is to be measured. `longest` are the seconds that measuring may take from here."""
    # What was started is ended however this ends: at the end, by a signal, or because it takes too long.
    atexit.register(harness.end_all)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    install(packages)
    binary = build()
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {longest} seconds"))
    signal.alarm(longest)
    harness.open_files()
    shutil.rmtree(harness.OUT / "run", ignore_errors=True)
    return binary


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


def build():
    """The load and the gate, both in release; the gate is GATE, where that is set."""
    cargo = ["cargo", "build", "--release", "--locked"]
    print("== building", flush=True)
    load = ["--manifest-path", harness.HERE / "load" / "Cargo.toml", "--target-dir", harness.OUT / "build"]
    subprocess.run([*cargo, *load], check=True)
    given = os.environ.get("GATE")
    if given:
        return pathlib.Path(given).resolve(strict=True)
    subprocess.run(cargo, cwd=harness.ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", harness.ROOT / "target"))
    return target / "release" / "pkce-gate"
