#!lua flags=allow-oom
-- id, url, body -> 1, or 0 if the message is known.
local due, message, id = KEYS[1], KEYS[2], ARGV[1]
if redis.call('EXISTS', message) == 1 then return 0 end
redis.call('HSET', message, 'url', ARGV[2], 'body', ARGV[3], 'state', 'due')
redis.call('ZADD', due, now(), id)
return 1
