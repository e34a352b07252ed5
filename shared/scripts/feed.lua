#!lua flags=allow-oom
-- group, id, window, then chunks (or the finalisation) that were found neither in the stream nor among the parts
-- -> entries added.
-- Counts that disagree with the parts are put right first. A job that is complete goes on to be finalised, and one that
-- was to be finalised and is not complete goes back to work.
local id, window = ARGV[2], tonumber(ARGV[3])
local at = redis.call('HMGET', job, 'state', 'chunks', 'left', 'done')
local state = at[1]
if not is_open[state] then return 0 end

local left = at[2] - redis.call('HLEN', parts)
if left ~= tonumber(at[3]) then
  local done, failed = 0, 0
  for _, part in ipairs(redis.call('HVALS', parts)) do
    local rows = cjson.decode(part)
    done, failed = done + rows.rows, failed + rows.failed
  end
  redis.call('INCRBY', backlog, at[4] - done)
  redis.call('HSET', job, 'left', left, 'done', done, 'failed', failed)
end

if left == 0 then
  if state == 'finalizing' and ARGV[4] ~= tostring(FINALISE) then return 0 end -- it was asked for
  finalise(id)
  return 1
end
if state == 'finalizing' then redis.call('HSET', job, 'state', 'running') end
local added = 0
for i = 4, #ARGV do
  if tonumber(ARGV[i]) ~= FINALISE and redis.call('HEXISTS', parts, ARGV[i]) == 0 then
    add(id, ARGV[i], 0)
    added = added + 1
  end
end
return added + top_up(id, window)
