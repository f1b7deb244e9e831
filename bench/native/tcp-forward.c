/*
 * The plain C forwarder of TCP: epoll, accept4, recv, connect, send. The first bytes are compared with a label header at a given
 * offset; a connection without it is closed. Nothing else is looked at, counted or changed.
 *
 *   tcp-forward --at 127.0.0.1:7946 --app 127.0.0.1:7947 --label HEX [--offset 16]
 *
 * One buffer for all: what a peer does not take at once waits in a buffer of the connection's own, and its reader is paused.
 */
#include "tcp-common.h"

#define FDS_MAX 65536
#define BUFFER_BYTES (1 << 18)

struct end {
  int peer;           /* the other side's descriptor */
  int checked;        /* the label was seen: what comes may pass */
  int reads_done, writes_done;
  int unwatched;      /* taken out of epoll: a socket that is shut both ways would report that for ever */
  uint32_t events;    /* what epoll watches for now */
  uint8_t *waiting;   /* what this side has not taken yet */
  size_t from, to;
};

static struct end ends[FDS_MAX];
static struct sockaddr_in app;
static uint8_t label[512];
static size_t label_bytes, label_at;
static int epoll;

static void interest(int fd) {
  struct end *e = &ends[fd], *p = &ends[e->peer];
  uint32_t events = 0;
  if (!e->reads_done && p->to == p->from) events |= EPOLLIN;
  if (e->to > e->from) events |= EPOLLOUT;
  if (e->unwatched) return;
  if (e->reads_done && e->writes_done) {
    e->unwatched = 1;
    watch(epoll, EPOLL_CTL_DEL, fd, 0, 0);
    return;
  }
  if (events == e->events) return;
  e->events = events;
  watch(epoll, EPOLL_CTL_MOD, fd, events, (uint64_t)fd);
}

static void forget(int fd) {
  struct end *e = &ends[fd];
  free(e->waiting);
  memset(e, 0, sizeof *e);
  close(fd);
}

/* Ends both sides; a broken one with a reset. */
static void finish(int fd, int broken) {
  int peer = ends[fd].peer;
  struct linger reset = {.l_onoff = 1};
  if (broken) {
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  forget(fd);
  forget(peer);
}

/* Gives `fd` bytes; what it does not take waits. -1: it is broken. */
static int give(int fd, const uint8_t *bytes, size_t length) {
  struct end *e = &ends[fd];
  ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return -1;
  if (n < 0) n = 0;
  if ((size_t)n == length) return 0;
  if (e->waiting == NULL && (e->waiting = malloc(BUFFER_BYTES)) == NULL) return -1;
  e->from = 0;
  e->to = length - (size_t)n;
  memcpy(e->waiting, bytes + n, e->to);
  return 0;
}

/* -1: over, both are closed. */
static int end_of_writes(int fd) {
  struct end *e = &ends[fd], *p = &ends[e->peer];
  if (p->reads_done && e->to == e->from && !e->writes_done) {
    e->writes_done = 1;
    shutdown(fd, SHUT_WR);
  }
  if (e->writes_done && p->writes_done) {
    finish(fd, 0);
    return -1;
  }
  return 0;
}

static int readable(int fd) {
  static uint8_t buffer[BUFFER_BYTES];
  struct end *e = &ends[fd];
  if (!e->checked) {
    ssize_t n = recv(fd, buffer, label_at + label_bytes, MSG_PEEK);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n > 0 && (size_t)n < label_at + label_bytes) return 0;
    if (n <= 0 || memcmp(buffer + label_at, label, label_bytes) != 0) {
      finish(fd, 1);
      return -1;
    }
    e->checked = 1;
  }
  ssize_t n = recv(fd, buffer, sizeof buffer, 0);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n < 0 || (n > 0 && give(e->peer, buffer, (size_t)n) < 0)) {
    finish(fd, 1);
    return -1;
  }
  if (n > 0) return 0;
  e->reads_done = 1;
  return end_of_writes(e->peer);
}

static int writable(int fd) {
  struct end *e = &ends[fd];
  ssize_t n = send(fd, e->waiting + e->from, e->to - e->from, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) {
    finish(fd, 1);
    return -1;
  }
  if (n > 0) e->from += (size_t)n;
  return e->from == e->to ? end_of_writes(fd) : 0;
}

static void take(int accepted) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || fd >= FDS_MAX || accepted >= FDS_MAX ||
      (connect(fd, (struct sockaddr *)&app, sizeof app) < 0 && errno != EINPROGRESS)) {
    if (fd >= 0) close(fd);
    close(accepted);
    return;
  }
  setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(accepted, SOL_TCP, TCP_NODELAY, &one, sizeof one);
  ends[accepted] = (struct end){.peer = fd, .events = EPOLLIN};
  ends[fd] = (struct end){.peer = accepted, .checked = 1, .events = EPOLLIN};
  watch(epoll, EPOLL_CTL_ADD, accepted, EPOLLIN, (uint64_t)accepted);
  watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)fd);
}

int main(int argc, char **argv) {
  struct epoll_event events[256];
  int listener = listen_at(arg(argc, argv, "at", NULL));
  app = address(arg(argc, argv, "app", NULL));
  label_bytes = hex(arg(argc, argv, "label", NULL), label, sizeof label);
  label_at = (size_t)number(argc, argv, "offset", "0");
  if (label_at > 1024) return 2;
  epoll = epoll_create1(0);
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (uint64_t)listener);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  puts("up");
  fflush(stdout);
  for (;;) {
    int n = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = (int)events[i].data.u64;
      if (fd == listener) {
        for (int k = 0; k < 64; k++) {
          int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
          if (accepted < 0) break;
          take(accepted);
        }
        continue;
      }
      int peer = ends[fd].peer;
      /* Closed by an event of its peer in this batch. */
      if (peer == 0) continue;
      if ((events[i].events & EPOLLOUT) != 0 && ends[fd].to > ends[fd].from && writable(fd) < 0) continue;
      if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !ends[fd].reads_done && readable(fd) < 0) continue;
      interest(fd);
      interest(peer);
    }
  }
}
