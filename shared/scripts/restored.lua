#!lua flags=allow-oom
-- group, token, value: set the mark, unless a flush has taken our token away.
if redis.call('GET', jobs_restored) ~= ARGV[2] then return 0 end
redis.call('SET', jobs_restored, ARGV[3])
return 1
