-- Shared by all scripts. They get the same keys in the same order, and the group first among the arguments.
local job, parts, chunks, backlog, jobs, open_jobs, dead, scored, finished, dropped, jobs_restored =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local group = ARGV[1]

local FINALISE = -1 -- in place of the chunk number, in the entry that asks for a job's finalisation
local DEAD_LETTERS, FINISHED = 10000, 10000 -- entries kept

local is_open = { queued = true, running = true, finalizing = true }
local is_scoring = { queued = true, running = true }

-- How often an entry was delivered, if `consumer` holds it; nil if it does not, or everything was flushed.
local function held(consumer, entry)
  local found = redis.pcall('XPENDING', chunks, group, entry, entry, 1)
  if found.err then
    if string.find(found.err, 'NOGROUP', 1, true) then return nil end
    error(found.err)
  end
  if #found == 0 or found[1][2] ~= consumer then return nil end
  return found[1][4]
end

-- An acknowledged entry is deleted too: the stream holds only what is left to do.
local function drop(entry)
  redis.call('XACK', chunks, group, entry)
  redis.call('XDEL', chunks, entry)
end

-- `tries`: deliveries of earlier entries for the same chunk.
local function add(id, chunk, tries)
  redis.call('XADD', chunks, '*', 'job', id, 'chunk', chunk, 'tries', tries)
end

local function finalise(id)
  redis.call('HSET', job, 'state', 'finalizing')
  add(id, FINALISE, 0)
end

-- Put chunks into the stream until the job has `window` of them there; returns how many were added.
local function top_up(id, window)
  local at = redis.call('HMGET', job, 'next', 'left', 'chunks')
  local first, total = tonumber(at[1]), tonumber(at[3])
  local committed = total - tonumber(at[2])
  local last = math.min(total, committed + window)
  if last <= first then return 0 end
  for chunk = first, last - 1 do add(id, chunk, 0) end
  redis.call('HSET', job, 'next', last)
  return last - first
end
