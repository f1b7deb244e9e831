/*
 * The app behind a TCP proxy.
 *
 *   tcp-sink --at 127.0.0.1:7947 --payloads FILE                                    connections
 *   tcp-sink --at 127.0.0.1:7947 --payloads FILE --filler BYTES --answer BYTES      bulk
 *   [--answer-head HEX]
 *
 * Every connection must begin with one of the payloads, byte for byte: a label that had to be stripped and a digest that had to be
 * made anew show here. In bulk that is followed by filler, and answered after the end with `answer` bytes that begin with the
 * answer's head. A connection without a byte is a health check. Prints "up" once it listens, and for each line on standard input a JSON
 * line of what came; ends with its standard input.
 */
#include "tcp-common.h"

#define FDS_MAX 65536

struct connection {
  uint8_t head[PAYLOAD_MAX];
  size_t got;
  int64_t total;
  off_t answered;
  int wrong, ended;
};

static struct connection *connections[FDS_MAX];
static uint64_t good, wrong, broken, empty;
static int64_t fill_bytes, answer_bytes;
static int fill = -1;

static size_t longest(void) {
  size_t max = 0;
  for (int i = 0; i < payload_count; i++)
    if (payloads[i].length > max) max = payloads[i].length;
  return max;
}

/* Whether what came is one payload and, in bulk, all of the filler. */
static int is_right(const struct connection *c) {
  for (int i = 0; i < payload_count; i++) {
    const struct payload *p = &payloads[i];
    if (c->total != (int64_t)p->length + fill_bytes || c->got < p->length) continue;
    if (memcmp(c->head, p->bytes, p->length) == 0) return 1;
  }
  return 0;
}

static void drop(int fd, struct connection *c) {
  close(fd);
  c->got = 0;
  c->total = 0;
  c->answered = 0;
  c->wrong = 0;
  c->ended = 0;
}

/* Reads to the end. 0: waits, 1: ended, -1: broken. */
static int take(int fd, struct connection *c, size_t head_bytes) {
  static uint8_t buffer[1 << 18];
  for (;;) {
    /* Past the head the bytes are counted and thrown away in the kernel, so that the proxy is the bottleneck. */
    int rest = c->got >= head_bytes;
    ssize_t n = rest ? recv(fd, buffer, 1 << 20, MSG_TRUNC) : recv(fd, c->head + c->got, head_bytes - c->got, 0);
    if (n == 0) return 1;
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    c->total += n;
    if (!rest) c->got += (size_t)n;
  }
}

/* Answers; 0: waits for room, 1: done, -1: broken. */
static int answer(int fd, struct connection *c) {
  while (c->answered < answer_bytes) {
    ssize_t n = sendfile(fd, fill, &c->answered, (size_t)(answer_bytes - c->answered));
    if (n < 0) return errno == EAGAIN ? 0 : -1;
  }
  return 1;
}

static void serve(int epoll, int fd, size_t head_bytes) {
  struct connection *c = connections[fd];
  if (!c->ended) {
    int end = take(fd, c, head_bytes);
    if (end == 0) return;
    if (end < 0) {
      broken++;
      return drop(fd, c);
    }
    c->ended = 1;
    if (c->total == 0) {
      empty++;
      return drop(fd, c);
    }
    c->wrong = !is_right(c);
    if (answer_bytes > 0) watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT, (uint64_t)fd);
  }
  int end = answer(fd, c);
  if (end == 0) return;
  if (end < 0) broken++;
  else if (c->wrong) wrong++;
  else good++;
  drop(fd, c);
}

static void report(void) {
  printf("{\"good\":%lu,\"wrong\":%lu,\"broken\":%lu,\"empty\":%lu}\n", good, wrong, broken, empty);
  fflush(stdout);
}

int main(int argc, char **argv) {
  struct epoll_event events[256];
  int listener = listen_at(arg(argc, argv, "at", NULL)), epoll = epoll_create1(0);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  read_payloads(arg(argc, argv, "payloads", NULL));
  fill_bytes = number(argc, argv, "filler", "0");
  answer_bytes = number(argc, argv, "answer", "0");
  if (answer_bytes > 0) {
    uint8_t head[PAYLOAD_MAX];
    size_t n = hex(arg(argc, argv, "answer-head", ""), head, sizeof head);
    fill = filler((size_t)answer_bytes);
    if (pwrite(fill, head, n, 0) != (ssize_t)n) die("pwrite");
  }
  /* A byte more than the longest payload, so that what is too long shows. */
  size_t head_bytes = fill_bytes > 0 ? longest() : longest() + 1;
  if (head_bytes > PAYLOAD_MAX) return 2;
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (uint64_t)listener);
  puts("up");
  fflush(stdout);
  watch(epoll, EPOLL_CTL_ADD, 0, EPOLLIN, 0);
  for (;;) {
    int n = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64;
      if (fd == 0) {
        char line[64];
        if (read(0, line, sizeof line) <= 0) return 0;
        report();
        continue;
      }
      if (fd != listener) {
        serve(epoll, fd, head_bytes);
        continue;
      }
      for (int k = 0; k < 64; k++) {
        int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0) break;
        if (accepted >= FDS_MAX) {
          close(accepted);
          continue;
        }
        if (connections[accepted] == NULL) connections[accepted] = calloc(1, sizeof(struct connection));
        if (connections[accepted] == NULL) die("calloc");
        watch(epoll, EPOLL_CTL_ADD, accepted, EPOLLIN, (uint64_t)accepted);
      }
    }
  }
}
