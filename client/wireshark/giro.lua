-- SPDX-License-Identifier: Apache-2.0
--
-- Wireshark's view of giro's wire protocol, version 1 (docs/protocol.md). Wireshark 4.0 or later.
--
--   tshark -X lua_script:giro.lua -r capture.pcapng -Y 'giro.account.id == "1001"'
--   or copy it into the folder "Personal Lua Plugins" of Help > About Wireshark > Folders
--
-- What to filter by:
--   giro.transfer.id == "0190a5b0-1c00-7001-8000-000000000001"   a transfer: request and reply
--   giro.operation.id, giro.account.id                           likewise; ids as `giro` prints them
--   giro.result.status == 34, giro.status == 26                  of a record; of a whole datagram
--   giro.response_time > 0.01                                    seconds, on the reply
--   giro.repeat_of                                               datagrams sent again
--   giro.malformed.any                                           what breaks the protocol
--
-- A datagram is taken for giro's on UDP port 7400, and anywhere by its magic.

local giro = Proto("giro", "giro transfer engine")

local HEADER_BYTES = 32
local DATAGRAM_MAX = 8972
local VERSION = 1
local MAGIC = 0x4f524947

local KIND = {
	[1] = "INFO", [2] = "TRANSFER", [3] = "ACCOUNT", [4] = "LOOKUP_ACCOUNT",
	[5] = "LOOKUP_TRANSFER",
}
local REQUEST_BYTES = {1216, 64, 64, 64, 64}
local RESULT_BYTES = {1216, 16, 16, 64, 16}

local ACTION = {[1] = "create", [2] = "freeze", [3] = "unfreeze", [4] = "close"}

local STATUS = {
	[0] = "OK", [1] = "BAD_VERSION", [2] = "BAD_KIND", [3] = "BAD_COUNT",
	[10] = "RESERVED_NOT_ZERO", [11] = "BAD_ACTION", [12] = "ACCOUNT_ZERO",
	[13] = "SAME_ACCOUNT", [14] = "AMOUNT_ZERO", [15] = "LEDGER_ZERO", [16] = "FLOOR_POSITIVE",
	[20] = "WRONG_SHARD", [21] = "PENDING", [22] = "ID_EXPIRED", [23] = "ID_AHEAD",
	[24] = "ID_REUSED", [25] = "TRANSFER_NOT_FOUND", [26] = "BUSY",
	[30] = "DEBIT_NOT_FOUND", [31] = "DEBIT_LEDGER_MISMATCH", [32] = "DEBIT_CLOSED",
	[33] = "DEBIT_FROZEN", [34] = "INSUFFICIENT_FUNDS",
	[40] = "CREDIT_NOT_FOUND", [41] = "CREDIT_LEDGER_MISMATCH", [42] = "CREDIT_CLOSED",
	[43] = "CREDIT_FROZEN", [44] = "CREDIT_OVERFLOW", [45] = "TRY_TIMEOUT",
	[50] = "ACCOUNT_EXISTS", [51] = "ACCOUNT_DIFFERS", [52] = "ACCOUNT_NOT_FOUND",
	[53] = "ACCOUNT_ALREADY_CLOSED", [54] = "ACCOUNT_NOT_EMPTY",
}

