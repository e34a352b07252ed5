#!lua flags=allow-oom
-- KEYS  1 alerts, 2 acknowledgements
-- ARGV  1 id, 2 acknowledgement
-- Returns ok, also when somebody did so before (that one stays); unknown; or resolved: there is nothing to acknowledge.
local alert = redis.call('HGET', KEYS[1], ARGV[1])
if not alert then return 'unknown' end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 'ok' end
if cjson.decode(alert).state ~= 'firing' then return 'resolved' end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 'ok'
