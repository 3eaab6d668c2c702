-- Gives a nameplate back, if it is the pairing's that claims to have it.
--
-- KEYS  the nameplate
-- ARGV  the id of the pairing
local claim = redis.call('GET', KEYS[1])
if claim and string.sub(claim, 1, 32) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
return redis.status_reply('OK')