local F = {
	checksum = ProtoField.uint64("giro.checksum", "Checksum", base.HEX),
	checksum_good = ProtoField.bool("giro.checksum.good", "Checksum is right"),
	magic = ProtoField.uint32("giro.magic", "Magic", base.HEX),
	version = ProtoField.uint8("giro.version", "Version"),
	reply = ProtoField.bool("giro.reply", "Reply", 8, nil, 0x80),
	kind = ProtoField.uint8("giro.kind", "Kind", base.DEC, KIND, 0x7f),
	count = ProtoField.uint16("giro.count", "Records"),
	request_id = ProtoField.uint64("giro.request_id", "Request id", base.HEX),
	map_version = ProtoField.uint32("giro.map_version", "Slot map version"),
	status = ProtoField.uint16("giro.status", "Status of the datagram", base.DEC, STATUS),
	retry_after = ProtoField.uint16("giro.retry_after_ms", "Retry after (ms)"),

	record = ProtoField.none("giro.record", "Record"),
	transfer_id = ProtoField.string("giro.transfer.id", "Transfer"),
	transfer_debit = ProtoField.string("giro.transfer.debit", "Debit account"),
	transfer_credit = ProtoField.string("giro.transfer.credit", "Credit account"),
	transfer_amount = ProtoField.uint64("giro.transfer.amount", "Amount"),
	transfer_ledger = ProtoField.uint32("giro.transfer.ledger", "Ledger"),
	transfer_code = ProtoField.uint16("giro.transfer.code", "Code"),
	transfer_flags = ProtoField.uint16("giro.transfer.flags", "Flags", base.HEX),

	operation_id = ProtoField.string("giro.operation.id", "Operation"),
	operation_account = ProtoField.string("giro.operation.account", "Account"),
	operation_floor = ProtoField.int64("giro.operation.floor", "Floor"),
	operation_ledger = ProtoField.uint32("giro.operation.ledger", "Ledger"),
	operation_action = ProtoField.uint16("giro.operation.action", "Action", base.DEC, ACTION),
	operation_flags = ProtoField.uint16("giro.operation.flags", "Flags", base.HEX),
	reserved = ProtoField.bytes("giro.reserved", "Reserved"),

	result_status = ProtoField.uint16("giro.result.status", "Status", base.DEC, STATUS),
	result_retry_after = ProtoField.uint16("giro.result.retry_after_ms", "Retry after (ms)"),
	result_epoch = ProtoField.uint64("giro.result.epoch", "Epoch"),

	-- of any record: all accounts that it names
	account_id = ProtoField.string("giro.account.id", "Account"),
	account_balance = ProtoField.int64("giro.account.balance", "Balance"),
	account_held = ProtoField.uint64("giro.account.held", "Held"),
	account_incoming = ProtoField.uint64("giro.account.incoming", "Incoming"),
	account_floor = ProtoField.int64("giro.account.floor", "Floor"),
	account_ledger = ProtoField.uint32("giro.account.ledger", "Ledger"),
	account_flags = ProtoField.uint16("giro.account.flags", "Flags", base.HEX),
	account_frozen = ProtoField.bool("giro.account.frozen", "Frozen", 16, nil, 0x1),
	account_closed = ProtoField.bool("giro.account.closed", "Closed", 16, nil, 0x2),

	info_version_min = ProtoField.uint16("giro.info.version_min", "Lowest version"),
	info_version_max = ProtoField.uint16("giro.info.version_max", "Highest version"),
	info_shards = ProtoField.uint16("giro.info.shards", "Shards"),
	info_first_slot = ProtoField.uint16("giro.info.first_slot", "First slot of the page"),
	info_datagram_max = ProtoField.uint16("giro.info.datagram_max", "Largest payload (bytes)"),
	info_records_max = ProtoField.uint16("giro.info.records_max", "Most records"),
	info_window = ProtoField.uint64("giro.info.window_ms", "Window (ms)"),
	info_ahead = ProtoField.uint64("giro.info.ahead_ms", "Ahead (ms)"),
	info_now = ProtoField.uint64("giro.info.now_ms", "Clock (Unix ms)"),
	info_committed = ProtoField.uint64("giro.info.committed", "Durable epoch"),
	info_log_id = ProtoField.uint64("giro.info.log_id", "Log", base.HEX),
	info_accounts_max = ProtoField.uint64("giro.info.accounts_max", "Accounts a shard"),
	info_port = ProtoField.uint16("giro.info.port", "UDP port"),
	info_slots = ProtoField.bytes("giro.info.slots", "Shards of the slots"),

	response_in = ProtoField.framenum("giro.response_in", "Reply in", base.NONE,
		frametype.RESPONSE),
	response_to = ProtoField.framenum("giro.response_to", "Request in", base.NONE,
		frametype.REQUEST),
	response_time = ProtoField.relative_time("giro.response_time", "Response time"),
	repeat_of = ProtoField.framenum("giro.repeat_of", "Repeat of the datagram in", base.NONE,
		frametype.RETRANS_PREV),
}
giro.fields = F

local function broken(name, text)
	return ProtoExpert.new("giro.malformed." .. name, text, expert.group.MALFORMED,
		expert.severity.ERROR)
