#!lua flags=allow-oom
-- id, url, body, request id -> 1, or 0 while it is being sent. What is known of earlier attempts is kept.
local due, message, id = KEYS[1], KEYS[2], ARGV[1]
if redis.call('HEXISTS', message, 'holder') == 1 then return 0 end
redis.call('HSET', message, 'url', ARGV[2], 'body', ARGV[3], 'state', 'due', 'request_id', ARGV[4])
redis.call('HDEL', message, 'since', 'tries')
redis.call('PERSIST', message)
redis.call('ZADD', due, now(), id)
return 1
