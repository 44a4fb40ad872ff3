-- The same as pkce.lua with codes = "handle", with its records in Redis, for several instances of nginx. Records are not
-- encrypted, and wrong verifiers are not counted: it does less than the gate.
--
-- A header filter of nginx cannot wait, so it cannot ask Redis. The authorization request is therefore answered by Lua, from a
-- subrequest. Each operation is one command, or several in one write.

local pkce = require "pkce"
local parts = pkce.parts

local ngx = ngx
local tcp = ngx.socket.tcp
local re_find = ngx.re.find
local sub, concat = string.sub, table.concat

local M = { port = 0 }

local function command(...)
    local words = { "*", select("#", ...), "\r\n" }
    for index = 1, select("#", ...) do
        local word = tostring((select(index, ...)))
        words[#words + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
    end
    return concat(words)
end

-- One answer: a string, a number, or nil. An error ends the request.
local function answer(socket)
    local line = assert(socket:receive())
    local kind, rest = sub(line, 1, 1), sub(line, 2)
    if kind == "+" then
        return rest
    elseif kind == ":" then
        return tonumber(rest)
    elseif kind == "$" then
        local length = tonumber(rest)
        if length < 0 then
            return nil
        end
        return sub(assert(socket:receive(length + 2)), 1, length)
    end
    error(rest)
end

-- Sends commands in one write, and returns up to two answers. Connections are kept.
local function ask(first, second)
    local socket = tcp()
    socket:settimeout(250)
    assert(socket:connect("127.0.0.1", M.port, { pool_size = 64 }))
    assert(socket:send(second and { first, second } or first))
    local one = answer(socket)
    local two = second and answer(socket)
    socket:setkeepalive(60000)
    return one, two
end

local function unavailable()
    return parts.refuse("temporarily_unavailable", "try again")
end

-- content_by_lua of the authorization endpoint: judge, hold, forward, bind.
function M.authorize()
    local key, record = pkce.judge()
    if not key then
        return
    end
    local held, stored = pcall(ask, command("SET", "p" .. key, record, "NX", "EX", pkce.pending))
    if not held or stored ~= "OK" then
        return unavailable()
    end
    local reply = ngx.location.capture("/upstream-authorize", { args = ngx.var.args })
    ngx.status = reply.status
    for name, value in pairs(reply.header) do
        ngx.header[name] = value
    end
    local location = reply.header.Location
    local from, to
    if type(location) == "string" then
        from, to = re_find(location, "(?<=[?&#])code=[^&#]*", "jo")
    end
    if from then
        local good, replaced = pcall(M.bind, location, from, to)
        if not good or not replaced then
            ngx.status = 502               -- a code that no sign-in asked for is not delivered
            ngx.header.Location = nil
            return ngx.exit(502)
        end
        ngx.header.Location = replaced
    end
    ngx.print(reply.body)
end

function M.bind(location, code_from, code_to)
    local from, to = re_find(location, "(?<=[?&#])state=[^&#]*", "jo")
    local record = from and ask(command("GET", "p" .. sub(location, from + 6, to)))
    if not record then
        return nil
    end
    local outside = parts.handle()
    local replaced, bound = parts.replace(location, record, outside, code_from, code_to, from, to)
    if ask(command("SET", "c" .. outside, bound, "NX", "EX", pkce.code)) ~= "OK" then
        return nil
    end
    return replaced
end

-- access_by_lua of the token endpoint: claim, compare, forward.
function M.redeem()
    return pkce.redeem_with(function(code)
        -- SET NX has one winner among all instances; it is a tombstone as well.
        local good, record, claimed = pcall(
            ask, command("GET", "c" .. code), command("SET", "u" .. code, 1, "NX", "EX", pkce.code)
        )
        if not good then
            return unavailable()
        end
        return record, claimed == "OK"
    end)
end

return M
