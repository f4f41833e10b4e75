/* SPDX-License-Identifier: Apache-2.0
 *
 * The start screen and the closing report.
 */
#include <inttypes.h>

#include <rte_lcore.h>

#include "engine/engine.h"

static void describe_cores(const struct engine *engine, FILE *out)
{
	fprintf(out, "  cores     log writer on lcore %u (cpu %d)\n", rte_get_main_lcore(),
		rte_lcore_to_cpu_id((int)rte_get_main_lcore()));
	for (uint32_t w = 0; w < engine->workers; w++) {
		fprintf(out, "            worker %u on lcore %u (cpu %d): shards", w,
			engine->lcores[w].id, rte_lcore_to_cpu_id((int)engine->lcores[w].id));
		for (uint32_t i = 0; i < engine->config.limits.shards; i++) {
			if (engine->owner[i] == w)
				fprintf(out, " %u", i);
		}
		fprintf(out, "%s\n", engine->lcores[w].has_queue ? "" : "; no port queue");
	}
	fprintf(out, "            idle: %s\n", config_idle_name(engine->config.idle));
}

static void describe_shards(const struct engine *engine, FILE *out)
{
	const struct shard_limits *limits = &engine->config.limits;
	const struct engine_memory *memory = &engine->memory;

	fprintf(out,
		"  shards    %u on UDP ports %u..%u, each %" PRIu64 " accounts, window %" PRIu64
		" s at %" PRIu64 " ids/s, %u rows a peer\n",
		limits->shards, engine->config.udp_port,
		engine->config.udp_port + limits->shards - 1, limits->accounts_max,
		limits->window_ms / 1000, limits->ids_per_second, limits->rows);
	fprintf(out,
		"  memory    %" PRIu64 " MiB: shards %" PRIu64 ", log buffers %" PRIu64
		", workers %" PRIu64 ", rings %" PRIu64 ", mbufs %" PRIu64 " (%" PRIu64
		" MiB were available)\n",
		memory->needed >> 20, memory->shards >> 20, memory->log_buffers >> 20,
		memory->workers >> 20, memory->rings >> 20, memory->mbufs >> 20,
		memory->available >> 20);
}

static void describe_log(const struct engine *engine, FILE *out)
{
	const struct recovery *recovery = &engine->recovery;
	const struct wal_tail *tail = &recovery->writer.tail;

	fprintf(out,
		"  log       %s, id %016" PRIx64 ", segments of %" PRIu64
		" MiB, incarnation %" PRIu64 "\n",
		engine->config.log_path, recovery->log_id, engine->config.segment_bytes >> 20,
		tail->incarnation);
	fprintf(out,
		"            at segment %" PRIu64 " offset %" PRIu64 ", block %" PRIu64
		", epoch %" PRIu64 "; %u writes in flight, %u epochs\n",
		tail->segment, tail->offset, tail->next_seq, recovery->epoch, engine->config.writes,
		engine->config.epochs);
	if (recovery->fresh) {
		fprintf(out, "  recovery  a new log was begun\n");
		return;
	}
	fprintf(out,
		"  recovery  %" PRIu64 " blocks, %" PRIu64 " records, %" PRIu64
		" transfers replayed in %.3f s, every outcome equal; %s\n",
		recovery->counts.blocks, recovery->counts.records, recovery->counts.transfers,
		(double)engine->recovery_ms / 1000,
		recovery->clean	 ? "closed cleanly, state equal"
		: recovery->torn ? "torn tail cut"
				 : "not closed: the engine was killed");
	if (recovery->resumed)
		fprintf(out,
			"            from the checkpoint at epoch %" PRIu64
			": loaded in %.3f s, the log behind it replayed in %.3f s\n",
			recovery->checkpoint_epoch, (double)recovery->checkpoint_ms / 1000,
			(double)recovery->replay_ms / 1000);
	if (recovery->checkpoints_bad > 0)
		fprintf(out, "            %u bad checkpoints passed over: %s\n",
			recovery->checkpoints_bad, recovery->checkpoint_note);
	if (recovery->torn)
		fprintf(out, "            %s\n", recovery->note);
	if (recovery->rows_pending > 0)
		fprintf(out, "            %" PRIu64 " cross-shard transfers under way go on\n",
			recovery->rows_pending);
}

