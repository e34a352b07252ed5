#!lua flags=allow-oom
-- group, id, created (ms), ended (ms), seconds to keep the hash, number of dead letters, each with id, body and time (ms),
-- then the fields of a job that has ended and that Redis does not know.
local id, letters = ARGV[2], tonumber(ARGV[6])
if known(id) then return 0 end
local fields = 7 + 3 * letters
for i = 7, fields - 1, 3 do bury(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
redis.call('HSET', job, unpack(ARGV, fields))
redis.call('EXPIRE', job, ARGV[5])
redis.call('ZADD', jobs, ARGV[3], id)
redis.call('ZADD', ended_jobs, ARGV[4], id)
redis.call('ZADD', unswept_jobs, ARGV[4], id)
return 1
