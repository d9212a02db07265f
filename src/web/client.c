// SPDX-License-Identifier: MIT
#include "web/client.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char unix_prefix[] = "unix:", http_prefix[] = "http://";

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool web_agent_is_valid(const char *agent)
{
	const char *host = agent + strlen(http_prefix);

	if (begins(agent, unix_prefix))
		return agent[strlen(unix_prefix)] != '\0';
	/* No path, and no user who would become the host. */
	return begins(agent, http_prefix) && *host &&
	       strcspn(host, "/?#@ ") >= strlen(host) - (host[strlen(host) - 1] == '/');
}

static size_t collect(char *data, size_t one, size_t n, void *cls)
{
	struct web_reply *reply = cls;
	char *grown;

	if (n > WEB_REPLY_MAX - reply->length)
		return 0; /* curl gives up with CURLE_WRITE_ERROR */
	grown = realloc(reply->body, reply->length + n + 1);
	if (!grown)
		return 0;
	reply->body = grown;
	memcpy(grown + reply->length, data, n);
	reply->length += n;
	grown[reply->length] = '\0';
	return one * n;
}

static int target_of(CURL *curl, const char *agent, const char *target)
{
	bool is_unix = begins(agent, unix_prefix);
	int n = (int)strlen(agent);
	char *url;

	while (!is_unix && agent[n - 1] == '/')
		n--;
	if (asprintf(&url, "%.*s%s", is_unix ? (int)strlen("http://localhost") : n,
		     is_unix ? "http://localhost" : agent, target) < 0)
		return -ENOMEM;
	curl_easy_setopt(curl, CURLOPT_URL, url); /* curl copies it */
	if (is_unix)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, agent + strlen(unix_prefix));
	free(url);
	return 0;
}

static struct curl_slist *headers_with(const char *token)
{
	/* The agent refuses names in Host (DNS rebinding); a person may still name it by one. */
	struct curl_slist *headers = curl_slist_append(NULL, "Host: localhost");
	char line[600];

	if (!token)
		return headers;
	snprintf(line, sizeof(line), "Authorization: Bearer %s", token);
	return curl_slist_append(headers, line);
}

static void set_limits(CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)WEB_CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)WEB_REPLY_SECONDS);
}

static int failure(CURL *curl, CURLcode code, char *why, size_t size)
{
	long os_errno = 0;
	double seconds = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_errno);
	curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &seconds);
	if (code == CURLE_WRITE_ERROR) {
		snprintf(why, size, "the reply is larger than %d MiB", WEB_REPLY_MAX >> 20);
		return -EFBIG;
	}
	if (code == CURLE_OPERATION_TIMEDOUT) {
		snprintf(why, size, "no answer within %.0f seconds", seconds);
		return -ETIMEDOUT;
	}
	if (code == CURLE_COULDNT_CONNECT && os_errno) {
		snprintf(why, size, "%s", strerror((int)os_errno));
		return (int)-os_errno;
	}
	snprintf(why, size, "%s", curl_easy_strerror(code));
	return -EIO;
}

int web_fetch(struct web_reply *reply, const char *agent, const char *target, const char *token, char *why, size_t size)
{
	struct web_reply out = { 0 };
	struct curl_slist *headers = headers_with(token);
	CURL *curl = curl_easy_init();
	CURLcode code = CURLE_OUT_OF_MEMORY;
	int rc;

	if (curl && headers && target_of(curl, agent, target) == 0) {
		set_limits(curl);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, &out);
		code = curl_easy_perform(curl);
	}
	if (code == CURLE_OK) {
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out.status);
		*reply = out;
		rc = 0;
	} else {
		rc = failure(curl, code, why, size);
		free(out.body);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return rc;
}

/* What a reply that is no report says about it; -EPROTO. */
static int refused(const struct web_reply *reply, const char *agent, char *error, size_t size)
{
	cJSON *root = reply->body ? cJSON_ParseWithLength(reply->body, reply->length) : NULL;
	const cJSON *problem = cJSON_GetObjectItemCaseSensitive(root, "error");
	const char *message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(problem, "message"));
	size_t used = (size_t)snprintf(error, size, "the agent at %.200s answered %ld: ", agent, reply->status);

	for (message = message ? message : "it gave no reason"; *message && used + 1 < size; message++)
		error[used++] = (unsigned char)*message < ' ' || *message == 0x7f ? '?' : *message;
	error[used] = '\0';
	cJSON_Delete(root);
	return -EPROTO;
}

int web_ask(struct web_reply *reply, const char **agent, const char *target, const char *token, char *error,
	    size_t size)
{
	static const char *const usual[] = { "unix:/run/reqmeter/agent.sock", "http://127.0.0.1:9790" };
	const char *const *agents = *agent ? agent : usual;
	size_t n = *agent ? 1 : sizeof(usual) / sizeof(usual[0]), used;
	bool is_denied = false;
	char why[256];
	int rc = -ENOENT;

	used = (size_t)snprintf(error, size, "no agent answers at");
	for (size_t i = 0; i < n && used < size; i++) {
		rc = web_fetch(reply, agents[i], target, token, why, sizeof(why));
		if (rc == 0) {
			*agent = agents[i];
			return reply->status == 200 && reply->body ? 0 : refused(reply, *agent, error, size);
		}
		is_denied |= rc == -EACCES;
		used += (size_t)snprintf(error + used, size - used, "%s %.200s (%s)", i ? " or" : "", agents[i], why);
	}
	if (used < size)
		snprintf(error + used, size - used, ": %s",
			 is_denied ? "run as root or as a member of the group reqmeter"
				   : "start one with 'sudo reqmeter agent' or name it with --agent");
	return rc;
}

void web_reply_done(struct web_reply *reply)
{
	free(reply->body);
	memset(reply, 0, sizeof(*reply));
}

char *web_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0), *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}
