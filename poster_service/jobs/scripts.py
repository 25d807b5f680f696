"""The changes of a job's state, each one a Lua script: Redis runs it as a whole or not at all.

Keys, all below the prefix P, all with an expiry:

    P:job:ID            hash: the record
    P:lane:KIND:CALLER  list: ids of a caller's queued jobs; KIND is "job", or "item" of a batch
    P:turns             list: callers with a queued job, in the order of their turns
    P:queued            sorted set: queued jobs by the time of their creation
    P:running           sorted set: running jobs by the time of their worker's last sign of life
    P:unfinished:CALLER sorted set: a caller's jobs that have not ended, by the end of their expiry
    P:ticket:T          the job that ticket T of the queue has been given
    P:key:CALLER:HASH   the job and the fingerprint of an Idempotency-Key

The queue (`queue.py`) delivers tickets, not jobs. What a ticket is good for is decided when a
worker has it: the next job of the caller whose turn it is. So a caller with a thousand jobs makes
another wait for one of them. A ticket that is delivered again gets the job that it had.

Only commands are used that docket's embedded backend has too; it has no TIME, so the time comes
with the call. Names of keys are built here, which Redis Cluster does not allow.
"""

#: Functions that several scripts use. ARGV[1] is the prefix and ARGV[2] the time.
COMMON = """
local P, now = ARGV[1], tonumber(ARGV[2])
local function job_key(id) return P .. ':job:' .. id end
local function lane(kind, caller) return P .. ':lane:' .. kind .. ':' .. caller end
local function is_waiting(caller)
    return redis.call('EXISTS', lane('job', caller)) == 1
        or redis.call('EXISTS', lane('item', caller)) == 1
end
local function enqueue(id, caller, kind, at_front, seconds)
    if not is_waiting(caller) then
        redis.call('RPUSH', P .. ':turns', caller)
        redis.call('EXPIRE', P .. ':turns', seconds)
    end
    redis.call(at_front and 'LPUSH' or 'RPUSH', lane(kind, caller), id)
    redis.call('EXPIRE', lane(kind, caller), seconds)
    redis.call('ZADD', P .. ':queued', redis.call('HGET', job_key(id), 'created'), id)
    redis.call('EXPIRE', P .. ':queued', seconds)
end
local function kind_of(id)
    local batch = redis.call('HGET', job_key(id), 'batch')
    return (batch and batch ~= '') and 'item' or 'job'
end
local function is_owned(id, owner)
    return redis.call('HGET', job_key(id), 'state') == 'running'
        and redis.call('HGET', job_key(id), 'owner') == owner
end
local function requeue(id, seconds, at_front)
    local caller = redis.call('HGET', job_key(id), 'caller')
    redis.call('HSET', job_key(id), 'state', 'queued', 'phase', '')
    redis.call('HDEL', job_key(id), 'owner', 'ticket')
    redis.call('ZREM', P .. ':running', id)
    enqueue(id, caller, kind_of(id), at_front, seconds)
end
-- An owner is silent: its worker may have died of the page, if the page was there.
local function blame(id)
    local owner = redis.call('HGET', job_key(id), 'owner')
    if owner and redis.call('HGET', job_key(id), 'phase') == 'rendering' then
        redis.call('HSET', job_key(id), 'blamed:' .. owner, '1')
        redis.call('HINCRBY', job_key(id), 'deaths', 1)
    end
end
-- An owner that was thought dead is heard of: it has not died of the page.
local function exonerate(id, owner)
    if redis.call('HDEL', job_key(id), 'blamed:' .. owner) == 1 then
        redis.call('HINCRBY', job_key(id), 'deaths', -1)
    end
end
"""

