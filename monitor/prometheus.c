/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/prometheus.h"

#include <stdbool.h>
#include <string.h>

#include "monitor/source.h"

/* One number of an answer as one metric. */
struct metric {
	const char *key; /* in the answer */
	const char *name;
	const char *type;
	const char *help;
	double scale; /* value = number * scale; 0 stands for 1 */
};

#define COUNT(of) (sizeof(of) / sizeof((of)[0]))

static const struct metric info_metrics[] = {
    {"started_ms", "giro_start_time_seconds", "gauge", "When the engine started, Unix time.", 1e-3},
    {"incarnation", "giro_log_incarnation", "gauge", "Starts that this log has seen.", 0},
    {"workers", "giro_workers", "gauge", "Worker cores.", 0},
    {"shards", "giro_shards", "gauge", "Shards.", 0},
    {"map_version", "giro_slot_map_version", "gauge", "Version of the slot map in force.", 0},
    {"shard_moves", "giro_shard_moves_total", "counter", "Times that shards got other workers.", 0},
    {"shard_moves_failed", "giro_shard_moves_failed_total", "counter",
     "Times that they stayed, since work under way did not end.", 0},
    {"shard_moves_refused_ns", "giro_shard_moves_refused_seconds_total", "counter",
     "For how long new work was answered BUSY for that.", 1e-9},
};

static const struct metric epoch_metrics[] = {
    {"open", "giro_epoch_open", "gauge", "Epoch that is being written into.", 0},
    {"committed", "giro_epoch_committed", "gauge", "Highest durable epoch.", 0},
    {"lag", "giro_epoch_lag", "gauge", "Epochs between the open and the durable one.", 0},
    {"slots", "giro_epoch_lag_limit", "gauge", "Largest lag: no epoch is opened beyond it.", 0},
};

static const struct metric log_metrics[] = {
    {"blocks", "giro_log_blocks_total", "counter", "Blocks written.", 0},
    {"bytes", "giro_log_written_bytes_total", "counter", "Bytes written, padding included.", 0},
    {"in_flight", "giro_log_writes_in_flight", "gauge", "Blocks not durable yet.", 0},
    {"oldest_write_ns", "giro_log_oldest_write_seconds", "gauge",
     "Age of the oldest block that is not durable yet; 0 without one.", 1e-9},
    {"segment", "giro_log_segment", "gauge", "Number of the segment that is written.", 0},
    {"offset", "giro_log_segment_used_bytes", "gauge", "Bytes of that segment in use.", 0},
    {"segment_bytes", "giro_log_segment_size_bytes", "gauge", "Bytes of a segment.", 0},
    {"has_space", "giro_log_has_space", "gauge", "1: new work is taken; 0: BUSY, disk full.", 0},
    {"refused_space", "giro_log_refused_space_total", "counter",
     "Times a block waited for a segment.", 0},
    {"empty_epochs", "giro_log_empty_epochs_total", "counter", "Epochs without a block.", 0},
};

static const struct metric worker_metrics[] = {
    {"loops", "giro_worker_loops_total", "counter", "Turns of the loop.", 0},
    {"loops_idle", "giro_worker_loops_idle_total", "counter", "Turns that found no work.", 0},
    {"no_room", "giro_worker_no_room_total", "counter",
     "Turns that took no input since the epoch's buffer was full.", 0},
    {"datagrams", "giro_worker_datagrams_total", "counter", "Requests taken in hand.", 0},
    {"replies", "giro_worker_replies_total", "counter", "Replies given out.", 0},
    {"infos", "giro_worker_infos_total", "counter", "INFO requests answered.", 0},
    {"bad_requests", "giro_worker_bad_requests_total", "counter", "Answered BAD_* as a whole.", 0},
    {"busy_requests", "giro_worker_busy_requests_total", "counter",
     "Answered BUSY as a whole: too many requests in hand.", 0},
    {"over_rate", "giro_worker_over_rate_total", "counter",
     "Requests whose new work was BUSY: more ids a second than configured.", 0},
    {"handed_over", "giro_worker_handed_over_total", "counter",
     "Requests handed to the worker that owns the shard.", 0},
    {"epochs", "giro_worker_epochs_total", "counter", "Epochs entered.", 0},
    {"caught_up", "giro_worker_caught_up_total", "counter",
     "Epochs entered because a message came from them.", 0},
    {"requests", "giro_worker_requests", "gauge", "Requests in hand.", 0},
    {"requests_max", "giro_worker_requests_limit", "gauge", "Most requests in hand.", 0},
    {"held", "giro_worker_held_replies", "gauge", "Replies that wait for their epoch.", 0},
    {"messages", "giro_worker_ring_messages", "gauge", "Messages between shards that wait.", 0},
    {"messages_max", "giro_worker_ring_messages_limit", "gauge", "Room for such messages.", 0},
    {"handover", "giro_worker_ring_handover", "gauge", "Packets of other workers that wait.", 0},
    {"tx_waiting", "giro_worker_tx_waiting", "gauge", "Frames that the device took not yet.", 0},
};

