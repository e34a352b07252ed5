-- Add to buckets, which are strings of 64-bit integers. ARGV[at] is the number of groups of buckets, then of each group: number
-- of buckets, when each expires (Unix time, 0 never), number of counters, and position and increment of each. The buckets
-- are KEYS[key], KEYS[key + 1], … Returns the places behind both.
local AT_ONCE = 1000 -- counters in one command: Lua passes no more than 8,000 arguments
local function add_counters(at, key)
  local groups = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, groups do
    local buckets = tonumber(ARGV[at])
    local expires = at
    local counters = tonumber(ARGV[at + buckets + 1])
    at = at + buckets + 2
    local commands = {}
    for counter = 0, counters - 1 do
      -- FAIL: a counter that would overflow stays as it is, and the others are still counted.
      if counter % AT_ONCE == 0 then commands[#commands + 1] = { '', 'OVERFLOW', 'FAIL' } end
      local command = commands[#commands]
      local size = #command
      command[size + 1], command[size + 2] = 'INCRBY', 'i64'
      command[size + 3], command[size + 4] = '#' .. ARGV[at], ARGV[at + 1]
      at = at + 2
    end
    for bucket = 1, buckets do
      for _, command in ipairs(commands) do
        command[1] = KEYS[key]
        redis.call('BITFIELD', unpack(command))
      end
      if ARGV[expires + bucket] ~= '0' then redis.call('EXPIREAT', KEYS[key], ARGV[expires + bucket]) end
      key = key + 1
    end
  end
  return at, key
end
