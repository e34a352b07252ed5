#!lua flags=allow-oom
-- group, id, window, then chunks that were found neither in the stream nor among the parts -> entries added.
-- Counts that disagree with the parts are put right, and a job that is complete goes on to be finalised.
local id, window = ARGV[2], tonumber(ARGV[3])
local state = redis.call('HGET', job, 'state')
if state == 'finalizing' then
  if #ARGV > 3 then add(id, FINALISE, 0) end
  return #ARGV - 3
end
if not is_scoring[state] then return 0 end
local left = redis.call('HGET', job, 'chunks') - redis.call('HLEN', parts)
redis.call('HSET', job, 'left', left)
if left == 0 then
  finalise(id)
  return 1
end
local added = 0
for i = 4, #ARGV do
  if redis.call('HEXISTS', parts, ARGV[i]) == 0 then
    add(id, ARGV[i], 0)
    added = added + 1
  end
end
return added + top_up(id, window)
