#!lua flags=allow-oom
-- group, consumer, entry, id, now, event, seconds to keep the parts. The manifest is in the store already.
local consumer, entry, id, now, event, keep = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if not held(consumer, entry) then
  return redis.call('HGET', job, 'state') == 'completed' and 'ok' or 'lost'
end
drop(entry)
if redis.call('HGET', job, 'state') ~= 'finalizing' then return 'gone' end
redis.call('HSET', job, 'state', 'completed', 'finished_at', now)
redis.call('SREM', open_jobs, id)
redis.call('EXPIRE', parts, keep) -- the manifest has them
redis.call('XADD', finished, 'MAXLEN', '~', FINISHED, '*', '__data__', event)
return 'ok'
