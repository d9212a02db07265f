/* SPDX-License-Identifier: MIT */
#include "probe/listeners.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "shared/record.h"
#include "system/process.h"

/* A node with a thousand pods has about as many network namespaces. */
#define NAMESPACES_MAX 4096
#define TCP_LISTEN     0x0a

struct finding {
	int map_fd, root_fd;
	struct map namespaces; /* seen already */
	int n;
};

/* One line of /proc/net/tcp or tcp6: "  sl  local_address rem_address   st ...", addresses as HEX:PORT. */
static void take_line(struct finding *f, uint32_t netns, const char *line)
{
	struct listener_key key = { .netns = netns };
	unsigned int port, state;
	uint8_t yes = 1;

	if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*4x %2x", &port, &state) != 2)
		return;
	if (state != TCP_LISTEN || port > 65535)
		return;
	key.port = port;
	if (bpf_map_update_elem(f->map_fd, &key, &yes, BPF_ANY) == 0)
		f->n++;
}

static void read_table(struct finding *f, pid_t pid, uint32_t netns, const char *name)
{
	char path[64], line[512];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, name);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		take_line(f, netns, line);
	fclose(file);
}

static int look_at(pid_t pid, void *context)
{
	struct finding *f = context;
	char path[64], link[64];
	unsigned long netns;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return 0;
	link[n] = 0;
	if (sscanf(link, "net:[%lu]", &netns) != 1 || map_get(&f->namespaces, netns))
		return 0;
	if (map_set(&f->namespaces, netns, f))
		return 0;
	read_table(f, pid, (uint32_t)netns, "tcp");
	read_table(f, pid, (uint32_t)netns, "tcp6");
	return 0;
}

int listeners_find(int map_fd, uint32_t *epoch)
{
	struct finding f = { .map_fd = map_fd, .root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) };

	if (f.root_fd < 0)
		return -errno;
	map_init(&f.namespaces, NAMESPACES_MAX);
	process_pids(f.root_fd, look_at, &f);
	map_done(&f.namespaces);
	close(f.root_fd);
	__atomic_add_fetch(epoch, 1, __ATOMIC_RELEASE);
	return f.n;
}
