/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-exporter: a running engine for Prometheus and for a browser.
 *
 *   GET /metrics       Prometheus text format
 *   GET /              status page, all in one file
 *   GET /status.json   the reading as it is, for that page
 *
 * It reads the engine's telemetry socket when it is asked, so an engine that nobody watches is not
 * read. Requests are served one after the other by one thread, and those that come close together
 * share a reading: however many ask, the engine answers ten readings a second at most.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <microhttpd.h>

#include "monitor/prometheus.h"
#include "monitor/source.h"
#include "monitor/status_page.h"

#define DEFAULT_ADDRESS "127.0.0.1"
#define DEFAULT_PORT	9764
/* A reading is good for so long. */
#define READING_MS 100
/* Browsers and scrapers at once; more are turned away. */
#define CONNECTIONS_MAX	     64
#define CONNECTION_TIMEOUT_S 10

static const char usage[] =
    "usage: giro-exporter [--listen [ADDRESS:]PORT] [--file-prefix NAME | --socket PATH]\n"
    "\n"
    "Serves what a running giro-engine tells of itself: /metrics for Prometheus, / for a browser.\n"
    "\n"
    "  --listen [ADDRESS:]PORT  IPv4 address and TCP port (127.0.0.1:9764); port 0: any free one.\n"
    "                           Everyone who can reach it can read it: it asks for no password\n"
    "  --file-prefix NAME       the engine's EAL argument of that name\n"
    "  --socket PATH            its telemetry socket, where it is in no usual place\n"
    "                           Without either: the one engine that runs here\n"
    "\n"
    "The engine may start later, stop and start again. SIGTERM or SIGINT: ends with 0.\n"
    "exit status: 0 ended by a signal, 1 could not listen, 2 usage\n";

struct options {
	struct sockaddr_in address;
	const char *prefix;
	const char *socket;
};

struct exporter {
	struct options options;
	json_t *reading; /* the last one, or NULL */
	char error[MONITOR_ERROR_MAX];
	double read_s;	/* what it took */
	double read_at; /* monotonic; 0: never */
};

static double monotonic_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void read_engine(struct exporter *exporter)
{
	const struct options *options = &exporter->options;
	const char *path = options->socket;
	const double begin = monotonic_s();
	char found[MONITOR_PATH_MAX];

	if (exporter->read_at != 0 && begin - exporter->read_at < READING_MS * 1e-3)
		return;
	json_decref(exporter->reading);
	exporter->reading = NULL;
	if (path == NULL && monitor_find(options->prefix, "--socket", found, exporter->error) == 0)
		path = found;
	if (path != NULL)
		exporter->reading = monitor_read(path, exporter->error);
	exporter->read_at = monotonic_s();
	exporter->read_s = exporter->read_at - begin;
}

