#!lua flags=allow-oom
-- group, id, done, failed, then what `settle` wants: the end of a job is recorded in the store, with these counts.
-- A job that a flush forgot meanwhile comes back with its record, and not as these counts alone.
local state = redis.call('HGET', job, 'state')
if not state or is_open[state] then return 0 end
redis.call('HSET', job, 'done', ARGV[3], 'failed', ARGV[4])
settle(ARGV[2], ARGV[5], ARGV[6], ARGV[7], ARGV[8])
return 1
