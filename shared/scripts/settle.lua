#!lua flags=allow-oom
-- group, id, done, failed, seconds to keep the parts: the end of a job is recorded in the store, with these counts.
if is_open[redis.call('HGET', job, 'state')] then return 0 end
redis.call('HSET', job, 'done', ARGV[3], 'failed', ARGV[4])
redis.call('SREM', open_jobs, ARGV[2])
redis.call('EXPIRE', parts, ARGV[5])
return 1
