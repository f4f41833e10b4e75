/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint, damaged or forged. Input: one byte of choices; the length of a program; the program,
 * whose first byte chooses sizes, see ledger.c; then changes of four bytes each: place (two bytes,
 * in multiples of what fits), how, and a value.
 *
 *   bits 0..1   0: as it was written; 1: changed; 2: and its hashes made again;
 *               3: and the digests made again, so that only the contents are left to judge
 *   bit  2      the rest of the input is the first shard's state, instead of changes to it
 *
 * What was not changed is taken and gives the same digests; what is damaged is refused; what is
 * refused leaves empty shards behind; what is taken can be written and taken again.
 */
#include <errno.h>
#include <stdlib.h>

#include "replay/checkpoint.h"
#include "replay/meta.h"
#include "replay/snapshot.h"
#include "tests/fuzz/ledger.h"
#include "tests/fuzz/memory_file.h"

#define IMAGE_MAX (256u << 10)
#define SEQ	  7

enum { AS_IT_WAS, DAMAGED, SEALED, DIGESTED };
enum { TAKEN_AS_IT_WAS, TAKEN_FORGED, TAKEN_COORDINATORS, TAKEN_PARTICIPANTS, REFUSALS };

struct fuzz_branch fuzz_branches[] = {
    [TAKEN_AS_IT_WAS] = {"taken as it was written", 0},
    [TAKEN_FORGED] = {"taken, forged", 0},
    [TAKEN_COORDINATORS] = {"taken, with coordinator's rows", 0},
    [TAKEN_PARTICIPANTS] = {"taken, with participant's rows", 0},
    {"it is none", 0},
    {"its header's checksum does not match", 0},
    {"it is of another version", 0},
    {"its name is not that of its block", 0},
    {"its header's fields contradict each other", 0},
    {"it is of another log", 0},
    {"the meta has the wrong size", 0},
    {"the meta is not giro's", 0},
    {"it has the wrong size", 0},
    {"its contents' hash does not match", 0},
    {"a shard is not at its block's epoch", 0},
    {"a shard's digest is not the one it says", 0},
    {"it is of another number of shards or another window", 0},
    {"it is too short for its links", 0},
    {"it has more rows under way than the tables hold", 0},
    {"it is too short for its window", 0},
    {"a generation of its window is out of place", 0},
    {"a generation of its window is of the future", 0},
    {"its window does not fit", 0},
    {"it is too short for its accounts", 0},
    {"an account is zero or there twice", 0},
    {"its accounts do not fit", 0},
    {"it is too short for its outcomes", 0},
    {"an outcome is out of place or there twice", 0},
    {"a coordinator's row is none", 0},
    {"a coordinator's row is not of its transfer", 0},
    {"a coordinator's row is out of place", 0},
    {"it is too short for its rows", 0},
    {"a participant's row is none", 0},
    {"a participant's row is out of place", 0},
    {"the places that its window promises are not those of its rows", 0},
    {"it is too long", 0},
    {"is not used: it is too short", 0},
    {".checkpoint is too short", 0},
    {"written with another window_s or ahead_s", 0},
    {"written with larger accounts, rows or ids_per_second", 0},
    {"it has another number of shards", 0},
    {"the meta", 0},
    {" must be ", 0},
    {"ahead must not exceed the window", 0},
    {NULL, 0},
};

struct image {
	uint8_t *bytes; /* the header's page, then the states */
	size_t size;
	struct shard_limits limits;
};

static bool append(void *context, const void *bytes, size_t size)
{
	struct image *image = context;

	if (image->size + size > IMAGE_MAX)
		return false;
	memcpy(image->bytes + image->size, bytes, size);
	image->size += size;
	return true;
}

static struct checkpoint_header *header_of(const struct image *image)
{
	return (struct checkpoint_header *)image->bytes;
}

