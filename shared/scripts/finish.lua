#!lua flags=allow-oom
-- group, consumer, entry, id, now, event, then what `settle` wants. The manifest is in the store already.
local consumer, entry, id, now, event = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if not held(consumer, entry) then
  return redis.call('HGET', job, 'state') == 'completed' and 'ok' or 'lost'
end
drop(entry)
if redis.call('HGET', job, 'state') ~= 'finalizing' then return 'gone' end
redis.call('HSET', job, 'state', 'completed', 'finished_at', now)
settle(id, ARGV[7], ARGV[8], ARGV[9], ARGV[10])
redis.call('XADD', finished, 'MAXLEN', '~', FINISHED, '*', '__data__', event)
return 'ok'
