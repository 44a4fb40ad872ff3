-- Claims a code, or counts a wrong verifier.
-- KEYS: the code. ARGV: how it is presented ("handle" or "raw"), the mark of the sign-in for which the handle was made or '',
-- "matches", "differs" or "wrong", the id of the claim, the wrong verifiers that burn the code.
local code = redis.call('HMGET', KEYS[1], 'issued', 'mark', 'until', 'run', 'claim', 'burnt')
if not code[1] then return 'gone' end
if code[1] ~= ARGV[1] then return 'unknown' end
-- A handle of an earlier sign-in, which was forgotten before another one got the code.
if ARGV[2] ~= '' and ARGV[2] ~= code[2] then return 'gone' end
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(code[3]) then return 'gone' end
if string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)'):sub(1, 16) ~= code[4] then return 'gone' end
if code[6] then return 'burnt' end
if code[5] then return 'claimed' end
if ARGV[3] == 'matches' then
  redis.call('HSET', KEYS[1], 'claim', ARGV[4])
  return 'yours'
end
if ARGV[3] == 'wrong' and redis.call('HINCRBY', KEYS[1], 'wrong', 1) >= tonumber(ARGV[5]) then
  redis.call('HSET', KEYS[1], 'burnt', '1')
end
return 'mismatch'
