#!lua flags=allow-oom
-- id, token, state, tries, attempts, milliseconds until it is to be looked at again or '', seconds to keep it then
-- -> 1, or 0 when the claim is not ours any more.
local due, message, id, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if redis.call('HGET', message, 'holder') ~= token then
  -- Done already? Then the answer to an earlier call was lost on its way.
  return redis.call('HGET', message, 'settled') == token and 1 or 0
end
redis.call('HDEL', message, 'holder')
redis.call('HSET', message, 'settled', token, 'state', ARGV[3], 'tries', ARGV[4], 'attempts', ARGV[5])
if ARGV[6] ~= '' then
  redis.call('ZADD', due, now() + ARGV[6], id)
else
  redis.call('ZREM', due, id)
  redis.call('EXPIRE', message, ARGV[7])
end
return 1
