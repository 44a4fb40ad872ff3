"""Writes the system call filters of a systemd unit as one program for the kernel to standard output, as `bwrap --seccomp` takes it.

Debian's python3-seccomp compiles it, and `systemd-analyze syscall-filter` lists the members of a set; neither needs a running systemd.
The directives are those of systemd.exec(5). An unknown directive of this family is an error.
"""

import errno
import socket
import subprocess
import sys

import seccomp
from seccomp import ALLOW, EQ, MASKED_EQ, Arg

WRITE, EXECUTE = 2, 4
NAMESPACES = 0x7E020080  # CLONE_NEW*
FAMILIES = {name: getattr(socket, name) for name in ("AF_INET", "AF_INET6", "AF_UNIX")}
# The first one only sets the error of a refused call. The others are covered: namespaces are handled below, real-time scheduling is in
# @resources, and set-user-ID bits need a writable file system.
OTHERS = {"SystemCallErrorNumber", "RestrictSUIDSGID", "RestrictNamespaces", "RestrictRealtime"}


def expanded(name):
    """The system calls in a set, including nested sets."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "--no-pager", "syscall-filter", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    words = (line.strip() for line in lines)
    return set().union(*(expanded(word) for word in words if word and not word.startswith("#")))


def allowed(filters):
    """The allowed system calls after all SystemCallFilter= lines, in order."""
    calls = set()
    for line in filters:
        denies = line.startswith("~")
        for name in line.removeprefix("~").split():
            calls = calls - expanded(name) if denies else calls | expanded(name)
    return calls


def directives(path):
    with open(path) as unit:
        lines = (line.strip() for line in unit)
        pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith(("#", ";"))]
    return [(name, value) for name, value in pairs if name.startswith(("SystemCall", "Restrict", "Lock", "MemoryDeny")) and name != "RestartPreventExitStatus"]


def program(unit):
    filters, special, made = [], {}, seccomp.SyscallFilter(defaction=seccomp.ERRNO(errno.EPERM))
    for name, value in directives(unit):
        if name == "SystemCallFilter":
            filters.append(value)
        elif name == "SystemCallArchitectures" and value == "native":
            pass  # the default of a filter
        elif name == "RestrictAddressFamilies":
            families = [FAMILIES[family] for family in value.split()]
            special["socket"] = [[Arg(0, EQ, family)] for family in families]
            special["socketpair"] = special["socket"]
        elif (name, value) == ("MemoryDenyWriteExecute", "yes"):
            both = WRITE | EXECUTE
            special["mmap"] = [[Arg(2, MASKED_EQ, both, value)] for value in (0, WRITE, EXECUTE)]
            special["mprotect"] = special["pkey_mprotect"] = [[Arg(2, MASKED_EQ, EXECUTE, 0)]]
        elif (name, value) == ("LockPersonality", "yes"):
            special["personality"] = [[Arg(0, EQ, 0)]]
        elif name not in OTHERS:
            sys.exit(f"{name}={value} is not supported here")
    # RestrictNamespaces=yes: like systemd, refuse clone3 with ENOSYS, so that callers use clone, whose flags a filter can check.
    special["clone"] = [[Arg(0, MASKED_EQ, NAMESPACES, 0)]]
    calls = allowed(filters) - {"clone3"}
    for call in calls:
        for arguments in special.get(call, [[]]):
            try:
                made.add_rule(ALLOW, call, *arguments)
            except (ValueError, RuntimeError):
                continue  # exists on another architecture only
    made.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    made.export_bpf(sys.stdout.buffer)


program(sys.argv[1])