/* Answers. */

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned status,
				 const char *type, char *text, size_t bytes,
				 enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(bytes, text, mode);

	if (response == NULL) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	/* The page is one file and needs nobody else. */
	MHD_add_response_header(response, "Content-Security-Policy",
				"default-src 'none'; script-src 'unsafe-inline'; style-src "
				"'unsafe-inline'; connect-src 'self'; img-src data:");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	enum MHD_Result result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result send_plain(struct MHD_Connection *connection, unsigned status,
				  const char *text)
{
	return send_text(connection, status, "text/plain; charset=utf-8", (char *)(uintptr_t)text,
			 strlen(text), MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result send_metrics(struct exporter *exporter, struct MHD_Connection *connection)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	if (out == NULL)
		return MHD_NO;
	read_engine(exporter);
	monitor_write_prometheus(out, exporter->reading, exporter->read_s);
	if (fclose(out) != 0) {
		free(text);
		return MHD_NO;
	}
	return send_text(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text,
			 bytes, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result send_status(struct exporter *exporter, struct MHD_Connection *connection)
{
	read_engine(exporter);

	const bool up = exporter->reading != NULL;
	json_t *failed = up ? NULL : json_pack("{s:s}", "error", exporter->error);
	char *text = json_dumps(up ? exporter->reading : failed, JSON_COMPACT);
	json_decref(failed);
	if (text == NULL)
		return MHD_NO;
	return send_text(connection, up ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
			 "application/json", text, strlen(text), MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result serve(void *context, struct MHD_Connection *connection, const char *url,
			     const char *method, const char *version, const char *upload,
			     size_t *upload_bytes, void **state)
{
	static int known;

	(void)version;
	(void)upload;
	/* The first call comes before the body; an answer then would close the connection. */
	if (*state == NULL) {
		*state = &known;
		return MHD_YES;
	}
	if (*upload_bytes != 0) {
		*upload_bytes = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return send_plain(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
	if (strcmp(url, "/metrics") == 0)
		return send_metrics(context, connection);
	if (strcmp(url, "/status.json") == 0)
		return send_status(context, connection);
	if (strcmp(url, "/") == 0)
		return send_text(connection, MHD_HTTP_OK, "text/html; charset=utf-8",
				 (char *)(uintptr_t)status_page, status_page_bytes,
				 MHD_RESPMEM_PERSISTENT);
	return send_plain(connection, MHD_HTTP_NOT_FOUND, "There is /, /metrics, /status.json\n");
}

/* Start and end. */

static int parse_address(const char *text, struct sockaddr_in *address)
{
	char host[INET_ADDRSTRLEN] = DEFAULT_ADDRESS;
	const char *colon = strrchr(text, ':');
	const char *number = colon != NULL ? colon + 1 : text;
	char *end;

	if (colon != NULL) {
		if ((size_t)(colon - text) >= sizeof(host))
			return -1;
		memcpy(host, text, (size_t)(colon - text));
		host[colon - text] = '\0';
	}
	const unsigned long port = strtoul(number, &end, 10);
	if (*number < '0' || *number > '9' || *end != '\0' || port > UINT16_MAX)
		return -1;
	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	return inet_pton(AF_INET, host, &address->sin_addr) == 1 ? 0 : -1;
}

/* Exits where the command line ends the matter. */
static void parse(struct options *options, int argc, char **argv)
{
	static const struct option long_options[] = {
	    {"listen", required_argument, NULL, 'l'},
	    {"file-prefix", required_argument, NULL, 'f'},
	    {"socket", required_argument, NULL, 's'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	const char *listen = "9764";
	int option;

	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (option) {
		case 'l':
			listen = optarg;
			break;
		case 'f':
			options->prefix = optarg;
			break;
		case 's':
			options->socket = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind != argc || (options->prefix != NULL && options->socket != NULL)) {
		fputs(usage, stderr);
		exit(2);
	}
	if (parse_address(listen, &options->address) != 0) {
		fprintf(stderr,
			"giro-exporter: --listen \"%s\": expected an IPv4 address and a port, such "
			"as 127.0.0.1:9764\n",
			listen);
		exit(2);
	}
}

static void announce(struct MHD_Daemon *daemon, const struct options *options)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &options->address.sin_addr, host, sizeof(host));
	printf("giro-exporter on http://%s:%u/\n", host, info != NULL ? info->port : 0u);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct exporter exporter;
	sigset_t ends;
	int signal;

	parse(&exporter.options, argc, argv);
	/* Before the server's thread begins, which inherits it. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	struct MHD_Daemon *daemon = MHD_start_daemon(
	    MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL, NULL, serve, &exporter,
	    MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&exporter.options.address,
	    MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
	    (unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
	if (daemon == NULL) {
		fprintf(stderr, "giro-exporter: cannot listen on port %u: %s\n",
			ntohs(exporter.options.address.sin_port), strerror(errno));
		return 1;
	}
	announce(daemon, &exporter.options);
	sigwait(&ends, &signal);
	MHD_stop_daemon(daemon);
	json_decref(exporter.reading);
	return 0;
}