static void seal(struct image *image)
{
	struct checkpoint_header *header = header_of(image);

	if (image->size < WAL_PAGE)
		return;
	XXH128_hash_t hash = XXH3_128bits(image->bytes + WAL_PAGE, image->size - WAL_PAGE);
	header->payload_hash = (struct wal_hash){.lo = hash.low64, .hi = hash.high64};
	header->checksum = wal_header_checksum(header, sizeof(*header));
}

static void write_image(struct image *image, struct shard *const *shards)
{
	const struct snapshot_sink sink = {.context = image, .put = append};
	struct checkpoint_header *header = header_of(image);
	const struct log_meta meta = log_meta_from_limits(&image->limits);

	memset(image->bytes, 0, WAL_PAGE);
	image->size = WAL_PAGE;
	*header = (struct checkpoint_header){
	    .magic = CHECKPOINT_MAGIC,
	    .version = CHECKPOINT_VERSION,
	    .shards = image->limits.shards,
	    .log_id = LEDGER_LOG_ID,
	    .seq = SEQ,
	    .epoch = shards[0]->epoch,
	    .time_ms = shards[0]->now_ms,
	    .meta_bytes = sizeof(meta),
	};
	memcpy(header->meta, &meta, sizeof(meta));
	for (uint32_t i = 0; i < image->limits.shards; i++) {
		size_t before = image->size;
		CHECK(snapshot_write(shards[i], &sink));
		header->rows[i].bytes = image->size - before;
		header->rows[i].digest = shard_digest(shards[i]);
	}
	header->payload_bytes = image->size - WAL_PAGE;
	seal(image);
}

/* The digests that the shards will have, if their states can be read at all. */
static void digest_again(const struct image *image)
{
	struct checkpoint_header *header = header_of(image);
	struct shard *shards[LEDGER_SHARDS_MAX];
	size_t at = WAL_PAGE;

	ledger_make_shards(&image->limits, shards);
	for (uint32_t i = 0; i < image->limits.shards; i++) {
		size_t bytes = header->rows[i].bytes;
		if (image->size < at || bytes > image->size - at)
			break;
		if (snapshot_read(shards[i], image->bytes + at, bytes) == NULL)
			header->rows[i].digest = shard_digest(shards[i]);
		at += bytes;
	}
	ledger_free_shards(&image->limits, shards);
}

/* The first shard's state is what the input has. */
static void replace_state(struct image *image, struct fuzz_bytes *bytes)
{
	struct checkpoint_header *header = header_of(image);
	size_t rest = image->size - WAL_PAGE - header->rows[0].bytes;

	if (bytes->left > IMAGE_MAX / 2)
		bytes->left = IMAGE_MAX / 2;
	memmove(image->bytes + WAL_PAGE + bytes->left,
		image->bytes + WAL_PAGE + header->rows[0].bytes, rest);
	memcpy(image->bytes + WAL_PAGE, bytes->at, bytes->left);
	header->rows[0].bytes = bytes->left;
	header->payload_bytes = rest + bytes->left;
	image->size = WAL_PAGE + rest + bytes->left;
}

static void change(struct image *image, struct fuzz_bytes *bytes)
{
	size_t at = fuzz_take(bytes);
	at |= (size_t)fuzz_take(bytes) << 8;
	uint8_t how = fuzz_take(bytes);
	uint8_t value = fuzz_take(bytes);

	/* The states are where most of the interest lies. */
	at = how & 0x80 ? at % image->size : WAL_PAGE + at % (image->size - WAL_PAGE);
	switch (how & 3) {
	case 0:
		image->bytes[at] ^= value;
		break;
	case 1:
		image->bytes[at] = value;
		break;
	case 2:
		memset(image->bytes + at, value, image->size - at < 8 ? image->size - at : 8);
		break;
	default:
		image->size = how & 0x40 ? at : image->size - value;
		break;
	}
}

