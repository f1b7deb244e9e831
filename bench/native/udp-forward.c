/*
 * A plain UDP forwarder, written for speed: what a firewall of this kind costs without any policy.
 *   udp-forward --listen A:P --app A:P --label TEXT
 * epoll; recvmmsg and sendmmsg in batches; the label header compared and stripped; one connected socket for each peer, found by a hash of
 * its address; datagrams of a batch that have one session go out in one call, in their order; answers go back from the listening socket.
 * A silent session is closed after a minute. SIGTERM: prints {"forwarded":…,"rejected":…,"answered":…,"unsent":…} and ends.
 */
#include "udp-common.h"
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#define BATCH 64
#define EVENTS 64
#define SLOTS 32768
#define SESSIONS_MAX 12288
#define IDLE_NS 60000000000ull
#define SWEEP_MS 1000
#define DATAGRAM_MAX 65536
/* Not a power of two: the first bytes of all buffers would share a few lines of the cache. */
#define STRIDE (DATAGRAM_MAX + 192)
#define ROOM_BYTES (4 << 20)
/* Batches that are read before epoll is asked who else has something. */
#define ROUNDS 8

struct session {
  uint64_t key; /* 0: free */
  uint64_t seen_ns;
  struct sockaddr_in peer;
  int fd;
  int chain; /* first message of this batch, or -1 */
  int chain_last;
};

static struct session sessions[SLOTS];
static int session_count;
static uint8_t packets[BATCH][STRIDE];
static struct sockaddr_in froms[BATCH];
static struct mmsghdr in[BATCH], out[BATCH];
static struct iovec in_parts[BATCH], out_parts[BATCH];
static int chained[BATCH], touched[BATCH];
static uint8_t header[258];
static size_t header_bytes;
static int listener, poller;
static struct sockaddr_in app;
static uint64_t forwarded, rejected, answered, unsent;
static volatile sig_atomic_t stopped;

static void stop(int number) {
  (void)number;
  stopped = 1;
}

static inline uint32_t slot_of(uint64_t key) { return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 49) & (SLOTS - 1); }

static int open_session(struct session *one, uint64_t key, const struct sockaddr_in *peer, uint64_t now) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(one - sessions)};
  if (connect(fd, (struct sockaddr *)&app, sizeof app) < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) {
    close(fd);
    return -1;
  }
  *one = (struct session){.key = key, .seen_ns = now, .peer = *peer, .fd = fd, .chain = -1};
  session_count++;
  return 0;
}

static struct session *find_session(const struct sockaddr_in *peer, uint64_t now) {
  uint64_t key = (uint64_t)peer->sin_addr.s_addr << 16 | peer->sin_port;
  for (uint32_t slot = slot_of(key);; slot = (slot + 1) & (SLOTS - 1)) {
    struct session *one = &sessions[slot];
    if (one->key == key) {
      one->seen_ns = now;
      return one;
    }
    if (one->key != 0) continue;
    if (session_count == SESSIONS_MAX || open_session(one, key, peer, now) < 0) return NULL;
    return one;
  }
}

static void close_session(uint32_t slot) {
  close(sessions[slot].fd);
  sessions[slot].key = 0;
  session_count--;
  /* What lies behind it in the run of slots moves up, so that it is found. */
  for (uint32_t next = (slot + 1) & (SLOTS - 1); sessions[next].key != 0; next = (next + 1) & (SLOTS - 1)) {
    uint32_t home = slot_of(sessions[next].key);
    if (((next - home) & (SLOTS - 1)) < ((next - slot) & (SLOTS - 1))) continue;
    sessions[slot] = sessions[next];
    sessions[next].key = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = slot};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, sessions[slot].fd, &event) < 0) fail("epoll_ctl");
    slot = next;
  }
}

static void sweep(uint64_t now) {
  for (uint32_t slot = 0; slot < SLOTS; slot++) {
    while (sessions[slot].key != 0 && now - sessions[slot].seen_ns > IDLE_NS) close_session(slot);
  }
}

