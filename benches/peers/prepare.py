"""Preparation of a measurement: Debian packages, the load generator, the gate, and a time limit."""

import atexit
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import harness


def everything(packages, longest, gate):
    """Prepares everything, and returns the binary that `gate` builds. The measurement may take `longest` seconds."""
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
    """Stops the started processes at the end of this script, after a signal, and at the time limit."""
    atexit.register(harness.end_all)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    os.environ["PATH"] += ":/usr/sbin:/sbin"


def within(seconds):
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {seconds} seconds"))
    signal.alarm(seconds)


def install(packages):
    """Installs Debian packages without starting their services. Each comes with a program or file that shows whether it is installed."""
    missing = [
        package for package, proof in packages.items() if not (pathlib.Path(proof).exists() or shutil.which(proof))
    ]
    if not missing:
        return
    print("== installing Debian packages: " + " ".join(missing), flush=True)
    root = [] if os.geteuid() == 0 else ["sudo"]
    # A temporary policy prevents the start of services while apt runs, unless the machine has a policy.
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
    """Builds the load generator and its upstream, which are a separate crate."""
    print("== building the load", flush=True)
    place = ["--manifest-path", harness.HERE / "load" / "Cargo.toml", "--target-dir", harness.OUT / "build"]
    subprocess.run([*CARGO, *place], check=True)


def plain():
    """Builds the gate with `cargo build --release`."""
    print("== building the gate", flush=True)
    subprocess.run(CARGO, cwd=harness.ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", harness.ROOT / "target"))
    return target / "release" / "pkce-gate"


def released():
    """Builds the released gate."""
    subprocess.run([harness.ROOT / "deploy" / "release" / "build"], check=True)
    return harness.ROOT / "target" / "released" / "pkce-gate"
