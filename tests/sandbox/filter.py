"""Writes the system call filters of a systemd unit as one program for the kernel to standard output, as `bwrap --seccomp` takes it.

Debian's python3-seccomp makes it, and `systemd-analyze syscall-filter` says what is in a set; neither needs a running systemd. The
directives mean what systemd.exec(5) says they mean. One that begins like these and is not known here is an error, not left out.
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
# The first only says with what a call is refused. Of the others the filter says enough without them: namespaces are seen to below,
# real-time scheduling is in @resources, and set-user-ID bits need a file system that can be written.
OTHERS = {"SystemCallErrorNumber", "RestrictSUIDSGID", "RestrictNamespaces", "RestrictRealtime"}


def expanded(name):
    """The system calls of a set, and of the sets in it."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "--no-pager", "syscall-filter", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    words = (line.strip() for line in lines)
    return set().union(*(expanded(word) for word in words if word and not word.startswith("#")))


def allowed(filters):
    """SystemCallFilter= lines, in order: the first says whether it lists what is allowed."""
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
            pass  # the only one that a filter has unless it is told others
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
            sys.exit(f"{name}={value} is not known here")
    # RestrictNamespaces=yes: as systemd does it, callers of clone3 have to take clone, whose flags can be seen.
    special["clone"] = [[Arg(0, MASKED_EQ, NAMESPACES, 0)]]
    calls = allowed(filters) - {"clone3"}
    for call in calls:
        for arguments in special.get(call, [[]]):
            try:
                made.add_rule(ALLOW, call, *arguments)
            except (ValueError, RuntimeError):
                continue  # of another architecture
    made.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    made.export_bpf(sys.stdout.buffer)


program(sys.argv[1])
