"""The changes of a batch, each one a Lua script: Redis runs it as a whole or not at all.

Keys beside those of jobs (`scripts.py`), all with an expiry that each block of items renews:

    P:batch:ID          hash: the batch and its counts
    P:batch:ID:blocks   hash: its items by the number of their block, its common part; compressed
    P:batch:ID:open     set: numbers of the items that are jobs which have not ended
    P:batch:ID:failed   set: numbers of the items that failed
    P:batches           sorted set: batches that have not ended, by the end of their expiry
    P:batches:CALLER    sorted set: the same of one caller, those that are being received included

The items become jobs block by block, a bounded number ahead of those that have ended. A number is
in `open` from the moment in which its job is created; taking it out counts the job, once.
"""

from poster_service.jobs.scripts import COMMON, ENDS

#: Of a batch that is being received; those that its caller has already are known for longer.
_RECEIVING = """
local batch, seconds, caller, longer = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local B, own = P .. ':batch:' .. batch, P .. ':batches:' .. caller
local function count_it()
    redis.call('ZADD', own, now + tonumber(seconds), batch)
    redis.call('EXPIRE', own, longer)
end
"""
_BATCH = (
    COMMON
    + ENDS
    + """
local batch, seconds = ARGV[3], ARGV[4]
local B = batch_key(batch)
local function count(name) return count_of(batch, name) end
local function renew()
    for _, key in ipairs({B, B .. ':blocks', B .. ':open', B .. ':failed'}) do
        redis.call('EXPIRE', key, seconds)
    end
    local until_ = now + tonumber(seconds)
    local own = P .. ':batches:' .. redis.call('HGET', B, 'caller')
    redis.call('ZADD', P .. ':batches', until_, batch)
    redis.call('EXPIRE', P .. ':batches', seconds)
    redis.call('ZADD', own, until_, batch)
    redis.call('EXPIRE', own, seconds)
end
"""
)

#: Begin to receive a batch. ARGV: batch, seconds, caller, seconds of accepted ones, most batches.
#: Returns whether there is room for it; also where it has begun, and the answer to that was lost.
BEGIN = (
    COMMON
    + _RECEIVING
    + """
redis.call('ZREMRANGEBYSCORE', own, '-inf', now)
if redis.call('ZSCORE', own, batch) then return 1 end
if redis.call('ZCARD', own) >= tonumber(ARGV[7]) then return 0 end
count_it()
redis.call('HSET', B, 'id', batch, 'caller', caller, 'state', 'receiving')
redis.call('EXPIRE', B, seconds)
return 1
"""
)

#: A sign of life of the receiver of a batch. ARGV: batch, seconds, caller, seconds of accepted
#: ones. Returns whether it is known.
RENEW = (
    COMMON
    + _RECEIVING
    + """
if redis.call('HGET', B, 'state') ~= 'receiving' then return 0 end
redis.call('EXPIRE', B, seconds)
redis.call('EXPIRE', B .. ':blocks', seconds)
count_it()
return 1
"""
)

#: Forget a batch that was not received to its end. One of which there are jobs stays: it was
#: accepted, and the answer to that was lost. ARGV: batch, seconds, caller.
ABORT = (
    COMMON
    + _RECEIVING
    + """
if tonumber(redis.call('HGET', B, 'begun') or '0') > 0 then return 0 end
redis.call('DEL', B, B .. ':blocks')
redis.call('ZREM', P .. ':batches', batch)
redis.call('ZREM', own, batch)
return 1
"""
)

#: Accept a batch that was received. ARGV: batch, seconds, name of the idempotency key or '',
#: fingerprint, fields and values. Returns {what, id}: new, also where the answer to that was lost;
#: same, other or gone, and nothing changed.
COMMIT = (
    _BATCH
    + """
local name, fingerprint = ARGV[5], ARGV[6]
local caller = redis.call('HGET', B, 'caller')
if not caller then return {'gone', batch} end
if redis.call('HGET', B, 'state') ~= 'receiving' then return {'new', batch} end
local key = P .. ':key:' .. caller .. ':' .. name
local known = name ~= '' and redis.call('GET', key)
if known then
    local other, of = string.match(known, '^(%S+) (%S+)$')
    if redis.call('EXISTS', P .. ':batch:' .. other) == 1 then
        return {of == fingerprint and 'same' or 'other', other}
    end
end
if name ~= '' then redis.call('SET', key, batch .. ' ' .. fingerprint, 'EX', seconds) end
for i = 7, #ARGV, 2 do redis.call('HSET', B, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', B, 'state', 'running', 'created', ARGV[2], 'fed', '0')
renew()
close_if_ended(batch)
return {'new', batch}
"""
)

