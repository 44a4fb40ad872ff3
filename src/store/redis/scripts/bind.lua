-- Binds a code to a sign-in.
-- KEYS: the sign-in, the code. ARGV: the lifetime of the code's record and of the code in ms, the most codes of a sign-in, owner,
-- how the code is issued ("handle" or "raw"), sealed record of the code or '', the sign-in's mark as it was read, and for a sign-in
-- whose record is in its handle: its instance and lifetime.
local sign_in = redis.call('HMGET', KEYS[1], 'instance', 'codes', 'dead', 'mark')
local instance = sign_in[1] or ARGV[8]
if not instance or sign_in[3] then return 'unknown' end
-- Another sign-in has taken its place since it was read.
if sign_in[4] and sign_in[4] ~= ARGV[7] then return 'unknown' end
-- A server that takes over after a failover, or after a restart, may lack the last writes. What was bound before is therefore dead:
-- a code cannot be claimed again because its claim was lost. Not the run_id: a server keeps it while it is replaced and returns.
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)'):sub(1, 16)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local code = redis.call('HMGET', KEYS[2], 'instance', 'issued', 'until', 'run')
if code[1] then
  local same = code[1] == instance and code[2] == ARGV[5] and now < tonumber(code[3]) and code[4] == run
  return same and 'again' or 'elsewhere'
end
if (tonumber(sign_in[2]) or 0) >= tonumber(ARGV[3]) then return 'full' end
redis.call('HINCRBY', KEYS[1], 'codes', 1)
if not sign_in[1] then
  redis.call('HSET', KEYS[1], 'instance', instance)
  redis.call('PEXPIRE', KEYS[1], ARGV[9])
end
redis.call('HSET', KEYS[2], 'instance', instance, 'issued', ARGV[5], 'until', string.format('%.0f', now + ARGV[2]), 'run', run,
  'owner', ARGV[4], 'mark', ARGV[7])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], 'record', ARGV[6]) end
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 'bound'
