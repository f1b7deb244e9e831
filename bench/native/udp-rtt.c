/*
 * Round trips through several proxies at a fixed rate, so many through one before the next, so that what one does after its trips is not in the way of
 * another's, in cycles, so that all meet the same moments of the machine.
 *   udp-rtt --source A --rate N --turns N --stay N --packet HEX --body HEX --seq-at N NAME=A:P NAME=A:P … (after --targets)
 * The packet is what goes out, the body what comes back; a target with "/bare" behind it gets the body (it strips nothing). --seq-at is the
 * place of the number in the body. Last line: {"NAME":{"n":…,"lost":…,"p50":…,"p90":…,"p99":…,"max":…},…} in microseconds.
 */
#include "udp-common.h"
#include <signal.h>
#include <sys/prctl.h>

#define TARGETS_MAX 16
#define TRIPS_MAX 1000000
#define ANSWER_MS 100
/* Before each turn: what the one before it still does is over then. */
#define PAUSE_NS 50000000u

struct target {
  const char *name;
  int fd;
  int bare;
  uint32_t *trips_ns;
  size_t count, lost;
};

static struct target targets[TARGETS_MAX];
static int target_count;
static uint8_t packet[PACKET_MAX], body[PACKET_MAX], answer[PACKET_MAX];
static size_t packet_bytes, body_bytes, seq_at;

static void add_target(char *text, const struct sockaddr_in *source) {
  char *equals = strchr(text, '=');
  if (equals == NULL || target_count == TARGETS_MAX) usage("targets are NAME=A:P, 16 at most");
  *equals = 0;
  char *bare = strstr(equals + 1, "/bare");
  if (bare != NULL) *bare = 0;
  struct sockaddr_in at = parse_endpoint(equals + 1);
  struct target *one = &targets[target_count++];
  *one = (struct target){.name = text, .bare = bare != NULL};
  one->fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (one->fd < 0) fail("socket");
  if (bind(one->fd, (const struct sockaddr *)source, sizeof *source) < 0) fail("bind");
  if (connect(one->fd, (struct sockaddr *)&at, sizeof at) < 0) fail("connect");
  struct timeval wait = {.tv_usec = ANSWER_MS * 1000};
  if (setsockopt(one->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0) fail("SO_RCVTIMEO");
  one->trips_ns = malloc(TRIPS_MAX * sizeof *one->trips_ns);
  if (one->trips_ns == NULL) fail("malloc");
}

/* One trip; an answer that is not the body with our number in it counts as none. */
static void trip(struct target *one, uint32_t number) {
  uint8_t *out = one->bare ? body : packet;
  size_t bytes = one->bare ? body_bytes : packet_bytes;
  store_u32(body + seq_at, number);
  store_u32(packet + (packet_bytes - body_bytes) + seq_at, number);
  uint64_t start = now_ns();
  if (send(one->fd, out, bytes, 0) < 0) {
    one->lost++;
    return;
  }
  for (;;) {
    ssize_t got = recv(one->fd, answer, sizeof answer, 0);
    if (got < 0) break;
    if ((size_t)got != body_bytes || memcmp(answer, body, body_bytes) != 0) continue;
    if (one->count < TRIPS_MAX) one->trips_ns[one->count++] = (uint32_t)(now_ns() - start);
    return;
  }
  one->lost++;
}

/* The targets of a cycle in an order of its own, so that nobody always comes after the same neighbour. Always the same orders. */
static void shuffle(int *order) {
  static uint32_t state = 1;
  for (int i = target_count - 1; i > 0; i--) {
    state = state * 1664525u + 1013904223u;
    int other = (int)((state >> 16) % (uint32_t)(i + 1));
    int kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
}

static void wait_until(uint64_t at) {
  struct timespec until = {.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static double at_part(const struct target *one, double part) {
  if (one->count == 0) return 0;
  size_t index = (size_t)(part * (double)(one->count - 1) + 0.5);
  return one->trips_ns[index] / 1e3;
}

int main(int argc, char **argv) {
  double rate = atof(option(argc, argv, "--rate", "1000"));
  int turns = atoi(option(argc, argv, "--turns", NULL));
  int stay = atoi(option(argc, argv, "--stay", NULL));
  packet_bytes = parse_hex(option(argc, argv, "--packet", NULL), packet, PACKET_MAX);
  body_bytes = parse_hex(option(argc, argv, "--body", NULL), body, PACKET_MAX);
  seq_at = (size_t)atoi(option(argc, argv, "--seq-at", NULL));
  if (packet_bytes < body_bytes || seq_at + 4 > body_bytes || rate <= 0 || stay <= 0 || turns <= 0)
    usage("the body is the end of the packet; --rate, --stay and --turns above 0");
  struct sockaddr_in source = {.sin_family = AF_INET};
  if (inet_pton(AF_INET, option(argc, argv, "--source", NULL), &source.sin_addr) != 1) usage("--source is an address");
  int first = 1;
  while (first < argc && strcmp(argv[first], "--targets") != 0) first++;
  for (int i = first + 1; i < argc; i++) add_target(argv[i], &source);
  if (target_count == 0) usage("--targets NAME=A:P …");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int order[TARGETS_MAX];
  for (int i = 0; i < target_count; i++) order[i] = i;
  uint64_t step = (uint64_t)(1e9 / rate);
  uint32_t number = 1;
  for (int turn = 0; turn < turns; turn++) {
    shuffle(order);
    for (int i = 0; i < target_count; i++) {
      uint64_t next = now_ns() + PAUSE_NS;
      for (int trips = 0; trips < stay; trips++, next += step) {
        uint64_t at = now_ns();
        if (at >= next) next = at;
        else wait_until(next);
        trip(&targets[order[i]], number++ << 14);
      }
    }
  }
  for (int i = 0; i < target_count; i++) {
    struct target *one = &targets[i];
    qsort(one->trips_ns, one->count, sizeof *one->trips_ns, by_size);
    printf("%s\"%s\":{\"n\":%zu,\"lost\":%zu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}", i == 0 ? "{" : ",", one->name,
           one->count, one->lost, at_part(one, 0.5), at_part(one, 0.9), at_part(one, 0.99), at_part(one, 1));
  }
  printf("}\n");
  return 0;
}