static bool are_empty(const struct shard_limits *limits, struct shard *const *shards)
{
	struct shard *fresh[LEDGER_SHARDS_MAX];
	bool same = true;

	ledger_make_shards(limits, fresh);
	for (uint32_t i = 0; i < limits->shards; i++) {
		struct shard_digest wanted = shard_digest(fresh[i]);
		struct shard_digest have = shard_digest(shards[i]);
		same &= wanted.lo == have.lo && wanted.hi == have.hi;
	}
	ledger_free_shards(limits, fresh);
	return same;
}

/* A state that was taken can be written down and taken again, and is the same. */
static void check_taken(struct image *image, struct shard *const *shards)
{
	struct checkpoint_header header;
	struct shard *twins[LEDGER_SHARDS_MAX];
	char error[WAL_TEXT_BYTES];

	for (uint32_t i = 0; i < image->limits.shards; i++) {
		for (uint32_t peer = 0; peer < image->limits.shards; peer++) {
			const struct phase_link *link = &shards[i]->phase.link[peer];
			if (phase_participant(&shards[i]->phase, peer, link->peer_low) != NULL)
				fuzz_reach(TAKEN_PARTICIPANTS);
		}
		if (shards[i]->phase.in_flight > 0)
			fuzz_reach(TAKEN_COORDINATORS);
	}
	write_image(image, shards);
	memory_file_set(0, image->bytes, image->size);
	ledger_make_shards(&image->limits, twins);
	CHECK(checkpoint_load("", SEQ, LEDGER_LOG_ID, twins, image->limits.shards, NULL, &header,
			      error) == 0);
	ledger_free_shards(&image->limits, twins);
}

static void load(struct image *image, unsigned mode, bool same)
{
	struct shard *shards[LEDGER_SHARDS_MAX];
	struct checkpoint_header header;
	char error[WAL_TEXT_BYTES] = "";

	memory_file_set(0, image->bytes, image->size);
	ledger_make_shards(&image->limits, shards);
	int result = checkpoint_load("", SEQ, LEDGER_LOG_ID, shards, image->limits.shards, NULL,
				     &header, error);
	CHECK(result == 0 || result == -EUCLEAN);
	if (result == 0) {
		CHECK(same || mode >= SEALED);
		fuzz_reach(same ? TAKEN_AS_IT_WAS : TAKEN_FORGED);
		check_taken(image, shards);
	} else {
		CHECK(!same && are_empty(&image->limits, shards));
		CHECK(strlen(error) < WAL_TEXT_BYTES && strchr(error, '\n') == NULL);
		fuzz_reach_text(REFUSALS, error);
	}
	ledger_free_shards(&image->limits, shards);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ledger_hooks no_hooks;
	static uint8_t before[IMAGE_MAX];
	struct fuzz_bytes bytes = {data, size};

	if (size < 3)
		return 0;
	uint8_t choice = fuzz_take(&bytes);
	size_t length = fuzz_take(&bytes);
	struct fuzz_bytes program = {bytes.at, length};
	if (program.left > bytes.left)
		program.left = bytes.left;
	bytes.at += program.left;
	bytes.left -= program.left;
	struct ledger *ledger = ledger_new(fuzz_take(&program), &no_hooks);
	ledger_run(ledger, &program);
	ledger_turn(ledger, 1);

	unsigned mode = choice & 3;
	struct image image = {.bytes = malloc(IMAGE_MAX), .limits = ledger->limits};
	CHECK(image.bytes != NULL);
	write_image(&image, ledger->shards);
	size_t before_size = image.size;
	memcpy(before, image.bytes, image.size);
	if (mode != AS_IT_WAS && choice & 4)
		replace_state(&image, &bytes);
	while (mode != AS_IT_WAS && bytes.left >= 4 && image.size > WAL_PAGE)
		change(&image, &bytes);
	bool same = image.size == before_size && memcmp(before, image.bytes, image.size) == 0;
	if (!same && mode == DIGESTED)
		digest_again(&image);
	if (!same && mode >= SEALED)
		seal(&image);
	load(&image, mode, same);
	free(image.bytes);
	ledger_free(ledger);
	return 0;
}
