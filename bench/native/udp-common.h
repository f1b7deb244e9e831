/* What the UDP programs share: the command line, addresses, clocks. Every fault of the set-up ends the program with a word. */
#ifndef UDP_COMMON_H
#define UDP_COMMON_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX 2048

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static void usage(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(64);
}

static inline uint64_t now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* "a.b.c.d:port" */
static struct sockaddr_in parse_endpoint(const char *text) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  char host[64];
  const char *colon = strrchr(text, ':');
  if (colon == NULL || (size_t)(colon - text) >= sizeof host) usage("an endpoint is a.b.c.d:port");
  memcpy(host, text, (size_t)(colon - text));
  host[colon - text] = 0;
  if (inet_pton(AF_INET, host, &at.sin_addr) != 1) usage("an endpoint is a.b.c.d:port");
  at.sin_port = htons((uint16_t)atoi(colon + 1));
  return at;
}

/* Bytes of a hex text into `out`; gives how many. */
static __attribute__((unused)) size_t parse_hex(const char *text, uint8_t *out, size_t room) {
  size_t bytes = strlen(text) / 2;
  if (bytes > room) usage("too many bytes");
  for (size_t i = 0; i < bytes; i++) {
    unsigned byte;
    if (sscanf(text + 2 * i, "%2x", &byte) != 1) usage("not hex");
    out[i] = (uint8_t)byte;
  }
  return bytes;
}

/* The sequence number of a packet: 4 bytes, big end first. */
static inline uint32_t load_u32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return ntohl(value);
}

static inline __attribute__((unused)) void store_u32(uint8_t *at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, 4);
}

/* Room in the kernel for what arrives while the program is not scheduled: as much as it may have. */
static __attribute__((unused)) void ask_for_room(int fd, int bytes) {
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0) return;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) < 0) fail("SO_RCVBUF");
}

static __attribute__((unused)) const char *option(int argc, char **argv, const char *name, const char *otherwise) {
  for (int i = 1; i + 1 < argc; i++) {
    if (strcmp(argv[i], name) == 0) return argv[i + 1];
  }
  if (otherwise == NULL) {
    fprintf(stderr, "%s is needed\n", name);
    exit(64);
  }
  return otherwise;
}

#endif
