-- Takes or keeps a seat, and writes counts there. Answers 0: it is another gate's; 1: done; 2: done, and the seat had no counts.
-- KEYS: the seat, its counts. ARGV: the gate, 'take' or 'keep', the lifetimes of the seat and of its counts in ms, then fields and
-- values of the counts.
local owner = redis.call('HGET', KEYS[1], 'gate')
local last = redis.call('HGET', KEYS[2], 'gate')
if owner and owner ~= ARGV[1] then
  return 0
end
-- The lease has ended, and another gate has counted here since.
if ARGV[2] == 'keep' and not owner and last and last ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'gate', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('HSET', KEYS[2], 'gate', ARGV[1])
for i = 5, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
if last then
  return 1
end
return 2
