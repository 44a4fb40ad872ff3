-- PKCE with S256 enforced by nginx, written as somebody would who knows the module well: everything on the hot path is
-- FFI and can be compiled by LuaJIT (lua-resty-core), state is shared between workers, and a code is claimed atomically.
--
-- codes = "handle" does what the gate does: the upstream's code never leaves, and the client's state is held back too.
-- codes = "upstream" is the leaner way: nothing is rewritten, a code is known by itself, a sign-in by redirect URI and
-- state. It depends on nobody reaching the upstream around the proxy.

local ffi = require "ffi"
local bit = require "bit"

local ngx = ngx
local encode_base64url = require("ngx.base64").encode_base64url
local escape_uri, unescape_uri = ngx.escape_uri, ngx.unescape_uri
local get_uri_args, decode_args = ngx.req.get_uri_args, ngx.decode_args
local re_find = ngx.re.find
local sub, find, concat = string.sub, string.find, table.concat
local records = ngx.shared.pkce

-- nginx is linked with libcrypto. The three calls cost a third of SHA256(), which looks its algorithm up each time.
ffi.cdef [[
int SHA256_Init(void *context);
int SHA256_Update(void *context, const char *data, size_t length);
int SHA256_Final(unsigned char *digest, void *context);
int RAND_bytes(unsigned char *into, int length);
]]
local C = ffi.C
local context = ffi.new("uint64_t[32]")   -- SHA256_CTX has 112 bytes
local digest = ffi.new("unsigned char[32]")

