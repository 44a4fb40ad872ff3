-- Claims a code, or counts a wrong verifier.
-- KEYS: the code. ARGV: "matches", "differs" or "wrong", the id of the claim, the wrong verifiers that burn the code.
local code = redis.call('HMGET', KEYS[1], 'run', 'claim', 'burnt', 'owner')
if not code[1] then return {'gone'} end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if code[1] ~= run then return {'gone', code[4]} end
if code[3] then return {'burnt', code[4]} end
if code[2] then return {'claimed', code[4]} end
if ARGV[1] == 'matches' then
  redis.call('HSET', KEYS[1], 'claim', ARGV[2])
  return {'yours', code[4]}
end
if ARGV[1] == 'wrong' and redis.call('HINCRBY', KEYS[1], 'wrong', 1) >= tonumber(ARGV[3]) then
  redis.call('HDEL', KEYS[1], 'record')
  redis.call('HSET', KEYS[1], 'burnt', '1')
end
return {'mismatch', code[4]}
