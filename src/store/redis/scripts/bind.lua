-- Binds a code to a sign-in.
-- KEYS: the sign-in, the trace of the upstream's code, the code. ARGV: lifetime of the trace and of the code in ms, the most codes
-- of a sign-in, owner, sealed record of the code or '', the sign-in's mark as it was read, and for a sign-in whose record is in
-- its handle: its instance and lifetime.
local sign_in = redis.call('HMGET', KEYS[1], 'instance', 'codes', 'dead', 'mark')
local instance = sign_in[1] or ARGV[7]
if not instance or sign_in[3] then return 'unknown' end
-- Another sign-in has taken its place since it was read.
if sign_in[4] and sign_in[4] ~= ARGV[6] then return 'unknown' end
local trace = redis.call('HGET', KEYS[2], 'instance')
if trace and trace ~= instance then return 'elsewhere' end
if redis.call('EXISTS', KEYS[3]) == 1 then return trace and 'again' or 'elsewhere' end
if (tonumber(sign_in[2]) or 0) >= tonumber(ARGV[3]) then return 'full' end
redis.call('HINCRBY', KEYS[1], 'codes', 1)
if not sign_in[1] then
  redis.call('HSET', KEYS[1], 'instance', instance)
  redis.call('PEXPIRE', KEYS[1], ARGV[8])
end
if not trace then
  redis.call('HSET', KEYS[2], 'instance', instance, 'owner', ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
-- A server that takes over after a failover, or after a restart, may lack the last writes. What was bound on another server is
-- therefore dead: a code cannot be claimed again because its claim was lost.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
redis.call('HSET', KEYS[3], 'run', run, 'owner', ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[3], 'record', ARGV[5]) end
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return 'bound'