local function s256(verifier)
    C.SHA256_Init(context)
    C.SHA256_Update(context, verifier, #verifier)
    C.SHA256_Final(digest, context)
    return encode_base64url(ffi.string(digest, 32))
end

-- Handles: 24 random bytes, 32 letters; random bytes are fetched a hundred handles at a time.
local POOL = 2400
local pool, used = ffi.new("unsigned char[?]", POOL), POOL

local LETTERS = ffi.new("unsigned char[65]", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
local letters = ffi.new("unsigned char[32]")

local function handle()
    if used == POOL then
        if C.RAND_bytes(pool, POOL) ~= 1 then
            error("no random bytes")
        end
        used = 0
    end
    for three = 0, 7 do
        local at = used + three * 3
        local a, b, c = pool[at], pool[at + 1], pool[at + 2]
        local out = three * 4
        letters[out] = LETTERS[bit.rshift(a, 2)]
        letters[out + 1] = LETTERS[bit.bor(bit.lshift(bit.band(a, 3), 4), bit.rshift(b, 4))]
        letters[out + 2] = LETTERS[bit.bor(bit.lshift(bit.band(b, 15), 2), bit.rshift(c, 6))]
        letters[out + 3] = LETTERS[bit.band(c, 63)]
    end
    used = used + 24
    return ffi.string(letters, 32)
end

-- Compares all of two strings of one length, whatever differs.
local function same(a, b)
    if #a ~= #b then
        return false
    end
    local difference = 0
    for at = 1, #a do
        difference = bit.bor(difference, bit.bxor(a:byte(at), b:byte(at)))
    end
    return difference == 0
end

local function refuse(code, description)
    ngx.status = 400
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Cache-Control"] = "no-store"
    local body = '{"error":"' .. code .. '","error_description":"' .. description .. '"}'
    ngx.header["Content-Length"] = #body
    ngx.print(body)
    return ngx.exit(400)
end

-- Puts a value, which needs no escapes, in the place of a parameter's. It is there at most once, unescaped names or not:
-- the caller has looked. A name that is written with escapes is not found, and the parameter is added.
local PATTERN = { state = "(?:^|(?<=&))state=[^&]*", code = "(?:^|(?<=&))code=[^&]*" }

local function put(pairs, name, value)
    local from, to = re_find(pairs, PATTERN[name], "jo")
    if not from then
        return concat({ pairs, "&", name, "=", value })
    end
    return concat({ sub(pairs, 1, from - 1), name, "=", value, sub(pairs, to + 1) })
end

local M = { codes = "handle", pending = 900, code = 300 }

-- A table where a parameter is twice, true where it has no value.
local function text(value)
    return type(value) == "string" and value or nil
end

-- The redirect with handles in place of the server's code, and the client's own state; and the record of the code.
local function replace(location, record, outside, code_from, code_to, state_from, state_to)
    -- challenge (43), client, redirect, and the client's own state
    local client_end = find(record, "\0", 45, true)
    local redirect_end = find(record, "\0", client_end + 1, true)
    local own = sub(record, redirect_end + 1)
    local bound = sub(record, 1, redirect_end) .. sub(location, code_from + 5, code_to)
    local first, second = "code=" .. outside, "state=" .. escape_uri(own)
    if not state_from then
        location = sub(location, 1, code_from - 1) .. first .. sub(location, code_to + 1)
    elseif code_from < state_from then
        location = sub(location, 1, code_from - 1) .. first .. sub(location, code_to + 1, state_from - 1)
            .. second .. sub(location, state_to + 1)
    else
        location = sub(location, 1, state_from - 1) .. second .. sub(location, state_to + 1, code_from - 1)
            .. first .. sub(location, code_to + 1)
    end
    return location, bound
end

M.parts = { handle = handle, refuse = refuse, replace = replace }

-- Judges an authorization request, and puts a handle in the place of its state. Returns the key of its record, and the record.
function M.judge()
    local args = get_uri_args(64)
    local client, redirect = text(args.client_id), text(args.redirect_uri)
    local challenge, state = text(args.code_challenge), args.state
    if not client or not redirect then
        return refuse("invalid_request", "client_id and redirect_uri are needed, once")
    end
    if args.code_challenge_method ~= "S256" then
        return refuse("invalid_request", "code_challenge_method has to be S256")
    end
    if not challenge or not re_find(challenge, "^[A-Za-z0-9_-]{43}$", "jo") then
        return refuse("invalid_request", "code_challenge has to be 43 characters of base64url")
    end
    if args.response_type ~= "code" or type(state) == "table" or args.request or args.request_uri then
        return refuse("invalid_request", "only response_type=code, one state, and no request objects")
    end
    state = text(state) or ""

    -- Fixed width first, then what may be of any length, the last without an end mark.
    local record = concat({ challenge, client, redirect, state }, "\0")
    local key
    if M.codes == "handle" then
        key = handle()
        ngx.var.args = put(ngx.var.args, "state", key)
    else
        key = redirect .. "\0" .. state
    end
    return key, record
end

-- access_by_lua of the authorization endpoint: judge, hold, forward.
function M.authorize()
    local key, record = M.judge()
    if not key then
        return
    end
    -- "safe": a full dictionary refuses, it forgets nobody.
    local stored, failure = records:safe_add("p" .. key, record, M.pending)
    if not stored then
        if failure ~= "exists" or records:get("p" .. key) ~= record then
            return refuse("temporarily_unavailable", "try again")
        end
    end
end

-- header_filter_by_lua of the authorization endpoint: find the code, bind it, hand it on.
function M.bind()
    local status = ngx.status
    if status < 300 or status > 399 then
        return
    end
    local location = ngx.header.location
    if type(location) ~= "string" then
        return
    end
    local code_from, code_to = re_find(location, "(?<=[?&#])code=[^&#]*", "jo")
    if not code_from then
        return
    end
    local state_from, state_to = re_find(location, "(?<=[?&#])state=[^&#]*", "jo")
    local code = sub(location, code_from + 5, code_to)
    local state = state_from and sub(location, state_from + 6, state_to) or ""

    local key = state
    if M.codes ~= "handle" then
        local mark = find(location, "?", 1, true)
        key = mark and (sub(location, 1, mark - 1) .. "\0" .. unescape_uri(state)) or ""
    end
    local record = records:get("p" .. key)
    if not record then
        ngx.status = 502                   -- a code that nobody asked for is not delivered
        ngx.header.location = nil
        return
    end
    if M.codes == "handle" then
        local outside = handle()
        local replaced, bound = replace(location, record, outside, code_from, code_to, state_from, state_to)
        location = replaced
        if not records:safe_add("c" .. outside, bound, M.code) then
            ngx.status = 503
            ngx.header.location = nil
            return
        end
        ngx.header.location = location
    else
        if not records:safe_add("c" .. code, record, M.code) then
            ngx.status = 503
            ngx.header.location = nil
        end
    end
end

-- `claim` returns the record of a code, and whether this request is the first one.
function M.redeem_with(claim)
    ngx.req.read_body()
    local body = ngx.req.get_body_data()
    if not body then
        return refuse("invalid_request", "a form is needed")
    end
    local args = decode_args(body, 64)
    if args.code == nil then
        return                             -- another grant
    end
    local code, verifier = text(args.code), text(args.code_verifier)
    if not code then
        return refuse("invalid_request", "one code")
    end
    local record, is_first = claim(code)
    if not record or not is_first then
        return refuse("invalid_grant", "not the right code or verifier")
    end
    if not verifier or not re_find(verifier, "^[A-Za-z0-9._~-]{43,128}$", "jo")
        or not same(s256(verifier), sub(record, 1, 43)) then
        return refuse("invalid_grant", "not the right code or verifier")
    end
    local client_end = find(record, "\0", 45, true)
    local redirect_end = find(record, "\0", client_end + 1, true)
    if args.client_id ~= sub(record, 45, client_end - 1)
        or args.redirect_uri ~= sub(record, client_end + 1, redirect_end - 1) then
        return refuse("invalid_grant", "not the right code or verifier")
    end
    if M.codes == "handle" then
        ngx.req.set_body_data(put(body, "code", sub(record, redirect_end + 1)))
    end
end

-- add() has one winner among all workers; it is a tombstone as well.
local function claim(code)
    local record = records:get("c" .. code)
    return record, record and records:safe_add("u" .. code, true, M.code)
end

-- access_by_lua of the token endpoint: claim, compare, forward.
function M.redeem()
    return M.redeem_with(claim)
end

return M
