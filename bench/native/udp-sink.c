/*
 * The app behind a proxy: takes datagrams, looks at every one, and counts.
 *   udp-sink --listen A:P --body HEX --seq-at N [--echo yes]
 * A good one equals the body but for the 4 bytes of the number. Numbers of one source (their low 14 bits) must grow until a line that begins
 * with "n": a new load begins, which counts from 1 again. With --echo every datagram goes back to where it came from. Each line on stdin is
 * answered by one line: {"packets":…,"bad":…,"reordered":…,"lost":…,"sources":…}, where lost is what the kernel dropped because this program
 * was too slow. The end of stdin ends it. On TCP, at the same address, connections are
 * taken and closed: a fence looks that way whether its app is there.
 */
#include "udp-common.h"
#include <linux/sock_diag.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>

#define BATCH 256
#define ROOM_BYTES (64 << 20)
#define SOURCES_MAX 16384
/* How long it sleeps after a batch: a wake-up for every datagram would take the core that the load needs. */
#define PAUSE_NS 300000

static uint8_t packets[BATCH][PACKET_MAX];
static struct sockaddr_in froms[BATCH];
static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static uint8_t body[PACKET_MAX];
static size_t body_bytes, seq_at;
static uint32_t last[SOURCES_MAX];
static bool seen[SOURCES_MAX];
static uint64_t arrived, bad, reordered, sources;

static void look(const uint8_t *packet, size_t bytes) {
  arrived++;
  size_t after = seq_at + 4;
  if (bytes != body_bytes || memcmp(packet, body, seq_at) != 0 || memcmp(packet + after, body + after, bytes - after) != 0) {
    bad++;
    return;
  }
  uint32_t number = load_u32(packet + seq_at), source = number & (SOURCES_MAX - 1), count = number >> 14;
  if (!seen[source]) sources++;
  seen[source] = true;
  /* The count wraps: only a small step back is a reordering. */
  if (count <= last[source] && last[source] - count < 4096) reordered++;
  last[source] = count;
}

static void report(int fd) {
  uint32_t memory[SK_MEMINFO_VARS] = {0};
  socklen_t size = sizeof memory;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) < 0) fail("SO_MEMINFO");
  printf("{\"packets\":%llu,\"bad\":%llu,\"reordered\":%llu,\"lost\":%u,\"sources\":%llu}\n", (unsigned long long)arrived,
         (unsigned long long)bad, (unsigned long long)reordered, memory[SK_MEMINFO_DROPS], (unsigned long long)sources);
  fflush(stdout);
}

static int drain(int fd, bool echo) {
  for (int i = 0; i < BATCH; i++) messages[i].msg_hdr.msg_namelen = echo ? sizeof froms[i] : 0;
  int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
  for (int i = 0; i < got; i++) {
    look(packets[i], messages[i].msg_len);
    if (!echo) continue;
    if (sendto(fd, packets[i], messages[i].msg_len, 0, (struct sockaddr *)&froms[i], sizeof froms[i]) < 0 && errno != EAGAIN &&
        errno != ECONNREFUSED)
      fail("sendto");
  }
  return got;
}

static int open_tcp(const struct sockaddr_in *at) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0) fail("socket");
  if (bind(fd, (const struct sockaddr *)at, sizeof *at) < 0 || listen(fd, 64) < 0) fail("listen");
  return fd;
}

int main(int argc, char **argv) {
  struct sockaddr_in listen_at = parse_endpoint(option(argc, argv, "--listen", NULL));
  bool echo = strcmp(option(argc, argv, "--echo", "no"), "yes") == 0;
  body_bytes = parse_hex(option(argc, argv, "--body", NULL), body, PACKET_MAX);
  seq_at = (size_t)atoi(option(argc, argv, "--seq-at", NULL));
  if (seq_at + 4 > body_bytes) usage("--seq-at lies outside of the body");
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){packets[i], PACKET_MAX};
    messages[i].msg_hdr = (struct msghdr){.msg_name = echo ? &froms[i] : NULL, .msg_iov = &parts[i], .msg_iovlen = 1};
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket");
  ask_for_room(fd, ROOM_BYTES);
  if (bind(fd, (struct sockaddr *)&listen_at, sizeof listen_at) < 0) fail("bind");
  struct pollfd watched[3] = {
      {.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}, {.fd = open_tcp(&listen_at), .events = POLLIN}};
  printf("listening\n");
  fflush(stdout);
  for (;;) {
    if (poll(watched, 3, -1) < 0) fail("poll");
    if (watched[0].revents != 0) {
      while (drain(fd, echo) == BATCH)
        ;
    }
    if (watched[2].revents != 0) {
      int taken = accept(watched[2].fd, NULL, NULL);
      if (taken >= 0) close(taken);
    }
    if (watched[1].revents != 0) {
      char line[64];
      if (read(0, line, sizeof line) <= 0) return 0;
      while (drain(fd, echo) == BATCH)
        ;
      if (line[0] == 'n') memset(last, 0, sizeof last);
      report(fd);
    } else if (!echo) {
      struct timespec pause = {.tv_nsec = PAUSE_NS};
      nanosleep(&pause, NULL);
    }
  }
}
