-- Replaces the record of a pairing if its version is the expected one, with all that is kept of it in its
-- bucket, and rings. It decides nothing else: what to write, what is over and what is worth least comes
-- from outside.
--
-- KEYS  the record, and the indexes of its bucket: expiry, ids, spare, classes
-- ARGV  prefix of the bucket, id, now, room
--       expected version, or '' if there is to be none
--       the new version, and the pairing in JSON, or '' to remove it
--       when it is over, for how long Redis keeps it, its place among the spare or '', its class or '', its
--       nameplate or ''
--       what to ring with, on which channel, and what to say, or ''
-- All keys that are named below belong to the same bucket, and with it to the same slot.
--
-- Returns what became of it, then nameplates that are free now: that of the record, that of a pairing which
-- had to make room, and the name of that pairing.
local record, expiry, ids, spare, classes = unpack(KEYS)
local prefix, id, now, room = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local expected, version, json = ARGV[5], ARGV[6], ARGV[7]
local over, ttl, worth, class, nameplate = ARGV[8], tonumber(ARGV[9]), ARGV[10], ARGV[11], ARGV[12]
local ring, channel, news = ARGV[13], ARGV[14], ARGV[15]

-- Keys expire by themselves, and an index no earlier than what is in it.
local function keep(key)
    if redis.call('PTTL', key) < ttl then
        redis.call('PEXPIRE', key, ttl)
    end
end

local function forget(name, of)
    redis.call('DEL', prefix .. 'p:' .. name)
    redis.call('ZREM', expiry, name)
    redis.call('ZREM', ids, name)
    redis.call('ZREM', spare, name)
    if of and of ~= '' then
        redis.call('ZREM', prefix .. 'c:' .. of, name)
    end
end

local was = redis.call('HMGET', record, 'v', 'e', 'c', 'n')
-- The library asked twice, because the connection broke before the first answer.
if json ~= '' and was[1] == version then
    return { 'committed', '', '', '' }
end
local present = was[1] and tonumber(was[2]) > now
if (present and was[1] or '') ~= expected then
    return { 'conflict' }
end

local evicted, freed = '', ''
if json ~= '' and not present then
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 1000)) do
        local class_of = redis.call('HGET', prefix .. 'p:' .. name, 'c')
        forget(name, class_of)
    end
    if redis.call('ZCARD', expiry) >= room then
        local least = redis.call('ZRANGE', spare, 0, 0)[1]
        if not least then
            return { 'full' }
        end
        local of = redis.call('HMGET', prefix .. 'p:' .. least, 'c', 'n')
        forget(least, of[1])
        evicted, freed = least, of[2] or ''
        redis.call(ring, prefix .. 'w:' .. least, 'gone')
    end
end

if json == '' then
    forget(id, was[3])
    if news ~= '' then
        redis.call('SET', prefix .. 'x:' .. id, '', 'PX', 600000)
    end
else
    redis.call('HSET', record, 'v', version, 'r', json, 'e', over, 'c', class, 'n', nameplate)
    redis.call('PEXPIRE', record, ttl)
    redis.call('ZADD', expiry, over, id)
    keep(expiry)
    redis.call('ZADD', ids, 0, id)
    keep(ids)
    if worth == '' then
        redis.call('ZREM', spare, id)
    else
        redis.call('ZADD', spare, worth, id)
        keep(spare)
    end
    if was[3] and was[3] ~= '' and was[3] ~= class then
        redis.call('ZREM', prefix .. 'c:' .. was[3], id)
    end
    if class ~= '' then
        redis.call('ZADD', prefix .. 'c:' .. class, over, id)
        keep(prefix .. 'c:' .. class)
        redis.call('ZADD', classes, 'GT', over, class)
        keep(classes)
    end
end
if news ~= '' then
    redis.call(ring, channel, news)
end
local left = ''
if was[4] and was[4] ~= nameplate then
    left = was[4]
end
return { 'committed', left, freed, evicted }
