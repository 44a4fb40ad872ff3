"""Start and end of every Python fixture. The ledger is in ledger.py."""

import os
import shutil
import sys
import tempfile
import threading

port = int(sys.argv[1])
public_url = sys.argv[2] if len(sys.argv) > 2 else f"http://127.0.0.1:{port}"
redirect_uris = ["http://127.0.0.1:9999/cb", *os.environ.get("REDIRECT_URIS", "").split()]
state = tempfile.mkdtemp(prefix="pkce-gate-python-")


def signing_key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*pem).decode()


def leave_with_the_test_process():
    """Ends this process when standard input closes: it is a pipe of the test process, which closes however that process ends."""

    def leave():
        sys.stdin.read()
        shutil.rmtree(state, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()
