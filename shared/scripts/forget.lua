#!lua flags=allow-oom
-- group, id: nothing is left of the job in the store. Open jobs are never forgotten.
local id = ARGV[2]
if is_open[redis.call('HGET', job, 'state')] then return 0 end
redis.call('DEL', job, parts, webhook)
redis.call('ZREM', webhooks_due, id)
redis.call('ZREM', jobs, id)
redis.call('ZREM', open_jobs, id)
redis.call('ZREM', unswept_jobs, id)
redis.call('ZREM', ended_jobs, id)
return 1
