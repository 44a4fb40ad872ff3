-- Leaves a seat. Its counts stay, for the next gate that takes it.
-- KEYS: the seat. ARGV: the gate.
if redis.call('HGET', KEYS[1], 'gate') == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
