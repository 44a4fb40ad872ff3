"""The MCP Python SDK as a client. It prints the URL at which the user signs in, reads the URL of the authorization response
from standard input, and then calls the tool. The last line is its result in JSON.

Arguments: the URL of the MCP server, the client, its redirect URI.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata

server, client_id, redirect_uri = sys.argv[1:]


class Storage:
    """In memory. The client is registered already."""

    tokens = None
    client = OAuthClientInformationFull(
        client_id=client_id, redirect_uris=[redirect_uri], token_endpoint_auth_method="none"
    )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def redirect(url):
    print(url, flush=True)


async def callback():
    answer = parse_qs(urlsplit(sys.stdin.readline().strip()).query)
    return AuthorizationCodeResult(**{name: answer[name][0] for name in ("code", "state", "iss") if name in answer})


async def main():
    metadata = OAuthClientMetadata(client_name="test", redirect_uris=[redirect_uri], token_endpoint_auth_method="none")
    auth = OAuthClientProvider(server, metadata, Storage(), redirect, callback)
    async with httpx2.AsyncClient(auth=auth, follow_redirects=True) as http:
        async with Client(streamable_http_client(server, http_client=http)) as client:
            result = await client.call_tool("token", {})
            print(json.dumps({"ok": True, "token": result.content[0].text}), flush=True)


asyncio.run(main())