static const struct metric shard_metrics[] = {
    {"worker", "giro_shard_worker", "gauge", "Number of the worker that has the shard.", 0},
    {"refused", "giro_shard_insufficient_funds_total", "counter",
     "Transfers refused for want of funds.", 0},
    {"busy", "giro_shard_busy_total", "counter", "Records answered BUSY.", 0},
    {"accounts", "giro_shard_accounts", "gauge", "Accounts.", 0},
    {"accounts_max", "giro_shard_accounts_limit", "gauge", "Most accounts.", 0},
    {"window_ids", "giro_shard_window_ids", "gauge", "Ids remembered.", 0},
    {"window_ids_max", "giro_shard_window_ids_limit", "gauge", "Most ids remembered.", 0},
    {"window_fullest_ppm", "giro_shard_window_fullest_ratio", "gauge",
     "Fill of the fullest part of the window; at 1 new ids of its time get BUSY.", 1e-6},
    {"rows", "giro_shard_rows", "gauge", "Transfers to other shards under way.", 0},
    {"rows_fullest", "giro_shard_rows_fullest", "gauge", "Most of them to one shard.", 0},
    {"rows_max", "giro_shard_rows_limit", "gauge", "Limit for one shard; then BUSY.", 0},
};

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void value(FILE *out, double number)
{
	fprintf(out, " %.15g\n", number);
}

static double scaled(const struct metric *metric, const json_t *object)
{
	return monitor_number(object, metric->key) * (metric->scale != 0 ? metric->scale : 1);
}

/* A word of the engine's own: no quotes or backslashes in it. */
static const char *text(const json_t *object, const char *key)
{
	const char *string = json_string_value(json_object_get(object, key));

	return string != NULL && strpbrk(string, "\"\\\n") == NULL ? string : "";
}

/* Metrics of the one engine. */
static void write_single(FILE *out, const struct metric *metrics, size_t count,
			 const json_t *object)
{
	for (size_t i = 0; i < count; i++) {
		head(out, metrics[i].name, metrics[i].type, metrics[i].help);
		fputs(metrics[i].name, out);
		value(out, scaled(&metrics[i], object));
	}
}

/* Metrics of each worker or shard. */
static void write_each(FILE *out, const struct metric *metrics, size_t count, const char *label,
		       const json_t *objects)
{
	const json_t *object;
	size_t index;

	for (size_t i = 0; i < count; i++) {
		head(out, metrics[i].name, metrics[i].type, metrics[i].help);
		json_array_foreach (objects, index, object) {
			fprintf(out, "%s{%s=\"%zu\"}", metrics[i].name, label, index);
			value(out, scaled(&metrics[i], object));
		}
	}
}

/* What stands behind "group/" in a key, or NULL. */
static const char *behind(const char *key, const char *group)
{
	size_t length = strlen(group);

	return strncmp(key, group, length) == 0 && key[length] == '/' ? key + length + 1 : NULL;
}

/* All numbers of `group` of each object, as one metric with a label more. `own`: 'label="value",'
 * of the object's own; its %zu is the index. */
static void write_group(FILE *out, const char *name, const char *label, const char *group,
			json_t *object, const char *own, double scale)
{
	const char *key;
	const json_t *number;

	json_object_foreach (object, key, number) {
		const char *member = behind(key, group);
		if (member == NULL)
			continue;
		fprintf(out, "%s{%s%s=\"%s\"}", name, own, label, member);
		value(out, json_number_value(number) * scale);
	}
}

