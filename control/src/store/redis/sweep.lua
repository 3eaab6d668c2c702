-- Takes out of the indexes of a bucket what is over, and counts the codes that wait.
--
-- KEYS  expiry, ids, spare, classes
-- ARGV  prefix of the bucket, now
--
-- Returns how many pairings were taken out, then each class and how many of it wait. At most 1,000 are taken
-- out at once, so that nobody else waits for long.
local expiry, ids, spare, classes = unpack(KEYS)
local prefix, now = ARGV[1], ARGV[2]
local over = redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 1000)
for _, name in ipairs(over) do
    redis.call('DEL', prefix .. 'p:' .. name)
    redis.call('ZREM', expiry, name)
    redis.call('ZREM', ids, name)
    redis.call('ZREM', spare, name)
end
local found = { #over }
for _, class in ipairs(redis.call('ZRANGE', classes, 0, -1)) do
    redis.call('ZREMRANGEBYSCORE', prefix .. 'c:' .. class, '-inf', now)
    found[#found + 1] = class
    found[#found + 1] = redis.call('ZCARD', prefix .. 'c:' .. class)
end
redis.call('ZREMRANGEBYSCORE', classes, '-inf', now)
return found
