/* SPDX-License-Identifier: MIT */
/*
 * The libc calls that truth.c hears of. Each wrapper reports, calls the real function and reports again;
 * errno is that of the real call. Blocking in calls that are not wrapped (page faults, mmap, locks inside
 * libc) is noticed at the next wrapped one by the count of voluntary switches.
 */
#include "truth.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The next definition of `name`; libc's condition variables have an old version that must not be taken. */
static void *real_symbol(const char *name, const char *version)
{
	void *symbol = version ? dlvsym(RTLD_NEXT, name, version) : NULL;

	if (!symbol)
		symbol = dlsym(RTLD_NEXT, name);
	if (!symbol)
		abort();
	return symbol;
}

#define REAL_VERSION(name, version)                                                                                    \
	({                                                                                                             \
		static __typeof__(&name) found_;                                                                       \
		__typeof__(&name) real_ = __atomic_load_n(&found_, __ATOMIC_ACQUIRE);                                  \
		if (!real_)                                                                                            \
			__atomic_store_n(&found_, real_ = real_symbol(#name, version), __ATOMIC_RELEASE);              \
		real_;                                                                                                 \
	})
#define REAL(name) REAL_VERSION(name, NULL)

/* A wrapper of a call that may block and has nothing to do with connections. */
#define BLOCKING_VERSION(type, name, version, parameters, arguments)                                                   \
	type name parameters                                                                                           \
	{                                                                                                              \
		struct truth_guard guard;                                                                              \
		truth_block_enter(&guard);                                                                             \
		type result = REAL_VERSION(name, version) arguments;                                                   \
		truth_block_leave(&guard);                                                                             \
		return result;                                                                                         \
	}
#define BLOCKING(type, name, parameters, arguments) BLOCKING_VERSION(type, name, NULL, parameters, arguments)

/* ---- bytes in ---- */

#define READING(name, fd, iov, n_iov, flags, arguments)                                                                \
	struct truth_guard guard;                                                                                      \
	truth_read_enter(&guard, fd);                                                                                  \
	ssize_t result = REAL(name) arguments;                                                                         \
	truth_read_leave(&guard, fd, iov, n_iov, result, flags);                                                       \
	return result

ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags, __SOCKADDR_ARG from, socklen_t *len);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size);

ssize_t read(int fd, void *buf, size_t n)
{
	READING(read, fd, (&(struct iovec){ buf, n }), 1, 0, (fd, buf, n));
}

ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
	READING(__read_chk, fd, (&(struct iovec){ buf, n }), 1, 0, (fd, buf, n, size));
}

ssize_t readv(int fd, const struct iovec *iov, int n_iov)
{
	READING(readv, fd, iov, n_iov, 0, (fd, iov, n_iov));
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	READING(recv, fd, (&(struct iovec){ buf, n }), 1, flags, (fd, buf, n, flags));
}

ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
	READING(__recv_chk, fd, (&(struct iovec){ buf, n }), 1, flags, (fd, buf, n, size, flags));
}

ssize_t recvfrom(int fd, void *restrict buf, size_t n, int flags, __SOCKADDR_ARG from, socklen_t *restrict len)
{
	READING(recvfrom, fd, (&(struct iovec){ buf, n }), 1, flags, (fd, buf, n, flags, from, len));
}

ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags, __SOCKADDR_ARG from, socklen_t *len)
{
	READING(__recvfrom_chk, fd, (&(struct iovec){ buf, n }), 1, flags, (fd, buf, n, size, flags, from, len));
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	READING(recvmsg, fd, msg->msg_iov, msg->msg_iovlen, flags, (fd, msg, flags));
}

/* ---- bytes out ---- */

#define SENDING(name, fd, arguments)                                                                                   \
	struct truth_guard guard;                                                                                      \
	truth_send_enter(&guard, fd);                                                                                  \
	ssize_t result = REAL(name) arguments;                                                                         \
	truth_send_leave(&guard, fd, result);                                                                          \
	return result

ssize_t write(int fd, const void *buf, size_t n)
{
	SENDING(write, fd, (fd, buf, n));
}

ssize_t writev(int fd, const struct iovec *iov, int n_iov)
{
	SENDING(writev, fd, (fd, iov, n_iov));
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	SENDING(send, fd, (fd, buf, n, flags));
}

ssize_t sendto(int fd, const void *buf, size_t n, int flags, __CONST_SOCKADDR_ARG to, socklen_t len)
{
	SENDING(sendto, fd, (fd, buf, n, flags, to, len));
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	SENDING(sendmsg, fd, (fd, msg, flags));
}

ssize_t sendfile(int out, int in, off_t *offset, size_t n)
{
	SENDING(sendfile, out, (out, in, offset, n));
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t n)
{
	SENDING(sendfile64, out, (out, in, offset, n));
}

