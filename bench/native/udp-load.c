/*
 * Sends one datagram over and over, with a number in it, from one or many sources.
 *   udp-load --target A:P --source A --sources N --packet HEX --seq-at N --seconds S [--rate N] [--port P] [--batch N] [--targets N]
 * Source i has the address A + i (of 127.0.0.0/8, or one that the machine has) and a socket of its own. One source sends in batches; with
 * many, every datagram comes from another source than the one before, as gossip does. Without --rate: as fast as it can.
 * With --targets source i sends to the address of the target + i modulo N.
 * The number: i-th source in its low 14 bits, above it a count. SIGTERM ends it early. Last line: {"sent":…,"seconds":…}
 */
#include "udp-common.h"
#include <signal.h>
#include <sys/prctl.h>

#define SOURCES_MAX 16384
#define BATCH_MAX 64
/* Sends between two looks at the clock. */
#define ROUND 64

static volatile sig_atomic_t stopped;
static void stop(int number) {
  (void)number;
  stopped = 1;
}

static uint8_t packets[BATCH_MAX][PACKET_MAX];
static struct mmsghdr messages[BATCH_MAX];
static struct iovec parts[BATCH_MAX];
static int sockets[SOURCES_MAX];

static void open_sources(int sources, uint32_t first, int port, const struct sockaddr_in *target, int targets) {
  for (int i = 0; i < sources; i++) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    own.sin_addr.s_addr = htonl(first + (uint32_t)i);
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) < 0) fail("bind");
    struct sockaddr_in to = *target;
    to.sin_addr.s_addr = htonl(ntohl(target->sin_addr.s_addr) + (uint32_t)(i % targets));
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) < 0) fail("connect");
    sockets[i] = fd;
  }
}

/* Sends `count` datagrams; what the kernel refuses (a full queue, an ICMP error of the other side) is not counted. */
static uint64_t burst(int sources, int count, uint32_t *next, size_t seq_at, size_t bytes) {
  uint64_t sent = 0;
  if (sources == 1) {
    for (int i = 0; i < count; i++) store_u32(packets[i] + seq_at, (*next)++ << 14);
    int done = sendmmsg(sockets[0], messages, (unsigned)count, 0);
    return done > 0 ? (uint64_t)done : 0;
  }
  static int source;
  for (int i = 0; i < count; i++) {
    store_u32(packets[0] + seq_at, *next << 14 | (uint32_t)source);
    if (send(sockets[source], packets[0], bytes, 0) == (ssize_t)bytes) sent++;
    if (++source == sources) {
      source = 0;
      (*next)++;
    }
  }
  return sent;
}

int main(int argc, char **argv) {
  struct sockaddr_in target = parse_endpoint(option(argc, argv, "--target", NULL));
  struct in_addr first;
  if (inet_pton(AF_INET, option(argc, argv, "--source", NULL), &first) != 1) usage("--source is an IPv4 address");
  int sources = atoi(option(argc, argv, "--sources", "1"));
  int batch = atoi(option(argc, argv, "--batch", "32"));
  int targets = atoi(option(argc, argv, "--targets", "1"));
  size_t seq_at = (size_t)atoi(option(argc, argv, "--seq-at", NULL));
  double seconds = atof(option(argc, argv, "--seconds", NULL));
  double rate = atof(option(argc, argv, "--rate", "0"));
  size_t bytes = parse_hex(option(argc, argv, "--packet", NULL), packets[0], PACKET_MAX);
  if (targets < 1 || sources < 1 || sources > SOURCES_MAX || batch < 1 || batch > BATCH_MAX) usage("--sources 1..16384, --batch 1..64");
  if (seq_at + 4 > bytes) usage("--seq-at lies outside of the packet");
  for (int i = 0; i < batch; i++) {
    memcpy(packets[i], packets[0], bytes);
    parts[i] = (struct iovec){packets[i], bytes};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGTERM, stop);
  open_sources(sources, ntohl(first.s_addr), atoi(option(argc, argv, "--port", "0")), &target, targets);
  printf("sending\n");
  fflush(stdout);
  uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), sent = 0, tried = 0, at;
  uint32_t next = 1;
  while ((at = now_ns()) < end && !stopped) {
    if (rate <= 0) {
      for (int i = 0; i < ROUND / batch || i == 0; i++) sent += burst(sources, batch, &next, seq_at, bytes);
      continue;
    }
    uint64_t due = (uint64_t)((double)(at - start) / 1e9 * rate);
    while (tried < due) {
      int count = due - tried < (uint64_t)batch ? (int)(due - tried) : batch;
      sent += burst(sources, count, &next, seq_at, bytes);
      tried += (uint64_t)count;
    }
    struct timespec pause = {.tv_nsec = 500000};
    nanosleep(&pause, NULL);
  }
  printf("{\"sent\":%llu,\"seconds\":%.6f}\n", (unsigned long long)sent, (double)(now_ns() - start) / 1e9);
  return 0;
}
