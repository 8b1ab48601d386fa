-- Takes a request out of all of the buckets KEYS, or out of none. ARGV holds three numbers for each bucket, in
-- microseconds: how far ahead its time may lie, what was taken for this request before, and what to take now. Returns the microseconds to wait (0: taken) and the number of the bucket to wait for longest.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local times, longest, lacking = {}, 0, 0
for number, key in ipairs(KEYS) do
    times[number] = math.max(now, tonumber(redis.call('GET', key) or now))
    local wait = times[number] - now - ARGV[number * 3 - 2]
    if wait - ARGV[number * 3 - 1] > 0 and wait > longest then
        longest, lacking = wait, number
    end
end
if longest == 0 then
    for number, key in ipairs(KEYS) do
        local full_at = times[number] + ARGV[number * 3]
        -- as whole digits: a number of this size would be rounded otherwise
        redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
    end
end
return {math.ceil(longest), lacking}
