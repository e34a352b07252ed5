#!lua
-- group, id, created (ms), rows, chunks, window, most rows in the backlog and most open jobs (-1: no limit), then the
-- fields of the job.
-- No flags: a server that is out of memory refuses before anything is written.
local id, created, rows, total, window, limit, most_open =
  ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
if known(id) then return 'duplicate' end
if limit >= 0 and tonumber(redis.call('GET', backlog) or '0') + rows > limit then return 'busy' end
if most_open >= 0 and redis.call('ZCARD', open_jobs) >= most_open then return 'crowded' end
redis.call('HSET', job, unpack(ARGV, 9))
redis.call('ZADD', jobs, created, id)
redis.call('ZADD', open_jobs, weight(), id)
redis.call('INCRBY', backlog, rows)
if total == 0 then finalise(id) else top_up(id, window) end
return 'ok'
