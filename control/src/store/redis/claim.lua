-- Claims a nameplate for a pairing, or prolongs its claim.
--
-- KEYS  the nameplate
-- ARGV  the id of the pairing, for how many milliseconds, and the claim that the caller found to mean
-- nothing, or ''
--
-- Returns nil if it is claimed now; else the claim of another pairing, and how old it is in milliseconds.
local claim = redis.call('GET', KEYS[1])
if claim and claim ~= ARGV[3] and string.sub(claim, 1, 32) ~= ARGV[1] then
    local life = tonumber(string.sub(claim, 34)) or 0
    return { claim, math.max(0, life - redis.call('PTTL', KEYS[1])) }
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[2])
return false
