#!lua flags=allow-oom
-- id, url, body -> 1, or 0 if the message is known.
return enqueue(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