#: Make jobs of a block. ARGV: batch, seconds, number of the block, then of each item its number and
#: its packed request. Returns whether it was this block's turn.
FEED = (
    _BATCH
    + """
if redis.call('HGET', B, 'state') ~= 'running' or redis.call('HGET', B, 'fed') ~= ARGV[5] then
    return 0
end
local caller = redis.call('HGET', B, 'caller')
local trace = redis.call('HGET', B, 'trace') or ''
for i = 6, #ARGV, 2 do
    local id = batch .. '-' .. ARGV[i]
    redis.call('HSET', job_key(id), 'id', id, 'caller', caller, 'state', 'queued',
        'created', ARGV[2], 'attempts', '0', 'batch', batch, 'trace', trace,
        'request', ARGV[i + 1])
    redis.call('EXPIRE', job_key(id), seconds)
    redis.call('SADD', B .. ':open', ARGV[i])
    enqueue(id, caller, 'item', false, seconds)
end
local items = math.floor((#ARGV - 5) / 2)
redis.call('HINCRBY', B, 'open', items)
redis.call('HINCRBY', B, 'begun', items)
redis.call('HINCRBY', B, 'fed', 1)
renew()
return 1
"""
)

#: Count the end of an item. ARGV: batch, seconds, number of the item, its state, open items below
#: which there is room for more. Returns {whether the end of the batch has to be announced, whether
#: there is room and something left to feed}.
ENDED = (
    _BATCH
    + """
local has_ended, is_left = count_end(batch, ARGV[5], ARGV[6], seconds, ARGV[7])
return {has_ended and 1 or 0, is_left and 1 or 0}
"""
)

#: Note that the end of a batch has been announced. ARGV: batch, seconds.
BATCH_ANNOUNCED = (
    _BATCH
    + """
if redis.call('EXISTS', B) == 1 then redis.call('HSET', B, 'announced', '1') end
return 1
"""
)

#: Cancel a batch. ARGV: batch, seconds. Returns {state that it had, numbers of open items}.
CANCEL_BATCH = (
    _BATCH
    + """
local state = redis.call('HGET', B, 'state') or ''
if state == 'running' then
    redis.call('HSET', B, 'state', 'cancelled')
    redis.call('HINCRBY', B, 'cancelled', count('total') - count('begun'))
    redis.call('HSET', B, 'begun', count('total'))
    close_if_ended(batch)
end
return {state, redis.call('SMEMBERS', B .. ':open')}
"""
)

#: Queue failed items again. ARGV: batch, seconds, most. Returns {state that the batch had, numbers
#: of the items that are queued again}.
RETRY = (
    _BATCH
    + """
local state, numbers = redis.call('HGET', B, 'state') or '', {}
if state ~= 'running' and state ~= 'done' then return {state, numbers} end
for _, number in ipairs(redis.call('SMEMBERS', B .. ':failed')) do
    local id = batch .. '-' .. number
    if #numbers >= tonumber(ARGV[5]) then break end
    if redis.call('HGET', job_key(id), 'request') then
        redis.call('HSET', job_key(id), 'state', 'queued', 'attempts', '0', 'created', ARGV[2])
        redis.call('HDEL', job_key(id), 'problem', 'finished', 'started', 'announced', 'ended_by',
            'ticket', 'deaths', 'unstored')
        redis.call('EXPIRE', job_key(id), seconds)
        redis.call('SREM', B .. ':failed', number)
        redis.call('SADD', B .. ':open', number)
        enqueue(id, redis.call('HGET', B, 'caller'), 'item', false, seconds)
        table.insert(numbers, number)
    end
end
if #numbers > 0 then
    redis.call('HINCRBY', B, 'failed', -#numbers)
    redis.call('HINCRBY', B, 'open', #numbers)
    if redis.call('HGET', B, 'finished') then redis.call('HINCRBY', B, 'round', 1) end
    redis.call('HSET', B, 'state', 'running')
    redis.call('HDEL', B, 'finished', 'announced')
    renew()
end
return {state, numbers}
"""
)
