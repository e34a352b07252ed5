-- Put a heartbeat into the queue of chunks, unless one is there or it is too early.
--
-- KEYS  1 hash of the heartbeat, 2 stream of chunks
-- ARGV  1 seconds between two, 2 what stands in place of the chunk number
-- Returns 1 if one was sent. A server whose memory is full refuses it.
local heartbeat, chunks = KEYS[1], KEYS[2]
local found = redis.call('HMGET', heartbeat, 'entry', 'sent', 'waiting')
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

if found[1] and #redis.call('XRANGE', chunks, found[1], found[1]) > 0 then return 0 end
if now - tonumber(found[2] or '0') < tonumber(ARGV[1]) then return 0 end

local sent = string.format('%.3f', now)
local entry = redis.call('XADD', chunks, '*', 'job', sent, 'chunk', ARGV[2], 'tries', 0, 'request', '')
redis.call('HSET', heartbeat, 'entry', entry, 'sent', sent)
-- Since when nothing has come through, whatever became of those in between.
redis.call('HSETNX', heartbeat, 'waiting', sent)
return 1
