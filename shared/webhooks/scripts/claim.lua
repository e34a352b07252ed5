#!lua flags=allow-oom
-- id, token, milliseconds until somebody else may claim it -> the fields of the message as they were; nothing if it is
-- not due. A `holder` among them never said what became of its attempt.
local due, message, id, token, hidden = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local at = redis.call('ZSCORE', due, id)
if not at or tonumber(at) > now() then return {} end
local found = redis.call('HGETALL', message)
if #found == 0 then
  redis.call('ZREM', due, id)
  return {}
end
redis.call('ZADD', due, now() + hidden, id)
redis.call('HSET', message, 'holder', token, 'claimed', now())
redis.call('HSETNX', message, 'since', now())
return found
