/* What the TCP load generator, its sink and the plain forwarder share: arguments, payload files, clock, sockets. */
#ifndef TCP_COMMON_H
#define TCP_COMMON_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAYLOADS_MAX 64
#define PAYLOAD_MAX 4096

struct payload {
  uint8_t bytes[PAYLOAD_MAX];
  size_t length;
};

static struct payload payloads[PAYLOADS_MAX];
static int payload_count;

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The value of `--name`, or `otherwise`; NULL as `otherwise` makes it required. */
static const char *arg(int argc, char **argv, const char *name, const char *otherwise) {
  for (int i = 1; i + 1 < argc; i++)
    if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0) return argv[i + 1];
  if (otherwise == NULL) {
    fprintf(stderr, "--%s is missing\n", name);
    exit(2);
  }
  return otherwise;
}

static int64_t number(int argc, char **argv, const char *name, const char *otherwise) {
  const char *text = arg(argc, argv, name, otherwise);
  char *end;
  long long value = strtoll(text, &end, 10);
  if (*text == 0 || *end != 0 || value < 0) {
    fprintf(stderr, "--%s: %s is no number\n", name, text);
    exit(2);
  }
  return value;
}

/* An IPv4 address and port as `a.b.c.d:port`. */
static struct sockaddr_in address(const char *text) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  char host[32] = {0};
  const char *colon = strrchr(text, ':');
  if (colon == NULL || (size_t)(colon - text) >= sizeof host) {
    fprintf(stderr, "%s is no address\n", text);
    exit(2);
  }
  memcpy(host, text, (size_t)(colon - text));
  at.sin_port = htons((uint16_t)atoi(colon + 1));
  if (inet_pton(AF_INET, host, &at.sin_addr) != 1) {
    fprintf(stderr, "%s is no address\n", text);
    exit(2);
  }
  return at;
}

/* Reads hexadecimal text into `out`; ends the program when it is none, or too long. Returns the length. */
static size_t hex(const char *text, uint8_t *out, size_t max) {
  size_t n = 0;
  for (; text[0] != 0 && text[0] != '\n'; text += 2, n++) {
    unsigned byte;
    if (n >= max || sscanf(text, "%2x", &byte) != 1) {
      fprintf(stderr, "bad hexadecimal text\n");
      exit(2);
    }
    out[n] = (uint8_t)byte;
  }
  return n;
}

/* One payload a line, hexadecimal. */
static void read_payloads(const char *file) {
  static char line[2 * PAYLOAD_MAX + 2];
  FILE *in = fopen(file, "r");
  if (in == NULL) die(file);
  while (payload_count < PAYLOADS_MAX && fgets(line, sizeof line, in) != NULL) {
    struct payload *p = &payloads[payload_count];
    p->length = hex(line, p->bytes, PAYLOAD_MAX);
    if (p->length > 0) payload_count++;
  }
  fclose(in);
  if (payload_count == 0) {
    fprintf(stderr, "%s: no payload\n", file);
    exit(2);
  }
}

/* A memory file of `bytes` bytes: sendfile from it costs the sender no copy, so that the proxy is the bottleneck. */
static int filler(size_t bytes) {
  int fd = memfd_create("filler", 0);
  static uint8_t block[65536];
  for (size_t i = 0; i < sizeof block; i++) block[i] = (uint8_t)(i * 31 + (i >> 8));
  if (fd < 0) die("memfd_create");
  for (size_t done = 0; done < bytes;) {
    size_t part = bytes - done < sizeof block ? bytes - done : sizeof block;
    ssize_t n = write(fd, block, part);
    if (n <= 0) die("write");
    done += (size_t)n;
  }
  return fd;
}

static int listen_at(const char *text) {
  struct sockaddr_in at = address(text);
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die(text);
  if (listen(fd, 4096) < 0) die("listen");
  return fd;
}

static void watch(int epoll, int op, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  if (epoll_ctl(epoll, op, fd, &event) < 0) die("epoll_ctl");
}
#endif