end
local E = {
	short = broken("short", "Shorter than a header"),
	long = broken("long", "Longer than any giro datagram"),
	magic = broken("magic", "The magic is not GIRO"),
	checksum = ProtoExpert.new("giro.malformed.checksum", "Wrong checksum", expert.group.CHECKSUM,
		expert.severity.ERROR),
	version = broken("version", "Not a version that this dissector knows"),
	kind = broken("kind", "Unknown kind"),
	count = broken("count", "Count and length disagree, or the count is 0"),
	header = broken("header", "A header field that must be 0 is not"),
	reserved = broken("reserved", "A reserved field is not 0"),
	page = broken("page", "No page of the slot map begins there"),
	malformed = broken("any", "Breaks the protocol"),
	repeated = ProtoExpert.new("giro.note.repeat", "Sent again", expert.group.SEQUENCE,
		expert.severity.NOTE),
	refused = ProtoExpert.new("giro.note.refused", "The whole datagram is refused",
		expert.group.RESPONSE_CODE, expert.severity.NOTE),
}
giro.experts = E

giro.prefs.checksum = Pref.bool("Verify checksums", true,
	"Compute XXH3-64 of each datagram, which is slow in Lua")

-- XXH3-64, seed 0, of 17 bytes and more: what the protocol needs.

local SECRET = (
	"b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221" ..
	"b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" ..
	"a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb" ..
	"170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
	):gsub("..", function(byte) return string.char(tonumber(byte, 16)) end)

local function hex(text)
	return UInt64.fromhex(text)
end
local LOW = hex("00000000ffffffff")
local P32_1, P32_2, P32_3 = hex("9E3779B1"), hex("85EBCA77"), hex("C2B2AE3D")
local P64_1, P64_2, P64_3 = hex("9E3779B185EBCA87"), hex("C2B2AE3D27D4EB4F"), hex("165667B19E3779F9")
local P64_4, P64_5 = hex("85EBCA77C2B2AE63"), hex("27D4EB2F165667C5")
local MIX = hex("165667919E3779F9")

local function word(bytes, at) -- at: from 0
	return UInt64.decode(bytes:sub(at + 1, at + 8), true)
end

local function fold(a, b)
	local a0, a1, b0, b1 = a:band(LOW), a:rshift(32), b:band(LOW), b:rshift(32)
	local cross = a0 * b1
	local middle = (a0 * b0):rshift(32) + cross:band(LOW) + a1 * b0
	return (a * b):bxor(a1 * b1 + cross:rshift(32) + middle:rshift(32))
end

local function finish(value)
	value = value:bxor(value:rshift(37)) * MIX
	return value:bxor(value:rshift(32))
end

local function mix(bytes, at, secret)
	return fold(word(bytes, at):bxor(word(SECRET, secret)),
		word(bytes, at + 8):bxor(word(SECRET, secret + 8)))
end

local function stripe(lanes, bytes, at, secret)
	for lane = 0, 7 do
		local value = word(bytes, at + 8 * lane)
		local key = value:bxor(word(SECRET, secret + 8 * lane))
		local other = lane % 2 == 0 and lane + 1 or lane - 1
		lanes[other] = lanes[other] + value
		lanes[lane] = lanes[lane] + key:band(LOW) * key:rshift(32)
	end
end

local function hash_long(bytes)
	local size = #bytes
	local lanes = {[0] = P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1}
	for at = 0, math.floor((size - 1) / 64) * 64 - 1, 64 do
		stripe(lanes, bytes, at, at / 64 % 16 * 8)
		if at % 1024 == 960 then
			for lane = 0, 7 do
				local value = lanes[lane]
				lanes[lane] = value:bxor(value:rshift(47)):bxor(
					word(SECRET, 128 + 8 * lane)) * P32_1
			end
		end
	end
	stripe(lanes, bytes, size - 64, 121)
	local total = P64_1 * size
	for pair = 0, 3 do
		total = total + fold(lanes[2 * pair]:bxor(word(SECRET, 11 + 16 * pair)),
			lanes[2 * pair + 1]:bxor(word(SECRET, 19 + 16 * pair)))
	end
	return finish(total)
end

local function xxh3(bytes)
	local size = #bytes
	if size > 240 then
		return hash_long(bytes)
	end
	local total = P64_1 * size
	if size <= 128 then
		for i = 0, math.floor((size - 1) / 32) do
			total = total + mix(bytes, 16 * i, 32 * i) +
				mix(bytes, size - 16 * (i + 1), 32 * i + 16)
		end
		return finish(total)
	end
	for i = 0, 7 do
		total = total + mix(bytes, 16 * i, 16 * i)
	end
	total = finish(total)
	for i = 8, math.floor(size / 16) - 1 do
		total = total + mix(bytes, 16 * i, 16 * (i - 8) + 3)
	end
	return finish(total + mix(bytes, size - 16, 119))