static void send_chain(struct session *one) {
  int count = 0;
  for (int i = one->chain; i >= 0; i = chained[i]) {
    out_parts[count] = (struct iovec){packets[i] + header_bytes, in[i].msg_len - header_bytes};
    out[count].msg_hdr = (struct msghdr){.msg_iov = &out_parts[count], .msg_iovlen = 1};
    count++;
  }
  one->chain = -1;
  int done = 0;
  if (count == 1) done = send(one->fd, out_parts[0].iov_base, out_parts[0].iov_len, 0) >= 0;
  else done = sendmmsg(one->fd, out, (unsigned)count, 0);
  if (done < 0) done = 0;
  forwarded += (uint64_t)done;
  unsent += (uint64_t)(count - done);
}

static int forward(void) {
  for (int i = 0; i < BATCH; i++) in[i].msg_hdr.msg_namelen = sizeof froms[i];
  int got = recvmmsg(listener, in, BATCH, MSG_DONTWAIT, NULL);
  if (got <= 0) return 0;
  uint64_t now = now_ns();
  int sessions_touched = 0;
  for (int i = 0; i < got; i++) {
    if (in[i].msg_len <= header_bytes || memcmp(packets[i], header, header_bytes) != 0) {
      rejected++;
      continue;
    }
    struct session *one = find_session(&froms[i], now);
    if (one == NULL) {
      unsent++;
      continue;
    }
    chained[i] = -1;
    if (one->chain < 0) {
      one->chain = i;
      touched[sessions_touched++] = (int)(one - sessions);
    } else {
      chained[one->chain_last] = i;
    }
    one->chain_last = i;
  }
  for (int i = 0; i < sessions_touched; i++) send_chain(&sessions[touched[i]]);
  return got;
}

static void answer(struct session *one) {
  for (int i = 0; i < BATCH; i++) in[i].msg_hdr.msg_namelen = sizeof froms[i];
  int got = recvmmsg(one->fd, in, BATCH, MSG_DONTWAIT, NULL);
  if (got <= 0) return;
  one->seen_ns = now_ns();
  for (int i = 0; i < got; i++) {
    out_parts[i] = (struct iovec){packets[i], in[i].msg_len};
    out[i].msg_hdr = (struct msghdr){.msg_name = &one->peer, .msg_namelen = sizeof one->peer, .msg_iov = &out_parts[i], .msg_iovlen = 1};
  }
  int done = sendmmsg(listener, out, (unsigned)got, 0);
  answered += done > 0 ? (uint64_t)done : 0;
}

int main(int argc, char **argv) {
  struct sockaddr_in listen_at = parse_endpoint(option(argc, argv, "--listen", NULL));
  app = parse_endpoint(option(argc, argv, "--app", NULL));
  const char *label = option(argc, argv, "--label", NULL);
  if (strlen(label) < 1 || strlen(label) > 255) usage("a label has 1 to 255 bytes");
  header[0] = 244;
  header[1] = (uint8_t)strlen(label);
  memcpy(header + 2, label, strlen(label));
  header_bytes = 2 + strlen(label);
  for (int i = 0; i < BATCH; i++) {
    in_parts[i] = (struct iovec){packets[i], DATAGRAM_MAX};
    in[i].msg_hdr = (struct msghdr){.msg_name = &froms[i], .msg_iov = &in_parts[i], .msg_iovlen = 1};
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGTERM, stop);
  listener = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  poller = epoll_create1(0);
  int room = ROOM_BYTES;
  if (listener < 0 || poller < 0) fail("socket");
  if (setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) < 0) fail("SO_RCVBUF");
  if (bind(listener, (struct sockaddr *)&listen_at, sizeof listen_at) < 0) fail("bind");
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = SLOTS};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0) fail("epoll_ctl");
  printf("listening\n");
  fflush(stdout);
  uint64_t swept = now_ns();
  while (!stopped) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, SWEEP_MS);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.u32 == SLOTS) {
        for (int round = 0; round < ROUNDS && forward() == BATCH; round++)
          ;
      } else if (sessions[events[i].data.u32].key != 0) {
        answer(&sessions[events[i].data.u32]);
      }
    }
    uint64_t now = now_ns();
    if (now - swept > SWEEP_MS * 1000000ull) {
      swept = now;
      sweep(now);
    }
  }
  printf("{\"forwarded\":%llu,\"rejected\":%llu,\"answered\":%llu,\"unsent\":%llu}\n", (unsigned long long)forwarded,
         (unsigned long long)rejected, (unsigned long long)answered, (unsigned long long)unsent);
  return 0;
}
