-- Ends a claim without a redemption.
-- KEYS: the code. ARGV: the id of the claim, "1" if the release counts, the releases that are allowed.
if redis.call('HGET', KEYS[1], 'claim') ~= ARGV[1] then return 0 end
if ARGV[2] == '1' and redis.call('HINCRBY', KEYS[1], 'released', 1) > tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'burnt', '1')
end
redis.call('HDEL', KEYS[1], 'claim')
return 1