static void write_group_each(FILE *out, const char *name, const char *label, const char *group,
			     const json_t *objects, const char *own_label, double scale)
{
	json_t *object;
	size_t index;

	json_array_foreach (objects, index, object) {
		char own[64];
		snprintf(own, sizeof(own), "%s=\"%zu\",", own_label, index);
		write_group(out, name, label, group, object, own, scale);
	}
}

/* A histogram's samples. Of buckets that lie close, the first of each doubling is kept: a factor of
 * two is what percentiles on a dashboard need, and each bucket is a time series. `labels`: "" or
 * 'name="value"'. */
static void write_latency(FILE *out, const char *name, const char *labels, const json_t *object,
			  const json_t *ends)
{
	const json_t *buckets = json_object_get(object, "latency");
	const char *comma = *labels != '\0' ? "," : "";
	double kept = 0;
	double sum = 0;

	for (size_t i = 0; i < json_array_size(buckets); i++) {
		double end = json_number_value(json_array_get(ends, i));
		sum += json_number_value(json_array_get(buckets, i));
		if (i >= json_array_size(ends) || end < 2 * kept)
			continue;
		kept = end;
		fprintf(out, "%s_bucket{%s%sle=\"%.12g\"}", name, labels, comma, end * 1e-9);
		value(out, sum);
	}
	fprintf(out, "%s_bucket{%s%sle=\"+Inf\"}", name, labels, comma);
	value(out, sum);
	fprintf(out, *labels != '\0' ? "%s_sum{%s}" : "%s_sum%s", name, labels);
	value(out, monitor_number(object, "latency_sum_ns") * 1e-9);
	fprintf(out, *labels != '\0' ? "%s_count{%s}" : "%s_count%s", name, labels);
	value(out, sum);
}

/* Bursts come in exact sizes, 1 upwards. */
static void write_bursts(FILE *out, const char *name, size_t worker, const json_t *object)
{
	const json_t *bursts = json_object_get(object, "bursts");
	double count = 0;
	double frames = 0;

	for (size_t size = 1; size <= json_array_size(bursts); size++) {
		double number = json_number_value(json_array_get(bursts, size - 1));
		count += number;
		frames += number * (double)size;
		if ((size & (size - 1)) != 0)
			continue;
		fprintf(out, "%s_bucket{worker=\"%zu\",le=\"%zu\"}", name, worker, size);
		value(out, count);
	}
	fprintf(out, "%s_bucket{worker=\"%zu\",le=\"+Inf\"}", name, worker);
	value(out, count);
	fprintf(out, "%s_sum{worker=\"%zu\"}", name, worker);
	value(out, frames);
	fprintf(out, "%s_count{worker=\"%zu\"}", name, worker);
	value(out, count);
}

static void write_workers(FILE *out, const json_t *workers, const json_t *info)
{
	double cycle_s = 1 / monitor_number(info, "tsc_hz");
	const json_t *worker;
	size_t index;

	write_each(out, worker_metrics, COUNT(worker_metrics), "worker", workers);
	head(out, "giro_worker_time_seconds_total", "counter",
	     "Time by stage of the loop; all but idle is work.");
	write_group_each(out, "giro_worker_time_seconds_total", "stage", "cycles", workers,
			 "worker", cycle_s);
	head(out, "giro_worker_burst_frames", "histogram", "Frames in a receive burst.");
	json_array_foreach (workers, index, worker)
		write_bursts(out, "giro_worker_burst_frames", index, worker);
	head(out, "giro_request_seconds", "histogram",
	     "Time from a request's receive burst to the release of its reply.");
	json_array_foreach (workers, index, worker) {
		char labels[32];
		snprintf(labels, sizeof(labels), "worker=\"%zu\"", index);
		write_latency(out, "giro_request_seconds", labels, worker,
			      json_object_get(info, "latency_ends_ns"));
	}
}