end

-- Requests and their replies. A request is known by its two ends and its request id.

local requests -- by key: {frame, time, reply, records}
local of_frame -- by frame number: the same

function giro.init()
	requests = {}
	of_frame = {}
end

local function key_of(pinfo, is_reply, request_id)
	local client = tostring(pinfo.src) .. " " .. pinfo.src_port
	local server = tostring(pinfo.dst) .. " " .. pinfo.dst_port
	if is_reply then
		client, server = server, client
	end
	return client .. " " .. server .. " " .. request_id
end

local function link(pinfo, is_reply, request_id)
	if pinfo.visited then
		return of_frame[pinfo.number]
	end
	local key = key_of(pinfo, is_reply, request_id)
	local request = requests[key]
	if is_reply then
		if request and not request.reply then
			request.reply = pinfo.number
		end
	elseif not request then
		request = {frame = pinfo.number, time = pinfo.rel_ts, records = {}}
		requests[key] = request
	end
	of_frame[pinfo.number] = request
	return request
end

local function show_link(tree, pinfo, is_reply, request)
	if not request then
		return
	end
	if is_reply then
		local elapsed = pinfo.rel_ts - request.time
		local seconds = math.floor(elapsed)
		tree:add(F.response_to, request.frame):set_generated()
		tree:add(F.response_time, NSTime.new(seconds, math.floor((elapsed - seconds) * 1e9 + 0.5)))
			:set_generated()
		return
	end
	if request.frame ~= pinfo.number then
		tree:add(F.repeat_of, request.frame):set_generated()
		tree:add_proto_expert_info(E.repeated)
	end
	if request.reply then
		tree:add(F.response_in, request.reply):set_generated()
	end
end

-- Records. Each function fills the record's tree, returns a line about it, and may note in `of`
-- what its reply's result is about.

local function id_text(range)
	local low, high = range(0, 8):le_uint64(), range(8, 8):le_uint64()
	if high == UInt64(0) then
		return tostring(low)
	end
	local text = high:tohex() .. low:tohex()
	return text:sub(1, 8) .. "-" .. text:sub(9, 12) .. "-" .. text:sub(13, 16) .. "-" ..
		text:sub(17, 20) .. "-" .. text:sub(21)
end

local function add_id(tree, field, range)
	local text = id_text(range)
	tree:add(field, range, text)
	return text
end

-- Also under the name by which any account is found.
local function add_account(tree, field, range)
	local text = add_id(tree, field, range)
	tree:add(F.account_id, range, text):set_generated()
	return text
end

local function mark(tree, fault, text)
	if text then
		tree:add_proto_expert_info(fault, text)
	else
		tree:add_proto_expert_info(fault)
	end
	tree:add_proto_expert_info(E.malformed)
end

local function add_reserved(tree, range)
	local item = tree:add(F.reserved, range)
	if range:bytes():tohex():find("[^0]") then
		mark(item, E.reserved)
	end
end

local function add_zero(tree, field, range)
	local item = tree:add_le(field, range)
	if range:le_uint() ~= 0 then
		mark(item, E.reserved)
	end
end

local request_record = {
	[1] = function(tree, record)
		local item = tree:add_le(F.info_first_slot, record(0, 2))
		local first = record(0, 2):le_uint()
		if first % 1024 ~= 0 or first >= 4096 then
			mark(item, E.page)
		end
		add_reserved(tree, record(2))
		return "slots from " .. first
	end,
	[2] = function(tree, record, of)
		of.transfer = add_id(tree, F.transfer_id, record(0, 16))
		of.debit = add_account(tree, F.transfer_debit, record(16, 16))
		of.credit = add_account(tree, F.transfer_credit, record(32, 16))
		tree:add_le(F.transfer_amount, record(48, 8))
		tree:add_le(F.transfer_ledger, record(56, 4))
		tree:add_le(F.transfer_code, record(60, 2))
		add_zero(tree, F.transfer_flags, record(62, 2))
		return of.transfer .. ": " .. of.debit .. " pays " .. of.credit .. " " ..
			tostring(record(48, 8):le_uint64())
	end,
	[3] = function(tree, record, of)
		of.operation = add_id(tree, F.operation_id, record(0, 16))
		of.account = add_account(tree, F.operation_account, record(16, 16))
		tree:add_le(F.operation_floor, record(32, 8))
		tree:add_le(F.operation_ledger, record(40, 4))
		tree:add_le(F.operation_action, record(44, 2))
		add_zero(tree, F.operation_flags, record(46, 2))
		add_reserved(tree, record(48, 16))
		local action = record(44, 2):le_uint()
		return of.operation .. ": " .. (ACTION[action] or "action " .. action) .. " " .. of.account
	end,
	[4] = function(tree, record, of)
		of.account = add_id(tree, F.account_id, record(0, 16))
		add_reserved(tree, record(16, 48))
		return "account " .. of.account
	end,
	[5] = function(tree, record, of)
		of.transfer = add_id(tree, F.transfer_id, record(0, 16))
		of.debit = add_account(tree, F.transfer_debit, record(16, 16))
		add_reserved(tree, record(32, 32))
		return of.transfer .. " of " .. of.debit
	end,
}