#: Of rates: the length of a span in seconds. The rate is that of the present and the previous one.
SPAN_SECONDS = 30
#: Functions of scripts that count the ends of a batch's items; they need `COMMON`. Its keys are
#: those of `batch_scripts.py`.
ENDS = f"""
local span = math.floor(now / {SPAN_SECONDS})
local function batch_key(batch) return P .. ':batch:' .. batch end
local function count_of(batch, name)
    return tonumber(redis.call('HGET', batch_key(batch), name) or '0')
end
local function close_if_ended(batch)
    local B = batch_key(batch)
    local ended = count_of(batch, 'done') + count_of(batch, 'failed') + count_of(batch, 'cancelled')
    if redis.call('HGET', B, 'finished') or ended < count_of(batch, 'total') then return end
    local is_running = redis.call('HGET', B, 'state') == 'running'
    redis.call('HSET', B, 'finished', ARGV[2], 'announced', is_running and '0' or '1')
    if is_running then redis.call('HSET', B, 'state', 'done') end
    redis.call('ZREM', P .. ':batches', batch)
    redis.call('ZREM', P .. ':batches:' .. redis.call('HGET', B, 'caller'), batch)
end
-- Count the end of an item, once. Returns whether the end of its batch has to be announced, and
-- whether fewer than `room` items are open and something is left to feed.
local function count_end(batch, number, state, seconds, room)
    local B = batch_key(batch)
    if redis.call('EXISTS', B) == 0 then return false, false end
    if redis.call('SREM', B .. ':open', number) == 1 then
        redis.call('HINCRBY', B, 'open', -1)
        redis.call('HINCRBY', B, state, 1)
        if state == 'failed' then
            redis.call('SADD', B .. ':failed', number)
            redis.call('EXPIRE', B .. ':failed', seconds)
        end
        local last = count_of(batch, 'span')
        if last ~= span then
            redis.call('HSET', B, 'span', span, 'in_span', '0',
                'before', last == span - 1 and count_of(batch, 'in_span') or 0)
        end
        redis.call('HINCRBY', B, 'in_span', 1)
        close_if_ended(batch)
    end
    local is_left = redis.call('HGET', B, 'state') == 'running'
        and count_of(batch, 'begun') < count_of(batch, 'total')
        and count_of(batch, 'open') < tonumber(room)
    return redis.call('HGET', B, 'announced') == '0', is_left
end
"""

#: Create a queued job. ARGV: id, caller, kind, seconds, limit (0: none), name of the idempotency
#: key or '', fingerprint, fields and values. Returns {what, id}: new, same, other or full.
CREATE = (
    COMMON
    + """
local id, caller, kind, seconds, limit = ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local name, fingerprint = ARGV[8], ARGV[9]
if redis.call('EXISTS', job_key(id)) == 1 then return {'same', id} end
local known = name ~= '' and redis.call('GET', P .. ':key:' .. caller .. ':' .. name)
if known then
    local other, of = string.match(known, '^(%S+) (%S+)$')
    if redis.call('EXISTS', job_key(other)) == 1 then
        return {of == fingerprint and 'same' or 'other', other}
    end
end
local own = P .. ':unfinished:' .. caller
redis.call('ZREMRANGEBYSCORE', own, '-inf', now)
if limit > 0 and redis.call('ZCARD', own) >= limit then return {'full', id} end
for i = 10, #ARGV, 2 do redis.call('HSET', job_key(id), ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', job_key(id), seconds)
if name ~= '' then
    local what = id .. ' ' .. fingerprint
    redis.call('SET', P .. ':key:' .. caller .. ':' .. name, what, 'EX', seconds)
end
redis.call('ZADD', own, now + tonumber(seconds), id)
redis.call('EXPIRE', own, seconds)
enqueue(id, caller, kind, false, seconds)
return {'new', id}
"""
)

