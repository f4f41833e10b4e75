/* SPDX-License-Identifier: Apache-2.0
 *
 * A reading in Prometheus' format. The end-to-end tests parse all of it; here are the corners.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/prometheus.h"
#include "tests/unit/monitor/reading.h"

static char *written(const json_t *reading)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	monitor_write_prometheus(out, reading, 0.25);
	cr_assert(fclose(out) == 0);
	return text;
}

Test(prometheus, without_an_engine_only_that_is_said)
{
	char *text = written(NULL);

	cr_assert(strstr(text, "\ngiro_up 0\n") != NULL);
	cr_assert(strstr(text, "\ngiro_exporter_read_seconds 0.25\n") != NULL);
	cr_assert(strstr(text, "giro_info") == NULL, "%s", text);
	free(text);
}

Test(prometheus, buckets_are_cumulative_and_in_seconds)
{
	json_t *reading = reading_new(1, 1, 2000, 10);
	char *text = written(reading);

	cr_assert(strstr(text, "giro_request_seconds_bucket{worker=\"0\",le=\"1e-06\"} 20\n"
			       "giro_request_seconds_bucket{worker=\"0\",le=\"2e-06\"} 20\n"
			       "giro_request_seconds_bucket{worker=\"0\",le=\"4e-06\"} 40\n"
			       "giro_request_seconds_bucket{worker=\"0\",le=\"+Inf\"} 40\n"
			       "giro_request_seconds_sum{worker=\"0\"} 7e-05\n"
			       "giro_request_seconds_count{worker=\"0\"} 40\n") != NULL,
		  "%s", text);
	cr_assert(strstr(text, "giro_worker_burst_frames_bucket{worker=\"0\",le=\"2\"} 20\n") !=
		  NULL);
	cr_assert(strstr(text, "giro_worker_burst_frames_sum{worker=\"0\"} 80\n") != NULL);
	free(text);
	json_decref(reading);
}

Test(prometheus, cycles_become_seconds_and_counts_stay_exact)
{
	json_t *reading = reading_new(6, 1, 2000, 10);
	char *text = written(reading);

	cr_assert(
	    strstr(text, "giro_worker_time_seconds_total{worker=\"5\",stage=\"apply\"} 1\n") !=
	    NULL);
	cr_assert(strstr(text, "giro_log_time_seconds_total{state=\"idle\"} 1.5\n") != NULL);
	free(text);
	json_object_set_new(json_object_get(reading, "log"), "bytes",
			    json_integer(999999999999999));
	text = written(reading);
	cr_assert(strstr(text, "\ngiro_log_written_bytes_total 999999999999999\n") != NULL);
	free(text);
	json_decref(reading);
}

Test(prometheus, a_word_that_would_break_a_label_is_left_out)
{
	json_t *reading = reading_new(1, 1, 1000, 1);
	char *text;

	json_object_set_new(json_object_get(reading, "info"), "log_id",
			    json_string("\"} 1\nevil 1"));
	text = written(reading);
	cr_assert(strstr(text, "giro_info{log_id=\"\",idle_policy=\"sleep\"} 1\n") != NULL);
	cr_assert(strstr(text, "evil") == NULL);
	free(text);
	json_decref(reading);
}
