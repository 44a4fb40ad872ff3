-- Invalidates a sign-in. Codes that were bound before stay bound.
-- KEYS: the sign-in. ARGV: for one whose record is in its handle: its instance and its lifetime in ms.
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HDEL', KEYS[1], 'record')
  redis.call('HSET', KEYS[1], 'dead', '1')
elseif ARGV[1] then
  redis.call('HSET', KEYS[1], 'instance', ARGV[1], 'dead', '1')
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
