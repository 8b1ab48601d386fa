-- Takes one request out of all of the buckets KEYS, or out of none. ARGV holds interval and tolerance of each, in
-- microseconds. Returns the microseconds to wait (0: taken) and the number of the bucket that lacks it longest.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local times, longest, lacking = {}, 0, 0
for number, key in ipairs(KEYS) do
    times[number] = math.max(now, tonumber(redis.call('GET', key) or now))
    local wait = times[number] - now - ARGV[number * 2]
    if wait > longest then
        longest, lacking = wait, number
    end
end
if longest == 0 then
    for number, key in ipairs(KEYS) do
        local full_at = times[number] + ARGV[number * 2 - 1]
        -- as whole digits: a number of this size would be rounded otherwise
        redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
    end
end
return {math.ceil(longest), lacking}
