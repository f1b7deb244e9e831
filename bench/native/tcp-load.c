/*
 * Load for a TCP proxy.
 *
 *   tcp-load --to 127.0.0.1:7946 --payloads FILE [--filler BYTES --answer BYTES] [--at-once 64] [--warmup-ms 300] [--ms 2000]
 *
 * Keeps so many connections going: connect, write one payload and the filler, FIN, wait for the other side's close; `answer` bytes must have come
 * by then (0: whatever comes). Filler goes out by sendfile and answers are thrown away in the kernel, uncopied both, so that the proxy is the
 * bottleneck. Sources rotate through 127.0.1.1-200, so that the ports of closed connections do not run out. Prints one JSON line: connections
 * that came to a good end and MB that went and came, a second of the time measured.
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

/* What a connection sends and awaits besides its payload: nothing, or a bulk of filler and as much in answer. */
static int fill = -1;
static int64_t fill_bytes, answer_bytes;
/* Bytes that went and came. */
static uint64_t moved;

static struct {
  int fd;
  enum { FIRST, FILLS, READS } state;
  off_t filled;
  int64_t answered, since;
} slots[AT_ONCE_MAX];

static int open_slot(int epoll, int slot) {
  int fd = dial(SOCK_NONBLOCK);
  slots[slot] = (typeof(slots[0])){.fd = fd, .since = now_ns()};
  if (fd < 0) return 0;
  watch(epoll, EPOLL_CTL_ADD, fd, EPOLLOUT, (uint64_t)slot);
  return 1;
}

/* Sends, and ends with a FIN. 0 waits for room, 1 all is sent, -1 failed. */
static int give(int slot) {
  int fd = slots[slot].fd;
  if (slots[slot].state == FIRST) {
    const struct payload *p = &payloads[started % (uint32_t)payload_count];
    int more = fill_bytes > 0 ? MSG_MORE : 0;
    if (send(fd, p->bytes, p->length, MSG_NOSIGNAL | more) != (ssize_t)p->length) return -1;
    moved += p->length;
    slots[slot].state = FILLS;
  }
  while (slots[slot].filled < fill_bytes) {
    ssize_t n = sendfile(fd, fill, &slots[slot].filled, (size_t)(fill_bytes - slots[slot].filled));
    if (n <= 0) return n < 0 && errno == EAGAIN ? 0 : -1;
    moved += (uint64_t)n;
  }
  return shutdown(fd, SHUT_WR) < 0 ? -1 : 1;
}

/* One event of a slot: 0 goes on, 1 done well, -1 failed. */
static int step(int epoll, int slot) {
  static uint8_t sink[4096];
  int fd = slots[slot].fd;
  if (slots[slot].state != READS) {
    int end = give(slot);
    if (end <= 0) return end;
    slots[slot].state = READS;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, (uint64_t)slot);
    return 0;
  }
  /* Counted and thrown away in the kernel: nobody compares an answer. */
  ssize_t n = recv(fd, sink, 1 << 20, MSG_TRUNC);
  if (n < 0) return errno == EAGAIN ? 0 : -1;
  moved += (uint64_t)n;
  slots[slot].answered += n;
  if (n > 0) return 0;
  return answer_bytes == 0 || slots[slot].answered == answer_bytes ? 1 : -1;
}

static void run(int at_once, int64_t warmup_ns, int64_t run_ns) {
  int epoll = epoll_create1(0);
  struct epoll_event events[256];
  int64_t begin = now_ns(), from = begin + warmup_ns, until = from + run_ns, checked = begin, now = begin;
  uint64_t done = 0, failed = 0;
  /* How things stood when the measured time began and ended. */
  struct { int64_t at; uint64_t done, moved; } first = {0}, last = {0};
  for (int i = 0; i < at_once; i++) failed += !open_slot(epoll, i);
  int open = at_once;
  while (open > 0 && (now = now_ns()) < until + DRAIN_NS) {
    if (first.at == 0 && now >= from) first.at = now, first.done = done, first.moved = moved;
    if (last.at == 0 && now >= until) last.at = now, last.done = done, last.moved = moved;
    int n = epoll_wait(epoll, events, 256, 100);
    for (int i = 0; i < n; i++) {
      int slot = (int)events[i].data.u64;
      int end = step(epoll, slot);
      if (end == 0) continue;
      close(slots[slot].fd);
      slots[slot].fd = -1;
      if (end > 0) done++;
      else failed++;
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
  double seconds = (double)(last.at - first.at) / 1e9;
  failed += (uint64_t)open;
  printf("{\"failed\":%lu,\"total\":%lu,\"perSecond\":%.1f,\"mbPerSecond\":%.1f}\n", failed, done,
         (double)(last.done - first.done) / seconds, (double)(last.moved - first.moved) / seconds / 1e6);
}

int main(int argc, char **argv) {
  int64_t warmup_ns = number(argc, argv, "warmup-ms", "300") * 1000000, run_ns = number(argc, argv, "ms", "2000") * 1000000;
  int64_t at_once = number(argc, argv, "at-once", "64");
  if (at_once < 1 || at_once > AT_ONCE_MAX) return 2;
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  to = address(arg(argc, argv, "to", NULL));
  read_payloads(arg(argc, argv, "payloads", NULL));
  fill_bytes = number(argc, argv, "filler", "0");
  answer_bytes = number(argc, argv, "answer", "0");
  if (fill_bytes > 0) fill = filler((size_t)fill_bytes);
  run((int)at_once, warmup_ns, run_ns);
  return 0;
}
