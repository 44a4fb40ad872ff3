-- PKCE with S256 enforced by haproxy. haproxy's own fetches and converters, which are C, read the parameters and hash the
-- verifier (haproxy.cfg); Lua only keeps what has to be kept. `lua-load` means one Lua state for all threads, with one
-- lock around each call, so a claim is atomic; `lua-load-per-thread` has no state that threads share.
--
-- Nothing is rewritten: haproxy can change a body only through a Lua filter, which would cost it far more. A code is known
-- by itself, a sign-in by redirect URI and state.

local PENDING, CODE = @PENDING@, @CODE@

-- Records, and the keys in the order in which they expire; a few are dropped with every insertion.
local function shelf(life)
    return { records = {}, keys = {}, ends = {}, first = 1, last = 0, life = life }
end

local function put(shelf, key, record)
    local now = core.now().sec
    for _ = 1, 4 do
        local first = shelf.first
        if first > shelf.last or shelf.ends[first] > now then
            break
        end
        shelf.records[shelf.keys[first]] = nil
        shelf.keys[first], shelf.ends[first] = nil, nil
        shelf.first = first + 1
    end
    shelf.last = shelf.last + 1
    shelf.keys[shelf.last], shelf.ends[shelf.last] = key, now + shelf.life
    shelf.records[key] = record
end

local pending, bound = shelf(PENDING), shelf(CODE)

core.register_action("authorize", { "http-req" }, function(txn)
    local key = txn:get_var("txn.redirect") .. "\0" .. (txn:get_var("txn.state") or "")
    local record = txn:get_var("txn.challenge") .. txn:get_var("txn.client")
    local known = pending.records[key]
    if known and known ~= record then
        pending.records[key] = false       -- two sign-ins that cannot be told apart: neither
    elseif known == nil then
        put(pending, key, record)
    end
end)

core.register_action("bind", { "http-res" }, function(txn)
    local target, query = txn:get_var("txn.location"):match("^([^?#]*)[?#](.*)$")
    local code = query and ("&" .. query):match("[?&#]code=([^&#]*)")
    if not code then
        return                             -- an error, or a page of the server's own
    end
    local state = ("&" .. query):match("[?&#]state=([^&#]*)") or ""
    local record = pending.records[target .. "\0" .. state]
    if record and bound.records[code] == nil then
        put(bound, code, record .. "\0" .. target)
    else
        txn:set_var("txn.unbound", true)   -- a code that nobody asked for is not delivered
    end
end)

core.register_action("redeem", { "http-req" }, function(txn)
    local code = txn:get_var("txn.code")
    local record = bound.records[code]
    if not record then
        return
    end
    bound.records[code] = false            -- claimed, and a tombstone until it expires
    local asked = (txn:get_var("txn.digest") or "") .. (txn:get_var("txn.client") or "") .. "\0"
        .. (txn:get_var("txn.redirect") or "")
    if asked == record then
        txn:set_var("txn.good", true)
    end
end)
