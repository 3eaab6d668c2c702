-- Gives back what was charged to a budget.
--
-- KEYS  the budget
-- ARGV  the cost, in milliseconds
local until_then = redis.call('GET', KEYS[1])
if until_then then
    local time = redis.call('TIME')
    local spent = until_then - tonumber(ARGV[1]) - (time[1] * 1000 + time[2] / 1000)
    if spent >= 1 then
        local now = time[1] * 1000 + time[2] / 1000
        redis.call('SET', KEYS[1], string.format('%.3f', now + spent), 'PX', math.ceil(spent))
    else
        redis.call('DEL', KEYS[1])
    end
end
return redis.status_reply('OK')
