/*
 * Floods a gossip port with what a fence rejects, at a rate.
 *   flood KIND PACKETS_PER_SECOND SECONDS LABEL SOURCES TARGET:PORT...
 * KIND: foreign (labels of others), garbage (broken label headers of every sort, LABEL doubled among them), bare (what carries no label, bytes
 * of any value), or mixed. LABEL is the own cluster's, which is never sent as it should be. SOURCES: own addresses, with commas. Targets and
 * sources have one family and take turns. Ends by itself. Last line: the number of packets that the kernel took.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 50
#define SHAPES 1024
#define PACKET_MAX 400
#define SOCKETS_MAX 64
#define LABELLED 244

static uint8_t shapes[SHAPES][PACKET_MAX];
static size_t sizes[SHAPES];
static int sockets[SOCKETS_MAX];
static int socket_count;

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now_us(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

/* Random bytes that begin with no label header, unless `first` says how. */
static size_t fill(uint8_t *out, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)rand();
  return bytes;
}

static size_t header(uint8_t *out, const char *label, size_t bytes) {
  out[0] = LABELLED;
  out[1] = (uint8_t)bytes;
  memcpy(out + 2, label, bytes);
  return bytes + 2;
}

/* A label of others: as long as the own one and one bit off, a longer one that begins like it, a shorter one, or another word. */
static size_t foreign(uint8_t *out, const char *own) {
  char label[255];
  size_t bytes = strlen(own);
  memcpy(label, own, bytes);
  switch (rand() % 4) {
  case 0: label[bytes - 1] ^= 1; break;
  case 1: label[bytes++] = 'x'; break;
  case 2: memcpy(label, "other", bytes = 5); break;
  default: bytes = (size_t)snprintf(label, sizeof label, "cluster-%d", rand() % 1000);
  }
  size_t at = header(out, label, bytes);
  return at + fill(out + at, (size_t)(rand() % 200));
}

/* A broken header: nothing after its first byte, an empty label, one that is cut off, or two in a row. */
static size_t garbage(uint8_t *out, const char *own) {
  size_t at;
  switch (rand() % 4) {
  case 0: out[0] = LABELLED; return 1;
  case 1: out[0] = LABELLED; out[1] = 0; return 2 + fill(out + 2, (size_t)(rand() % 200));
  case 2: at = header(out, own, strlen(own)); return at - 1;
  default:
    at = header(out, own, strlen(own));
    at += header(out + at, own, strlen(own));
    return at + fill(out + at, (size_t)(rand() % 100));
  }
}

static size_t bare(uint8_t *out) {
  size_t bytes = fill(out, (size_t)(rand() % 300));
  if (bytes > 0 && out[0] == LABELLED) out[0] = 0;
  return bytes;
}

static void make_shapes(const char *kind, const char *own) {
  const char *kinds[] = {"foreign", "garbage", "bare"};
  for (int i = 0; i < SHAPES; i++) {
    const char *one = strcmp(kind, "mixed") == 0 ? kinds[i % 3] : kind;
    if (strcmp(one, "foreign") == 0) sizes[i] = foreign(shapes[i], own);
    else if (strcmp(one, "garbage") == 0) sizes[i] = garbage(shapes[i], own);
    else if (strcmp(one, "bare") == 0) sizes[i] = bare(shapes[i]);
    else { errno = EINVAL; fail(kind); }
  }
}

static struct addrinfo *resolve(const char *host, const char *port) {
  struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *found;
  if (getaddrinfo(host, port, &hints, &found) != 0) { errno = EINVAL; fail(host); }
  return found;
}

static void open_socket(const char *source, char *target) {
  char *colon = strrchr(target, ':');
  if (colon == NULL || socket_count == SOCKETS_MAX) { errno = EINVAL; fail(target); }
  *colon = 0;
  struct addrinfo *from = resolve(source, "0"), *to = resolve(target, colon + 1);
  *colon = ':';
  int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, from->ai_addr, from->ai_addrlen) < 0 || connect(fd, to->ai_addr, to->ai_addrlen) < 0) fail(source);
  sockets[socket_count++] = fd;
}

int main(int argc, char **argv) {
  if (argc < 7) { errno = EINVAL; fail("flood"); }
  const double rate = atof(argv[2]), seconds = atof(argv[3]);
  srand(1);
  make_shapes(argv[1], argv[4]);
  for (char *source = strtok(argv[5], ","); source != NULL; source = strtok(NULL, ","))
    for (int i = 6; i < argc; i++) open_socket(source, argv[i]);
  struct mmsghdr batch[BATCH] = {0};
  struct iovec parts[BATCH];
  int64_t start = now_us(), end = start + (int64_t)(seconds * 1e6), sent = 0, tried = 0;
  int shape = 0;
  for (int64_t now = start; now < end; now = now_us()) {
    int64_t due = (int64_t)((double)(now - start) / 1e6 * rate) - tried;
    if (due < BATCH) { usleep(500); continue; }
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){shapes[shape], sizes[shape]};
      batch[i].msg_hdr.msg_iov = &parts[i];
      batch[i].msg_hdr.msg_iovlen = 1;
      shape = (shape + 1) % SHAPES;
    }
    /* An ICMP error of the other side, or a full queue: the flood goes on. */
    int took = sendmmsg(sockets[(tried / BATCH) % socket_count], batch, BATCH, MSG_DONTWAIT);
    if (took > 0) sent += took;
    tried += BATCH;
  }
  printf("%lld\n", (long long)sent);
  return 0;
}
