#!lua flags=allow-oom
-- group, id, created (ms), then the fields of a job that has ended and that Redis does not know.
if redis.call('EXISTS', job) == 1 then return 0 end
redis.call('HSET', job, unpack(ARGV, 4))
redis.call('ZADD', jobs, ARGV[3], ARGV[2])
return 1
