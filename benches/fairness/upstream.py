"""The server behind every proxy of this bench: it signs every user in at once, and accepts any request and body.

    /authorize   302 to `redirect_uri` with a code of CODE_BYTES and the state
    /big         60 MB
    /early       answered before the body is here
    else         a short page, when the body is here
"""

import asyncio
import os
import re
import secrets
import sys
import urllib.parse

BIG = 60_000_000
PIECE = b"x" * 65536
CODE = "A" * int(os.environ.get("CODE_BYTES", "20"))
PAGE = b"<!doctype html><title>page</title><p>A page."
TOKEN = b'{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600}'


def answer(status, body, *fields):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def redirect(target):
    asked = dict(urllib.parse.parse_qsl(target.partition("?")[2]))
    back = urllib.parse.urlencode({"code": secrets.token_hex(12) + CODE, "state": asked.get("state", "")})
    return answer("302 Found", b"", f"Location: {asked.get('redirect_uri', '/')}?{back}")


async def body(reader, head):
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    if length:
        left = int(length[1])
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                raise EOFError
            left -= len(piece)
    elif re.search(rb"\r\ntransfer-encoding: *chunked", head, re.I):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode("latin-1")
            path = target.partition("?")[0]
            if path == "/early":
                writer.write(answer("200 OK", PAGE))
            await body(reader, head)
            if path == "/big":
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {BIG}\r\n\r\n".encode())
                for _ in range(BIG // len(PIECE)):
                    writer.write(PIECE)
                    await writer.drain()
                writer.write(PIECE[: BIG % len(PIECE)])
            elif path == "/authorize":
                writer.write(redirect(target))
            elif path == "/token":
                writer.write(answer("200 OK", TOKEN, "Content-Type: application/json"))
            elif path != "/early":
                writer.write(answer("200 OK", PAGE, "Content-Type: text/html"))
            await writer.drain()
    except (EOFError, OSError, ValueError, IndexError):
        pass
    finally:
        writer.close()


async def main(port):
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096, limit=1 << 18)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
