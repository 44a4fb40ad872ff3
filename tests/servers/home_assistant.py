"""Home Assistant: the parts that sign users in, with its own login page.

Its particular behaviour: the login page is an application. It posts JSON, gets the code in JSON (`result`), and builds the redirect to
the client itself, with the `state` of its own URL. Its pages say `Referrer-Policy: no-referrer`. It knows no PKCE, and issues codes for
any client whose redirect URI has the same origin as its client_id.
"""

import asyncio
import json
import logging
from pathlib import Path

from aiohttp import web

from homeassistant import auth, bootstrap, config_entries, core, loader
from homeassistant.setup import async_setup_component

from fixture import leave_with_the_test_process, port, state

seen = {"authorize": [], "token": [], "codes": []}


@web.middleware
async def ledger(request, handler):
    """The ledger of fixture.mjs: records what the server received and issued, outside the package under test."""
    path = "/" + request.path.strip("/").lower()
    if path == "/__ledger/reset":
        for records in seen.values():
            records.clear()
    if path.startswith("/__ledger"):
        return web.json_response(seen)
    record = {
        "method": request.method,
        "path": request.path,
        "query": request.query_string,
        "content_type": request.headers.get("Content-Type", ""),
        "authorization": "Authorization" in request.headers,
        "body": (await request.read()).decode(errors="replace"),
        "status": 0,
    }
    for endpoint in ("authorize", "token"):
        if path == f"/auth/{endpoint}":
            seen[endpoint].append(record)
    response = await handler(request)
    record["status"] = response.status
    if path.startswith("/auth/login_flow/") and response.content_type == "application/json":
        answer = json.loads(response.body)
        if answer.get("type") == "create_entry":
            seen["codes"].append(answer["result"])
    return response


async def main():
    storage = Path(state, ".storage")
    storage.mkdir()
    done = ["user", "core_config", "analytics", "integration"]
    (storage / "onboarding").write_text(json.dumps({"version": 4, "key": "onboarding", "data": {"done": done}}))
    hass = core.HomeAssistant(state)
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [{"type": "homeassistant"}], [])
    await add_user(hass.auth)
    http = {"server_host": "127.0.0.1", "server_port": port, "use_x_forwarded_for": True, "trusted_proxies": ["127.0.0.1"]}
    for component in ("http", "auth", "frontend"):
        if not await async_setup_component(hass, component, {"http": http, "frontend": {}}):
            raise SystemExit(f"{component} does not start")
    hass.http.app.middlewares.append(ledger)  # behind those that copy the request, which its body may not precede
    await hass.async_start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def add_user(manager):
    provider = manager.auth_providers[0]
    await provider.async_initialize()
    provider.data.add_auth("alice", "pass")
    await provider.data.async_save()
    user = await manager.async_create_user("Alice", group_ids=["system-users"])
    await manager.async_link_user(user, await provider.async_get_or_create_credentials({"username": "alice"}))


logging.disable()
leave_with_the_test_process()
asyncio.run(main())