static void write_shards(FILE *out, const json_t *shards)
{
	const json_t *shard;
	size_t index;

	head(out, "giro_transfers_total", "counter",
	     "Transfers done, counted at the debit account's shard.");
	json_array_foreach (shards, index, shard) {
		fprintf(out, "giro_transfers_total{shard=\"%zu\",kind=\"local\"}", index);
		value(out, monitor_number(shard, "event/local_done"));
		fprintf(out, "giro_transfers_total{shard=\"%zu\",kind=\"cross\"}", index);
		value(out, monitor_number(shard, "event/cross_confirmed"));
	}
	write_each(out, shard_metrics, COUNT(shard_metrics), "shard", shards);
	head(out, "giro_shard_events_total", "counter", "What happened in a shard, by event.");
	write_group_each(out, "giro_shard_events_total", "event", "event", shards, "shard", 1);
}

static void write_log(FILE *out, json_t *log, const json_t *info)
{
	write_single(out, log_metrics, COUNT(log_metrics), log);
	head(out, "giro_log_time_seconds_total", "counter", "Time of the log writer's thread.");
	write_group(out, "giro_log_time_seconds_total", "state", "cycles", log, "",
		    1 / monitor_number(info, "tsc_hz"));
	head(out, "giro_log_write_seconds", "histogram",
	     "Time from a block's submission until it and all before it are durable.");
	write_latency(out, "giro_log_write_seconds", "", log,
		      json_object_get(info, "latency_ends_ns"));
}

static void write_port(FILE *out, json_t *port)
{
	static const char *const frames[] = {"received", "sent", "replied", "refused"};
	static const char *const lost[] = {"missed", "no_buffer", "errors"};

	head(out, "giro_port_frames_total", "counter",
	     "Frames: received, sent, replied (ARP and ping), refused (not sendable).");
	for (size_t i = 0; i < COUNT(frames); i++) {
		fprintf(out, "giro_port_frames_total{kind=\"%s\"}", frames[i]);
		value(out, monitor_number(port, frames[i]));
	}
	head(out, "giro_port_dropped_total", "counter", "Frames and datagrams dropped, by reason.");
	write_group(out, "giro_port_dropped_total", "reason", "drop", port, "", 1);
	head(out, "giro_port_device_dropped_total", "counter", "Frames that the device lost.");
	for (size_t i = 0; i < COUNT(lost); i++) {
		char key[32];
		snprintf(key, sizeof(key), "device_%s", lost[i]);
		fprintf(out, "giro_port_device_dropped_total{reason=\"%s\"}", lost[i]);
		value(out, monitor_number(port, key));
	}
	head(out, "giro_port_tx_full_total", "counter", "Bursts that the device took in part.");
	fputs("giro_port_tx_full_total", out);
	value(out, monitor_number(port, "tx_full"));
}

static void write_results(FILE *out, json_t *results)
{
	const char *status;
	json_t *number;

	head(out, "giro_results_total", "counter",
	     "Transfers and account operations answered, by status.");
	json_object_foreach (results, status, number) {
		fprintf(out, "giro_results_total{status=\"%s\"}", status);
		value(out, json_number_value(number));
	}
}

void monitor_write_prometheus(FILE *out, const json_t *reading, double read_s)
{
	const json_t *info = json_object_get(reading, "info");

	head(out, "giro_up", "gauge", "1: the engine answers.");
	fprintf(out, "giro_up %d\n", reading != NULL);
	head(out, "giro_exporter_read_seconds", "gauge", "How long reading the engine took.");
	fputs("giro_exporter_read_seconds", out);
	value(out, read_s);
	if (reading == NULL)
		return;

	head(out, "giro_info", "gauge", "The engine, in its labels.");
	fprintf(out, "giro_info{log_id=\"%s\",idle_policy=\"%s\"} 1\n", text(info, "log_id"),
		text(info, "idle_policy"));
	write_single(out, info_metrics, COUNT(info_metrics), info);
	write_single(out, epoch_metrics, COUNT(epoch_metrics), json_object_get(reading, "epoch"));
	write_log(out, json_object_get(reading, "log"), info);
	write_port(out, json_object_get(reading, "port"));
	write_results(out, json_object_get(reading, "results"));
	write_workers(out, json_object_get(reading, "workers"), info);
	write_shards(out, json_object_get(reading, "shards"));
}
