#!lua flags=allow-oom
-- Note that a heartbeat came through, and acknowledge its event. An old one, or the same one again, changes nothing.
--
-- KEYS  1 hash of the heartbeat, 2 stream of events
-- ARGV  1 group, 2 entry id, 3 when it was sent (Unix time)
local heartbeat, sent = KEYS[1], tonumber(ARGV[3])
redis.call('XACK', KEYS[2], ARGV[1], ARGV[2])
local found = redis.call('HMGET', heartbeat, 'sent', 'passed')
if sent <= tonumber(found[2] or '0') then return end

local time = redis.call('TIME')
redis.call('HSET', heartbeat, 'passed', ARGV[3], 'lag', time[1] + time[2] / 1000000 - sent)
if tonumber(found[1] or '0') > sent then
  redis.call('HSET', heartbeat, 'waiting', found[1])
else
  redis.call('HDEL', heartbeat, 'waiting')
end