local function status_text(number)
	return STATUS[number] or "status " .. number
end

-- What the request said of the record that this result is about.
local function add_subject(tree, of)
	local function say(field, text)
		if text then
			tree:add(field, text):set_generated()
		end
	end
	say(F.transfer_id, of.transfer)
	say(F.transfer_debit, of.debit)
	say(F.transfer_credit, of.credit)
	say(F.operation_id, of.operation)
	say(F.account_id, of.account or of.debit)
	say(F.account_id, of.credit)
end

local function result(tree, record, of)
	tree:add_le(F.result_status, record(0, 2))
	tree:add_le(F.result_retry_after, record(2, 2))
	add_reserved(tree, record(4, 4))
	tree:add_le(F.result_epoch, record(8, 8))
	add_subject(tree, of)
	local subject = of.transfer or of.operation
	return status_text(record(0, 2):le_uint()) .. (subject and ", " .. subject or ""),
		record(0, 2):le_uint()
end

local function account(tree, record)
	local id = add_id(tree, F.account_id, record(0, 16))
	local flags = record(54, 2)
	tree:add_le(F.account_balance, record(16, 8))
	tree:add_le(F.account_held, record(24, 8))
	tree:add_le(F.account_incoming, record(32, 8))
	tree:add_le(F.account_floor, record(40, 8))
	tree:add_le(F.account_ledger, record(48, 4))
	tree:add_le(F.result_status, record(52, 2))
	local item = tree:add_le(F.account_flags, flags)
	item:add_le(F.account_frozen, flags)
	item:add_le(F.account_closed, flags)
	tree:add_le(F.result_epoch, record(56, 8))
	local status = record(52, 2):le_uint()
	local text = "account " .. id .. ": " .. status_text(status)
	if status == 0 then
		text = text .. ", balance " .. tostring(record(16, 8):le_int64())
	end
	return text, status
end

local function info(tree, record)
	local shards = record(4, 2):le_uint()
	tree:add_le(F.info_version_min, record(0, 2))
	tree:add_le(F.info_version_max, record(2, 2))
	tree:add_le(F.info_shards, record(4, 2))
	tree:add_le(F.info_first_slot, record(6, 2))
	tree:add_le(F.info_datagram_max, record(8, 2))
	tree:add_le(F.info_records_max, record(10, 2))
	add_reserved(tree, record(12, 4))
	tree:add_le(F.info_window, record(16, 8))
	tree:add_le(F.info_ahead, record(24, 8))
	tree:add_le(F.info_now, record(32, 8))
	tree:add_le(F.info_committed, record(40, 8))
	tree:add_le(F.info_log_id, record(48, 8))
	tree:add_le(F.info_accounts_max, record(56, 8))
	local used = math.min(shards, 64)
	for shard = 0, used - 1 do
		tree:add_le(F.info_port, record(64 + 2 * shard, 2)):append_text(" of shard " .. shard)
	end
	if used < 64 then
		add_reserved(tree, record(64 + 2 * used, 2 * (64 - used)))
	end
	tree:add(F.info_slots, record(192, 1024))
	return shards .. " shards, slots from " .. record(6, 2):le_uint(), 0
end

local reply_record = {[1] = info, [2] = result, [3] = result, [4] = account, [5] = result}

