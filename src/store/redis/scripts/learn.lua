-- Remembers a redirect URI of a client.
-- KEYS: the redirect URIs of the client. ARGV: the redirect URI, the lifetime of all of them in ms, the most of a client.
if redis.call('HGET', KEYS[1], ARGV[1]) or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], ARGV[1], '1')
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