#: Give a ticket a job. ARGV: ticket, owner, seconds, most deaths, most attempts. Returns {what,
#: fields and values of the job}: run, lost, ended (its end has to be announced), more (call again),
#: or none.
CLAIM = (
    COMMON
    + """
local ticket, owner, seconds = ARGV[3], ARGV[4], ARGV[5]
local most_deaths, most_attempts = tonumber(ARGV[6]), tonumber(ARGV[7])
local function found(what, id) return {what, redis.call('HGETALL', job_key(id))} end
local function take(id, what)
    redis.call('HSET', job_key(id), 'state', 'running', 'owner', owner, 'ticket', ticket,
        'started', ARGV[2], 'phase', 'rendering')
    redis.call('EXPIRE', job_key(id), seconds)
    redis.call('SET', P .. ':ticket:' .. ticket, id, 'EX', seconds)
    redis.call('ZREM', P .. ':queued', id)
    redis.call('ZADD', P .. ':running', now, id)
    redis.call('EXPIRE', P .. ':running', seconds)
    local attempts = redis.call('HINCRBY', job_key(id), 'attempts', 1)
    local deaths = tonumber(redis.call('HGET', job_key(id), 'deaths') or '0')
    return found((deaths >= most_deaths or attempts > most_attempts) and 'lost' or what, id)
end
local function is_unannounced(id)
    return redis.call('HGET', job_key(id), 'announced') == '0'
end
local held = redis.call('GET', P .. ':ticket:' .. ticket)
if held then
    local state = redis.call('HGET', job_key(held), 'state')
    if state == 'running' and redis.call('HGET', job_key(held), 'ticket') == ticket then
        if redis.call('HGET', job_key(held), 'owner') == owner then return found('run', held) end
        blame(held)
        return take(held, 'again')
    end
    if is_unannounced(held) then return found('ended', held) end
    redis.call('DEL', P .. ':ticket:' .. ticket)
    if state then return {'none', {}} end
end
for _ = 1, 200 do
    local caller = redis.call('LPOP', P .. ':turns')
    if not caller then return {'none', {}} end
    local id = redis.call('LPOP', lane('job', caller)) or redis.call('LPOP', lane('item', caller))
    if is_waiting(caller) then
        redis.call('RPUSH', P .. ':turns', caller)
        redis.call('EXPIRE', P .. ':turns', seconds)
    end
    if id then
        if redis.call('HGET', job_key(id), 'state') == 'queued' then return take(id, 'run') end
        redis.call('ZREM', P .. ':queued', id)
        if is_unannounced(id) then
            redis.call('SET', P .. ':ticket:' .. ticket, id, 'EX', seconds)
            return found('ended', id)
        end
    end
end
return {'more', {}}
"""
)

#: End a running job; an item of a batch is counted. Its ticket is used up unless its end has to be
#: announced: it has a webhook, or its batch has ended or has room for more items. ARGV: id, owner,
#: seconds, '1' to keep its request, number of the item, open items of its batch below which there
#: is room, state, further fields and values. Returns {'1', also if this owner has ended it before,
#: or '0' if it is not this owner's; '1' if nothing has to be announced}.
FINISH = (
    COMMON
    + ENDS
    + """
local id, owner, seconds, state = ARGV[3], ARGV[4], ARGV[5], ARGV[9]
if not is_owned(id, owner) then
    exonerate(id, owner)
    local is_own = redis.call('HGET', job_key(id), 'ended_by') == owner
    return {is_own and '1' or '0', redis.call('HGET', job_key(id), 'announced') or '0'}
end
local batch = redis.call('HGET', job_key(id), 'batch')
local is_quiet = redis.call('HEXISTS', job_key(id), 'webhook') == 0
if batch and batch ~= '' then
    local has_ended, is_left = count_end(batch, ARGV[7], state, seconds, ARGV[8])
    is_quiet = is_quiet and not has_ended and not is_left
end
redis.call('HSET', job_key(id), 'state', state, 'finished', ARGV[2], 'phase', '',
    'announced', is_quiet and '1' or '0', 'ended_by', owner, unpack(ARGV, 10))
redis.call('HDEL', job_key(id), 'owner')
if ARGV[6] ~= '1' then redis.call('HDEL', job_key(id), 'request') end
redis.call('EXPIRE', job_key(id), seconds)
redis.call('ZREM', P .. ':running', id)
redis.call('ZREM', P .. ':unfinished:' .. redis.call('HGET', job_key(id), 'caller'), id)
local ticket = redis.call('HGET', job_key(id), 'ticket')
if is_quiet and ticket then redis.call('DEL', P .. ':ticket:' .. ticket) end
return {'1', is_quiet and '1' or '0'}
"""
)