local function dissect_records(payload, tree, kind, is_reply, count, request)
	local bytes = (is_reply and RESULT_BYTES or REQUEST_BYTES)[kind]
	local dissect = (is_reply and reply_record or request_record)[kind]
	local tally, names, only = {}, {}, nil
	for i = 0, count - 1 do
		local record = payload(HEADER_BYTES + i * bytes, bytes)
		local item = tree:add(F.record, record)
		local of = request and request.records[i] or {}
		local text, status = dissect(item, record, of)
		if request and not is_reply then
			request.records[i] = of
		end
		item:set_text("Record " .. i .. ": " .. text)
		only = text
		if status then
			if not tally[status] then
				names[#names + 1] = status
			end
			tally[status] = (tally[status] or 0) + 1
		end
	end
	if count == 1 then
		return only
	end
	local parts = {count .. " records"}
	for _, status in ipairs(names) do
		parts[#parts + 1] = tally[status] .. " " .. status_text(status)
	end
	return table.concat(parts, ", ")
end

-- The header. Returns false when the records behind it cannot be told apart.
local function check(payload, tree, kind, is_reply, count)
	local size = payload:len()
	local status = payload(28, 2):le_uint()
	local bytes = (is_reply and RESULT_BYTES or REQUEST_BYTES)[kind]
	local sound = true
	local function fault(which, text)
		mark(tree, which, text)
		sound = false
	end
	if payload(8, 4):le_uint() ~= MAGIC then
		fault(E.magic)
	end
	if payload(12, 1):uint() ~= VERSION then
		fault(E.version)
	end
	if not bytes and not (is_reply and count == 0) then
		fault(E.kind)
	end
	local refusal = is_reply and count == 0 and status ~= 0
	if size ~= HEADER_BYTES + count * (bytes or 0) or (count == 0 and not refusal) then
		fault(E.count, string.format("%d bytes are not a header and %d records", size, count))
	end
	if size > DATAGRAM_MAX then
		fault(E.long)
	end
	if not is_reply and (payload(24, 4):le_uint() ~= 0 or payload(28, 4):le_uint() ~= 0) or
		is_reply and count > 0 and status ~= 0 then
		mark(tree, E.header)
	end
	return sound
end

local function dissect_header(payload, tree)
	local kind = payload(13, 1)
	local checksum = tree:add_le(F.checksum, payload(0, 8))
	if giro.prefs.checksum and payload:len() <= DATAGRAM_MAX then
		local good = payload(0, 8):le_uint64() == xxh3(payload:raw(8, payload:len() - 8))
		tree:add(F.checksum_good, payload(0, 8), good):set_generated()
		if not good then
			mark(checksum, E.checksum)
		end
	end
	tree:add_le(F.magic, payload(8, 4))
	tree:add(F.version, payload(12, 1))
	tree:add(F.reply, kind)
	tree:add(F.kind, kind)
	tree:add_le(F.count, payload(14, 2))
	tree:add_le(F.request_id, payload(16, 8))
	tree:add_le(F.map_version, payload(24, 4))
	tree:add_le(F.status, payload(28, 2))
	tree:add_le(F.retry_after, payload(30, 2))
end

function giro.dissector(payload, pinfo, root)
	local size = payload:captured_len()
	local tree = root:add(giro, payload())
	pinfo.cols.protocol = "giro"
	if size < HEADER_BYTES then
		mark(tree, E.short)
		pinfo.cols.info = "malformed: " .. size .. " bytes"
		return size
	end
	local byte = payload(13, 1):uint()
	local is_reply, kind = byte >= 0x80, byte % 0x80
	local count, status = payload(14, 2):le_uint(), payload(28, 2):le_uint()
	dissect_header(payload, tree)
	local sound = check(payload, tree, kind, is_reply, count)
	local request = link(pinfo, is_reply, payload(16, 8):le_uint64():tohex())
	show_link(tree, pinfo, is_reply, request)

	local text
	if not sound then
		text = "malformed"
	elseif count == 0 then
		tree:add_proto_expert_info(E.refused, "The whole datagram is refused: " ..
			status_text(status))
		text = status_text(status)
	else
		text = dissect_records(payload, tree, kind, is_reply, count, request)
	end
	local repeated = request and not is_reply and request.frame ~= pinfo.number
	pinfo.cols.info = (KIND[kind] or "kind " .. kind) .. (is_reply and " reply" or " request") ..
		(repeated and ", again" or "") .. ": " .. text
	return size
end

local function heuristic(payload, pinfo, root)
	if payload:captured_len() < HEADER_BYTES or payload(8, 4):le_uint() ~= MAGIC then
		return false
	end
	giro.dissector(payload, pinfo, root)
	return true
end

DissectorTable.get("udp.port"):add(7400, giro)
giro:register_heuristic("udp", heuristic)
