-- PKCE with S256 enforced by haproxy. haproxy's own fetches and converters, which are C, read the parameters and hash the
-- verifier (haproxy.cfg); Lua only keeps what has to be kept. `lua-load` means one Lua state for all threads, with one
-- lock around each call, so a claim is atomic; `lua-load-per-thread` has no state that threads share.
--
-- Nothing is rewritten: haproxy can change a body only through a Lua filter, which would cost it far more. A code is known
-- by itself, a sign-in by redirect URI and state.

local PENDING, CODE = @PENDING@, @CODE@

-- Records in two generations: what was put in during this life, and during the one before. When a life is over the older
-- generation is dropped as a whole, so nothing has to be kept in order; a record stays for one life at least, two at most.
local function shelf(life)
    return { young = {}, old = {}, turns = 0, life = life }
end

local function turn(shelf)
    local now = core.now().sec
    if now >= shelf.turns then
        -- After a pause that was longer than a life, both are over.
        shelf.old = now < shelf.turns + shelf.life and shelf.young or {}
        shelf.young, shelf.turns = {}, now + shelf.life
    end
end

local function get(shelf, key)
    turn(shelf)
    local record = shelf.young[key]
    if record == nil then
        record = shelf.old[key]
    end
    return record
end

local function put(shelf, key, record)
    turn(shelf)
    shelf.young[key] = record
end

local pending, bound = shelf(PENDING), shelf(CODE)

core.register_action("authorize", { "http-req" }, function(txn)
    local key = txn:get_var("txn.redirect") .. "\0" .. (txn:get_var("txn.state") or "")
    local record = txn:get_var("txn.challenge") .. txn:get_var("txn.client")
    local known = get(pending, key)
    if known and known ~= record then
        put(pending, key, false)           -- two sign-ins that cannot be told apart: neither
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
    local record = get(pending, target .. "\0" .. state)
    if record and get(bound, code) == nil then
        put(bound, code, record .. "\0" .. target)
    else
        txn:set_var("txn.unbound", true)   -- a code that nobody asked for is not delivered
    end
end)

core.register_action("redeem", { "http-req" }, function(txn)
    local code = txn:get_var("txn.code")
    local record = get(bound, code)
    if not record then
        return
    end
    put(bound, code, false)                -- claimed, and a tombstone until it expires
    local asked = (txn:get_var("txn.digest") or "") .. (txn:get_var("txn.client") or "") .. "\0"
        .. (txn:get_var("txn.redirect") or "")
    if asked == record then
        txn:set_var("txn.good", true)
    end
end)
