-- Charges a budget: the generic cell rate algorithm (GCRA), by the clock of Redis.
--
-- KEYS  the budget: until when what is spent flows back, in milliseconds since 1970
-- ARGV  the cost, and the most that may be spent, both in milliseconds
--
-- Returns 1 and what is spent now; or 0 and for how long to wait. In microseconds, as Redis answers whole
-- numbers.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local cost, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local until_then = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
local spent = until_then + cost - now
if spent > most then
    return { 0, math.ceil((spent - most) * 1000) }
end
-- Who charges nothing asks what is spent.
if cost == 0 then
    return { 1, math.floor(spent * 1000) }
end
redis.call('SET', KEYS[1], string.format('%.3f', now + spent), 'PX', math.ceil(spent))
return { 1, math.floor(spent * 1000) }