void engine_describe(const struct engine *engine, FILE *out)
{
	fprintf(out, "giro-engine\n");
	net_port_describe(&engine->port, out);
	describe_cores(engine, out);
	describe_shards(engine, out);
	describe_log(engine, out);
	fprintf(out, "ready on %u.%u.%u.%u, UDP port %u\n", engine->config.address[0],
		engine->config.address[1], engine->config.address[2], engine->config.address[3],
		engine->config.udp_port);
	fflush(out);
}

/* Where every frame went that came: taken in hand, answered at once, or dropped for a reason. */
static void report_frames(const struct engine *engine, FILE *out)
{
	struct net_port_stats port;
	uint64_t infos = 0;
	uint64_t refused = 0;
	uint64_t busy = 0;

	net_port_stats(&engine->port, &port);
	for (uint32_t w = 0; w < engine->workers; w++) {
		const struct worker_counts *counts = &engine->lcores[w].worker->counts;
		infos += counts->infos;
		refused += counts->refused;
		busy += counts->busy_requests;
	}
	fprintf(out,
		"frames: %" PRIu64 " received, %" PRIu64 " sent; answered at once: %" PRIu64
		" ARP and ping, %" PRIu64 " INFO, %" PRIu64 " refused as a whole, %" PRIu64
		" BUSY as a whole\n",
		port.received, port.sent, port.replied, infos, refused, busy);
	const struct {
		uint64_t count;
		const char *text;
	} device[] = {
	    {port.device_missed, "the device had no room for them"},
	    {port.device_no_buffer, "the device had no buffer free"},
	    {port.device_errors, "the device reports an error"},
	    {port.refused, "the device cannot send them"},
	};
	for (unsigned i = 0; i < sizeof(device) / sizeof(device[0]); i++) {
		if (device[i].count > 0)
			fprintf(out, "dropped: %" PRIu64 " frames: %s\n", device[i].count,
				device[i].text);
	}
	for (unsigned reason = 0; reason < NET_DROPS; reason++) {
		if (port.dropped[reason] > 0)
			fprintf(out, "dropped: %" PRIu64 " frames: %s\n", port.dropped[reason],
				net_drop_text(reason));
	}
	for (int fault = WIRE_FAULT_CHECKSUM; fault < 0; fault++) {
		uint64_t datagrams = 0;
		for (uint32_t w = 0; w < engine->workers; w++)
			datagrams += engine->lcores[w].worker->counts.faults[-fault];
		if (datagrams > 0)
			fprintf(out, "dropped: %" PRIu64 " datagrams: %s\n", datagrams,
				wire_fault_name(fault));
	}
}

void engine_report(const struct engine *engine, FILE *out)
{
	const struct wal_writer *wal = &engine->recovery.writer;
	uint64_t datagrams = 0;
	uint64_t replies = 0;
	uint64_t done = 0;

	for (uint32_t w = 0; w < engine->workers; w++) {
		datagrams += engine->lcores[w].worker->counts.datagrams;
		replies += engine->lcores[w].worker->counts.replies;
	}
	for (uint32_t i = 0; i < engine->config.limits.shards; i++)
		done += engine->shards[i]->events[SHARD_EVENT_LOCAL_DONE] +
			engine->shards[i]->events[SHARD_EVENT_CROSS_CONFIRMED];
	fprintf(out,
		"stopped: %" PRIu64 " datagrams, %" PRIu64 " replies, %" PRIu64
		" transfers done, %" PRIu64 " log blocks of %" PRIu64 " bytes on average\n",
		datagrams, replies, done, wal->counts.blocks,
		wal->counts.blocks > 0 ? wal->counts.bytes / wal->counts.blocks : 0);
	report_frames(engine, out);
	for (uint32_t w = 0; w < engine->workers; w++) {
		if (engine->lcores[w].clients->refused > 0)
			fprintf(out,
				"refused: %" PRIu64 " datagrams: over the limit of their client\n",
				engine->lcores[w].clients->refused);
	}
	fflush(out);
}