/* ---- descriptors ---- */

#define ACCEPTING(name, arguments)                                                                                     \
	struct truth_guard guard;                                                                                      \
	truth_accept_enter(&guard);                                                                                    \
	int result = REAL(name) arguments;                                                                             \
	truth_accept_leave(&guard, result);                                                                            \
	return result

int accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict len)
{
	ACCEPTING(accept, (fd, address, len));
}

int accept4(int fd, __SOCKADDR_ARG address, socklen_t *restrict len, int flags)
{
	ACCEPTING(accept4, (fd, address, len, flags));
}

int socket(int domain, int type, int protocol)
{
	int fd = REAL(socket)(domain, type, protocol);

	truth_fd_forget(fd);
	return fd;
}

int close(int fd)
{
	struct truth_guard guard;

	if (truth_fd_hidden(fd)) {
		errno = EBADF;
		return -1;
	}
	truth_close_enter(&guard, fd);
	int result = REAL(close)(fd);
	truth_block_leave(&guard);
	return result;
}

int shutdown(int fd, int how)
{
	truth_shutdown_enter(fd, how);
	return REAL(shutdown)(fd, how);
}

/* ---- waiting ---- */

BLOCKING(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
BLOCKING(int, __poll_chk, (struct pollfd * fds, nfds_t n, int timeout, size_t size), (fds, n, timeout, size))
BLOCKING(int, ppoll, (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask),
	 (fds, n, timeout, mask))
BLOCKING(int, __ppoll_chk,
	 (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size),
	 (fds, n, timeout, mask, size))
BLOCKING(int, select,
	 (int n, fd_set *restrict readable, fd_set *restrict writable, fd_set *restrict other,
	  struct timeval *restrict timeout),
	 (n, readable, writable, other, timeout))
BLOCKING(int, pselect,
	 (int n, fd_set *restrict readable, fd_set *restrict writable, fd_set *restrict other,
	  const struct timespec *restrict timeout, const sigset_t *restrict mask),
	 (n, readable, writable, other, timeout, mask))
BLOCKING(int, epoll_wait, (int fd, struct epoll_event *events, int n, int timeout), (fd, events, n, timeout))
BLOCKING(int, epoll_pwait, (int fd, struct epoll_event *events, int n, int timeout, const sigset_t *mask),
	 (fd, events, n, timeout, mask))
BLOCKING(int, nanosleep, (const struct timespec *want, struct timespec *left), (want, left))
BLOCKING(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *want, struct timespec *left),
	 (clock, flags, want, left))
BLOCKING_VERSION(int, pthread_cond_wait, "GLIBC_2.3.2",
		 (pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex), (cond, mutex))
BLOCKING_VERSION(int, pthread_cond_timedwait, "GLIBC_2.3.2",
		 (pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
		  const struct timespec *restrict until),
		 (cond, mutex, until))
BLOCKING(int, pthread_cond_clockwait,
	 (pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t clock,
	  const struct timespec *restrict until),
	 (cond, mutex, clock, until))
BLOCKING(int, sem_wait, (sem_t * sem), (sem))
BLOCKING(int, sem_timedwait, (sem_t *restrict sem, const struct timespec *restrict until), (sem, until))
BLOCKING(int, sem_clockwait, (sem_t *restrict sem, clockid_t clock, const struct timespec *restrict until),
	 (sem, clock, until))
BLOCKING_VERSION(int, pthread_cond_signal, "GLIBC_2.3.2", (pthread_cond_t * cond), (cond))
BLOCKING_VERSION(int, pthread_cond_broadcast, "GLIBC_2.3.2", (pthread_cond_t * cond), (cond))
BLOCKING(int, epoll_ctl, (int fd, int what, int of, struct epoll_event *event), (fd, what, of, event))
BLOCKING(int, pthread_join, (pthread_t thread, void **result_of), (thread, result_of))
BLOCKING(pid_t, waitpid, (pid_t child, int *status, int options), (child, status, options))
BLOCKING(int, fsync, (int fd), (fd))

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	struct truth_guard guard;

	if (!truth_watching())
		return REAL(pthread_mutex_lock)(mutex);
	int result = pthread_mutex_trylock(mutex);
	if (result != EBUSY)
		return result;
	truth_block_enter(&guard);
	result = REAL(pthread_mutex_lock)(mutex);
	truth_block_leave(&guard);
	return result;
}

/* ---- the end of a process that runs no destructors ---- */

void _exit(int status)
{
	truth_process_exit();
	for (;;)
		syscall(SYS_exit_group, status);
}

void _Exit(int status)
{
	_exit(status);
}