#: Cancel a job that has not ended. ARGV: id, seconds. Returns {state that it had, ticket}; an ended
#: job stays as it is, and of no job the state is ''.
CANCEL = (
    COMMON
    + """
local id, seconds = ARGV[3], ARGV[4]
local state = redis.call('HGET', job_key(id), 'state')
if state ~= 'queued' and state ~= 'running' then return {state or '', ''} end
redis.call('HSET', job_key(id), 'state', 'cancelled', 'finished', ARGV[2], 'announced', '0',
    'phase', '')
redis.call('HDEL', job_key(id), 'owner', 'request')
redis.call('EXPIRE', job_key(id), seconds)
redis.call('ZREM', P .. ':queued', id)
redis.call('ZREM', P .. ':running', id)
redis.call('ZREM', P .. ':unfinished:' .. redis.call('HGET', job_key(id), 'caller'), id)
return {state, redis.call('HGET', job_key(id), 'ticket') or ''}
"""
)

#: Note that a job's end has been announced; its ticket is used up. ARGV: id, ticket or ''.
ANNOUNCED = (
    COMMON
    + """
if redis.call('EXISTS', job_key(ARGV[3])) == 1 then
    redis.call('HSET', job_key(ARGV[3]), 'announced', '1')
end
if ARGV[4] ~= '' then redis.call('DEL', P .. ':ticket:' .. ARGV[4]) end
return 1
"""
)

#: A sign of life of a running job's worker. ARGV: id, owner, phase or ''. Returns whether the job
#: is still its own.
BEAT = (
    COMMON
    + """
local id, owner = ARGV[3], ARGV[4]
if not is_owned(id, owner) then
    exonerate(id, owner)
    return 0
end
redis.call('ZADD', P .. ':running', now, id)
if ARGV[5] ~= '' then redis.call('HSET', job_key(id), 'phase', ARGV[5]) end
return 1
"""
)

#: Put a running job back into its lane, as if it had not begun. ARGV: id, owner, ticket, seconds,
#: why: 'stop' puts it to the front, 'storage' to the end, with a note of the first time. Returns
#: whether it was this owner's.
GIVE_BACK = (
    COMMON
    + """
local id, owner = ARGV[3], ARGV[4]
if not is_owned(id, owner) then
    exonerate(id, owner)
    return 0
end
if ARGV[7] == 'storage' and not redis.call('HGET', job_key(id), 'unstored') then
    redis.call('HSET', job_key(id), 'unstored', ARGV[2])
end
redis.call('HINCRBY', job_key(id), 'attempts', -1)
redis.call('DEL', P .. ':ticket:' .. ARGV[5])
requeue(id, ARGV[6], ARGV[7] == 'stop')
return 1
"""
)

#: Put running jobs without a sign of life back into their lanes. ARGV: seconds, before. Returns how
#: many.
RECLAIM = (
    COMMON
    + """
local silent = redis.call('ZRANGEBYSCORE', P .. ':running', '-inf', ARGV[4])
for i = 1, math.min(#silent, 100) do
    if redis.call('HGET', job_key(silent[i]), 'state') == 'running' then
        blame(silent[i])
        requeue(silent[i], ARGV[3], true)
    else
        redis.call('ZREM', P .. ':running', silent[i])
    end
end
return #silent
"""
)
