-- Shared by all scripts. They get the same keys in the same order, and the group first among the arguments.
local job, parts, chunks, backlog, jobs, open_jobs, ended_jobs, unswept_jobs, dead, dead_bodies =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local scored, finished, dropped, jobs_restored, webhooks_due, webhook =
  KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]
local heartbeat, passed = KEYS[17], KEYS[18]
local group = ARGV[1]

local FINALISE = -1 -- in place of the chunk number, in the entry that asks for a job's finalisation
local HEARTBEAT = -2 -- the same, in the entry that the monitor sends through
local DEAD_LETTERS, FINISHED, PASSED = 10000, 10000, 100 -- entries kept

local WEIGHTS = { low = 1, normal = 2, high = 4 } -- of the priorities

local is_open = { queued = true, running = true, finalizing = true }
local is_scoring = { queued = true, running = true }

-- The hash of a job that has ended goes before the job does.
local function known(id)
  return redis.call('EXISTS', job) == 1 or redis.call('ZSCORE', ended_jobs, id)
end

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

-- Whether the job still wants what its entry asks for: a chunk, or FINALISE; and the job's state.
local function wanted(chunk)
  local state = redis.call('HGET', job, 'state')
  if chunk == FINALISE then return state == 'finalizing', state end
  return is_scoring[state], state
end

-- An acknowledged entry is deleted too: the stream holds only what is left to do.
local function drop(entry)
  redis.call('XACK', chunks, group, entry)
  redis.call('XDEL', chunks, entry)
end

-- `tries`: deliveries of earlier entries for the same chunk. `request`: of the submission, for logs.
local function add(id, chunk, tries)
  local request = redis.call('HGET', job, 'request_id') or ''
  redis.call('XADD', chunks, '*', 'job', id, 'chunk', chunk, 'tries', tries, 'request', request)
end

local function finalise(id)
  redis.call('HSET', job, 'state', 'finalizing')
  add(id, FINALISE, 0)
end

-- Keep a dead letter; the oldest make room for it.
local function bury(letter, body, ms)
  redis.call('ZADD', dead, 'NX', ms, letter)
  redis.call('HSET', dead_bodies, letter, body)
  if redis.call('ZCARD', dead) <= DEAD_LETTERS then return end
  local oldest = redis.call('ZPOPMIN', dead)[1]
  redis.call('HDEL', dead_bodies, oldest)
  redis.call('HINCRBY', dropped, 'dead-letters', 1)
end

local function weight()
  return WEIGHTS[redis.call('HGET', job, 'priority')] or WEIGHTS.normal
end

-- The job's share of the window, of which it has `mine` chunks in the stream. The stream is served in order, so jobs are
-- served in proportion to what they have in it: the heaviest fill the window, the others less of it, or what is free. A
-- heartbeat takes nobody's place.
local function share(window, mine)
  local heaviest = redis.call('ZREVRANGE', open_jobs, 0, 0, 'WITHSCORES')[2] or weight()
  local free = window - redis.call('XLEN', chunks) + redis.call('HEXISTS', heartbeat, 'entry') + mine
  return math.max(1, math.min(window, free), math.floor(window * weight() / heaviest))
end

-- Have the job's webhook told of its end, unless that is under way or done.
local function tell(id, ms, body)
  local url = redis.call('HGET', job, 'webhook')
  if not url or redis.call('EXISTS', webhook) == 1 then return end
  local request = redis.call('HGET', job, 'request_id') or ''
  redis.call('HSET', webhook, 'url', url, 'body', body, 'state', 'due', 'request_id', request)
  redis.call('ZADD', webhooks_due, ms, id)
end

-- The end of the job is in the store: `ms` is when it ended, `keep` the seconds that its hash and its parts are kept,
-- `body` what its webhook shall hear.
local function settle(id, ms, keep_job, keep_parts, body)
  redis.call('ZREM', open_jobs, id)
  redis.call('ZADD', ended_jobs, ms, id)
  redis.call('ZADD', unswept_jobs, ms, id)
  redis.call('EXPIRE', job, keep_job)
  redis.call('EXPIRE', parts, keep_parts)
  tell(id, ms, body)
end

-- Put chunks into the stream until the job has its share of `window` there; returns how many were added.
local function top_up(id, window)
  local at = redis.call('HMGET', job, 'next', 'left', 'chunks')
  local first, total = tonumber(at[1]), tonumber(at[3])
  local committed = total - tonumber(at[2])
  local last = math.min(total, committed + share(window, first - committed))
  if last <= first then return 0 end
  for chunk = first, last - 1 do add(id, chunk, 0) end
  redis.call('HSET', job, 'next', last)
  return last - first
end
