-- Stores a sign-in, or compares it with the one that has the same key.
-- KEYS: the sign-in. ARGV: sealed record, instance, lifetime in ms, mark (equal for equal requests), "1" if it may replace one
-- that has its code, owner.
local there = redis.call('HMGET', KEYS[1], 'mark', 'codes', 'dead')
if there[3] then return 'conflict' end
if there[1] then
  if there[1] == ARGV[4] then return 'again' end
  if ARGV[5] ~= '1' or not there[2] then
    redis.call('HDEL', KEYS[1], 'record')
    redis.call('HSET', KEYS[1], 'dead', '1')
    return 'conflict'
  end
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'instance', ARGV[2], 'mark', ARGV[4], 'owner', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 'new'
