/*
 * Load for a TCP proxy.
 *
 *   tcp-load --mode connections --to 127.0.0.1:7946 --payloads FILE [--at-once 64] [--warmup-ms 300] [--ms 2000]
 *     keeps so many connections going: connect, write one payload, FIN, wait for the other side's close.
 *   tcp-load --mode bulk --to … --payloads FILE --filler BYTES --answer BYTES [--warmup-ms 300] [--ms 2000]
 *     one connection at a time: a payload (the head), filler bytes, FIN, then reads `answer` bytes to the end.
 *
 * `perSecond` is connections or MB. Sources rotate through 127.0.1.1-200, so that the ports of closed connections do not run out. Prints one JSON line.
 */
#include "tcp-common.h"

#define AT_ONCE_MAX 1024
#define SOURCES 200
/* A connection that takes longer hangs: it counts as failed. */
#define STUCK_NS 5000000000LL
/* How long connections that are open at the end may take to end. */
#define DRAIN_NS 2000000000LL

static struct sockaddr_in to;
static uint32_t started;

static int dial(int flags) {
  struct sockaddr_in from = {.sin_family = AF_INET};
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) die("socket");
  from.sin_addr.s_addr = htonl(0x7f000101u + started++ % SOURCES);
  setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) die("bind");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
    close(fd);
    return -1;
  }
  return fd;
}

static struct { int fd; int sent; int64_t since; } slots[AT_ONCE_MAX];

static int open_slot(int epoll, int slot) {
  slots[slot].fd = dial(SOCK_NONBLOCK);
  slots[slot].sent = 0;
  slots[slot].since = now_ns();
  if (slots[slot].fd < 0) return 0;
  watch(epoll, EPOLL_CTL_ADD, slots[slot].fd, EPOLLOUT, (uint64_t)slot);
  return 1;
}

/* One event of a slot: 0 goes on, 1 done well, -1 failed. */
static int step(int epoll, int slot, uint32_t events) {
  static uint8_t sink[4096];
  int fd = slots[slot].fd;
  if (!slots[slot].sent) {
    const struct payload *p = &payloads[started % (uint32_t)payload_count];
    if (send(fd, p->bytes, p->length, MSG_NOSIGNAL) != (ssize_t)p->length) return -1;
    if (shutdown(fd, SHUT_WR) < 0) return -1;
    slots[slot].sent = 1;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, (uint64_t)slot);
    return 0;
  }
  (void)events;
  ssize_t n = recv(fd, sink, sizeof sink, 0);
  if (n > 0 || (n < 0 && errno == EAGAIN)) return 0;
  return n == 0 ? 1 : -1;
}

static void connections(int at_once, int64_t warmup_ns, int64_t run_ns) {
  int epoll = epoll_create1(0);
  struct epoll_event events[256];
  int64_t begin = now_ns(), from = begin + warmup_ns, until = from + run_ns, checked = begin, now = begin;
  uint64_t done = 0, failed = 0, total = 0;
  for (int i = 0; i < at_once; i++) failed += !open_slot(epoll, i);
  int open = at_once;
  while (open > 0 && (now = now_ns()) < until + DRAIN_NS) {
    int n = epoll_wait(epoll, events, 256, 100);
    for (int i = 0; i < n; i++) {
      int slot = (int)events[i].data.u64;
      int end = step(epoll, slot, events[i].events);
      if (end == 0) continue;
      close(slots[slot].fd);
      slots[slot].fd = -1;
      if (end > 0) total++;
      if (now >= from && now < until && end > 0) done++;
      if (end < 0) failed++;
      if (now >= until) open--;
      else if (!open_slot(epoll, slot)) failed++;
    }
    if (now >= until || now - checked < 1000000000LL) continue;
    checked = now;
    for (int i = 0; i < at_once; i++) {
      if (slots[i].fd >= 0 && now - slots[i].since < STUCK_NS) continue;
      if (slots[i].fd >= 0) close(slots[i].fd);
      failed++;
      open_slot(epoll, i);
    }
  }
  double seconds = (double)(until - from) / 1e9;
  failed += (uint64_t)open;
  printf("{\"done\":%lu,\"failed\":%lu,\"total\":%lu,\"seconds\":%.4f,\"perSecond\":%.1f}\n", done, failed, total, seconds,
         (double)done / seconds);
}

/* One exchange; returns the bytes that it moved, or -1. */
static int64_t exchange(const struct payload *head, int fill, int64_t fill_bytes, int64_t answer_bytes) {
  static uint8_t sink[65536];
  struct timeval limit = {.tv_sec = 5};
  int fd = dial(0);
  int64_t read_bytes = 0;
  off_t at = 0;
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int ok = send(fd, head->bytes, head->length, MSG_NOSIGNAL | MSG_MORE) == (ssize_t)head->length;
  while (ok && at < fill_bytes) ok = sendfile(fd, fill, &at, (size_t)(fill_bytes - at)) > 0;
  ok = ok && shutdown(fd, SHUT_WR) == 0;
  while (ok) {
    /* The bytes are thrown away in the kernel: the sink of the other direction checks them. */
    ssize_t n = recv(fd, sink, 1 << 20, MSG_TRUNC);
    if (n == 0) break;
    if (n < 0) ok = 0;
    else read_bytes += n;
  }
  close(fd);
  return ok && read_bytes == answer_bytes ? (int64_t)head->length + fill_bytes + read_bytes : -1;
}

static void bulk(int64_t fill_bytes, int64_t answer_bytes, int64_t warmup_ns, int64_t run_ns) {
  int fill = filler((size_t)fill_bytes);
  int64_t begin = now_ns(), from = 0, now = begin, moved = 0;
  uint64_t done = 0, failed = 0, total = 0;
  while ((now = now_ns()) < begin + warmup_ns + run_ns) {
    if (from == 0 && now >= begin + warmup_ns) from = now;
    int64_t bytes = exchange(&payloads[total % (uint64_t)payload_count], fill, fill_bytes, answer_bytes);
    if (bytes < 0) failed++;
    else {
      total++;
      if (from != 0) moved += bytes, done++;
    }
    if (failed > 100) break;
  }
  double seconds = (double)(now_ns() - (from == 0 ? begin : from)) / 1e9;
  printf("{\"done\":%lu,\"failed\":%lu,\"total\":%lu,\"seconds\":%.4f,\"perSecond\":%.1f}\n", done, failed, total, seconds,
         (double)moved / seconds / 1e6);
}

int main(int argc, char **argv) {
  int64_t warmup_ns = number(argc, argv, "warmup-ms", "300") * 1000000, run_ns = number(argc, argv, "ms", "2000") * 1000000;
  const char *mode = arg(argc, argv, "mode", NULL);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  to = address(arg(argc, argv, "to", NULL));
  read_payloads(arg(argc, argv, "payloads", NULL));
  if (strcmp(mode, "bulk") == 0) {
    bulk(number(argc, argv, "filler", NULL), number(argc, argv, "answer", NULL), warmup_ns, run_ns);
    return 0;
  }
  int64_t at_once = number(argc, argv, "at-once", "64");
  if (at_once < 1 || at_once > AT_ONCE_MAX) return 2;
  connections((int)at_once, warmup_ns, run_ns);
  return 0;
}
