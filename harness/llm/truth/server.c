/* A server whose answers are known beforehand: every token has a due time, and each real sending is logged.
 *
 * It speaks the part of the OpenAI-compatible interface that a client of language models uses, on 127.0.0.1. A request
 * is answered from the moment at which the kernel received it: the first token after ttft_us, the others gap_us apart.
 * Defaults come from the command line, and fields of the request's body that begin with truth_ replace them. The log is
 * a memory-mapped file of fixed-size records; harness/llm/truth/log.py describes it.
 *
 * usage: server LOG CAPACITY [name=value ...]; prints the port and a line break once it listens.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 1, PIECE = 2, END = 3 };
enum { STAMPED = 1, REALTIME_PRIORITY = 2 };
enum { ROLE_NONE, ROLE_EARLY, ROLE_WITH_FIRST };
#define MOST_STALLS 16
#define SPIN_NS 100000 /* a sleeping process wakes up some 50 us late */
#define NO_KEY 0xFFFFFFFFu

typedef struct {
    char magic[8];
    uint64_t count, capacity, dropped;
    uint32_t flags, port;
    int64_t offset_ns; /* wall clock minus monotonic clock */
    char rest[16];
} Header;

typedef struct {
    uint32_t kind, stream;
    int32_t token; /* the first in this write; of a REQUEST how many are asked for */
    uint32_t key;
    int64_t due_ns, before_ns, after_ns; /* of a REQUEST: arrival by the kernel, its reading, 0 */
} Record;

typedef struct {
    long ttft_us, gap_us, tokens, per_write, per_chunk, role, empty_every, comment_every, tail_joined;
    int stalls;
    long stall_at[MOST_STALLS], stall_us[MOST_STALLS];
} Plan;

typedef struct {
    int fd, streaming, chat, heads_sent, usage;
    char *in;
    size_t have, room;
    int64_t arrived_ns, due_ns;
    Plan plan;
    long next;       /* token */
    int stalled;     /* stalls that are over */
    long prompt;     /* tokens */
    uint32_t stream, key;
    int heap_at;     /* -1: nothing due */
} Connection;

static Header *head;
static Record *records;
static Plan defaults = {50000, 10000, 50, 1, 1, ROLE_WITH_FIRST, 0, 0, 0, 0, {0}, {0}};
static Connection **heap;
static int heap_size, heap_room, poller, timer;
static uint32_t streams;

static int64_t now_ns(clockid_t which) {
    struct timespec at;
    clock_gettime(which, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static Record *note(uint32_t kind, const Connection *c, int32_t token, int64_t due, int64_t before) {
    static Record nowhere;
    if (head->count == head->capacity) {
        head->dropped++;
        return &nowhere;
    }
    Record *record = &records[head->count];
    *record = (Record){kind, c->stream, token, c->key, due, before, 0};
    __atomic_store_n(&head->count, head->count + 1, __ATOMIC_RELEASE);
    return record;
}

/* ---- what is due next: a heap by time ---- */

static void place(int at, Connection *c) {
    heap[at] = c;
    c->heap_at = at;
}

static void rise(int at) {
    Connection *c = heap[at];
    for (; at > 0 && heap[(at - 1) / 2]->due_ns > c->due_ns; at = (at - 1) / 2) place(at, heap[(at - 1) / 2]);
    place(at, c);
}

static void sink(int at) {
    Connection *c = heap[at];
    for (;;) {
        int low = 2 * at + 1;
        if (low >= heap_size) break;
        if (low + 1 < heap_size && heap[low + 1]->due_ns < heap[low]->due_ns) low++;
        if (heap[low]->due_ns >= c->due_ns) break;
        place(at, heap[low]);
        at = low;
    }
    place(at, c);
}

static void schedule(Connection *c, int64_t due_ns) {
    c->due_ns = due_ns;
    if (c->heap_at < 0) {
        if (heap_size == heap_room) heap = realloc(heap, (heap_room = 2 * heap_room + 64) * sizeof *heap);
        place(heap_size++, c);
    }
    sink(c->heap_at);
    rise(c->heap_at);
}

static void unschedule(Connection *c) {
    int at = c->heap_at;
    if (at < 0) return;
    c->heap_at = -1;
    Connection *last = heap[--heap_size];
    if (last == c) return;
    place(at, last);
    sink(at);
    rise(last->heap_at);
}

/* ---- reading a request ---- */

static const char *value_of(const char *body, const char *name) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    const char *at = strstr(body, quoted);
    if (!at) return NULL;
    at += strlen(quoted);
    while (*at == ' ' || *at == ':') at++;
    return at;
}

static void take_number(const char *body, const char *name, long *into) {
    const char *at = value_of(body, name);
    if (at && (*at == '-' || (*at >= '0' && *at <= '9'))) *into = strtol(at, NULL, 10);
}

static void take_stalls(const char *at, Plan *plan) { /* 10:50000,20:30000 */
    plan->stalls = 0;
    while (at && plan->stalls < MOST_STALLS) {
        char *end;
        long token = strtol(at, &end, 10);
        if (end == at || *end != ':') return;
        plan->stall_at[plan->stalls] = token;
        plan->stall_us[plan->stalls++] = strtol(end + 1, &end, 10);
        if (*end != ',') return;
        at = end + 1;
    }
}

static void take_plan(const char *body, Plan *plan, uint32_t *key) {
    long number = -1;
    take_number(body, "max_tokens", &plan->tokens);
    take_number(body, "truth_tokens", &plan->tokens);
    take_number(body, "truth_ttft_us", &plan->ttft_us);
    take_number(body, "truth_gap_us", &plan->gap_us);
    take_number(body, "truth_per_write", &plan->per_write);
    take_number(body, "truth_per_chunk", &plan->per_chunk);
    take_number(body, "truth_role", &plan->role);
    take_number(body, "truth_empty_every", &plan->empty_every);
    take_number(body, "truth_comment_every", &plan->comment_every);
    take_number(body, "truth_tail_joined", &plan->tail_joined);
    take_number(body, "truth_key", &number);
    *key = number < 0 ? NO_KEY : (uint32_t)number;
    const char *stalls = value_of(body, "truth_stalls");
    if (stalls) take_stalls(stalls + (*stalls == '"'), plan);
    if (plan->per_write < 1) plan->per_write = 1;
    if (plan->per_chunk < 1) plan->per_chunk = 1;
    if (plan->per_write * plan->per_chunk > 256) plan->per_write = plan->per_chunk = 16;
}

static long words(const char *body) { /* in every content or prompt: what this server calls tokens */
    static const char *names[] = {"\"content\"", "\"prompt\""};
    long count = 0;
    for (int which = 0; which < 2; which++)
        for (const char *at = strstr(body, names[which]); at; at = strstr(at, names[which])) {
            at += strlen(names[which]);
            while (*at == ' ' || *at == ':') at++;
            if (*at != '"') continue;
            int inside = 0;
            for (at++; *at && *at != '"'; at++) {
                int blank = *at == ' ' || (*at == '\\' && (at[1] == 'n' || at[1] == 't' || at[1] == 'r'));
                if (*at == '\\' && at[1]) at++;
                if (!blank && !inside) count++;
                inside = !blank;
            }
        }
    return count;
}

/* ---- writing an answer ---- */

static int put(Connection *c, const char *data, size_t size) {
    while (size) { /* what the client does not take makes the others wait, which the log then shows */
        ssize_t done = send(c->fd, data, size, MSG_NOSIGNAL);
        if (done < 0 && errno == EAGAIN) continue;
        if (done < 0) return 0;
        data += done;
        size -= (size_t)done;
    }
    return 1;
}

/* The record is there before the data is, so whoever has read the data finds it in the log. */
static int put_noted(uint32_t kind, Connection *c, long token, const char *data, size_t size) {
    Record *record = note(kind, c, (int32_t)token, c->due_ns, now_ns(CLOCK_MONOTONIC));
    int good = put(c, data, size);
    record->after_ns = now_ns(CLOCK_MONOTONIC);
    return good;
}

static int answer(Connection *c, int status, const char *json) {
    char out[4096];
    int size = snprintf(out, sizeof out,
                        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status,
                        status == 200 ? "OK" : "Not Found", strlen(json), json);
    return put(c, out, (size_t)size);
}

static size_t chunk(char *out, const char *event) { /* one event as one HTTP chunk */
    return (size_t)sprintf(out, "%zx\r\n%s\r\n", strlen(event), event);
}

static size_t delta_chunk(char *out, const Connection *c, const char *delta, const char *finish) {
    char event[8192];
    const char *object = c->chat ? "chat.completion.chunk" : "text_completion";
    snprintf(event, sizeof event,
             "data: {\"id\":\"truth-%u\",\"object\":\"%s\",\"created\":0,\"model\":\"truth\","
             "\"choices\":[{\"index\":0,%s,\"finish_reason\":%s}]}\n\n",
             c->stream, object, delta, finish);
    return chunk(out, event);
}

static size_t token_chunk(char *out, const Connection *c, long from, long until) {
    char text[4096] = "", delta[4400];
    size_t used = 0;
    for (long token = from; token < until; token++)
        used += (size_t)snprintf(text + used, sizeof text - used, " t%ld", token);
    snprintf(delta, sizeof delta, c->chat ? "\"delta\":{\"content\":\"%s\"}" : "\"text\":\"%s\"", text);
    return delta_chunk(out, c, delta, "null");
}

static size_t beginning(char *out, Connection *c) {
    size_t used = 0;
    if (!c->heads_sent)
        used = (size_t)sprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                    "Transfer-Encoding: chunked\r\n\r\n");
    c->heads_sent = 1;
    return used;
}

static size_t role(char *out, const Connection *c) {
    return c->chat ? delta_chunk(out, c, "\"delta\":{\"role\":\"assistant\",\"content\":null}", "null") : 0;
}

static size_t tail(char *out, const Connection *c) {
    size_t used = delta_chunk(out, c, c->chat ? "\"delta\":{}" : "\"text\":\"\"", "\"length\"");
    if (c->usage) {
        char event[512];
        snprintf(event, sizeof event,
                 "data: {\"id\":\"truth-%u\",\"model\":\"truth\",\"choices\":[],\"usage\":{\"prompt_tokens\":%ld,"
                 "\"completion_tokens\":%ld,\"total_tokens\":%ld},\"timings\":{\"prompt_ms\":%.3f,"
                 "\"predicted_ms\":%.3f}}\n\n",
                 c->stream, c->prompt, c->plan.tokens, c->prompt + c->plan.tokens, c->plan.ttft_us / 1e3,
                 (c->due_ns - c->arrived_ns) / 1e6 - c->plan.ttft_us / 1e3);
        used += chunk(out + used, event);
    }
    used += chunk(out + used, "data: [DONE]\n\n");
    memcpy(out + used, "0\r\n\r\n", 5);
    return used + 5;
}

static int whole_answer(Connection *c) { /* for a request that wants no stream */
    static char text[1 << 16], json[(1 << 16) + 1024], out[(1 << 16) + 2048];
    size_t used = 0;
    text[0] = 0;
    for (long token = 0; token < c->plan.tokens && used < sizeof text - 32; token++)
        used += (size_t)sprintf(text + used, " t%ld", token);
    snprintf(json, sizeof json,
             "{\"id\":\"truth-%u\",\"model\":\"truth\",\"choices\":[{\"index\":0,%s\"%s\"%s,\"finish_reason\":\"length\"}],"
             "\"usage\":{\"prompt_tokens\":%ld,\"completion_tokens\":%ld}}",
             c->stream, c->chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"text\":", text,
             c->chat ? "}" : "", c->prompt, c->plan.tokens);
    int size = snprintf(out, sizeof out,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        strlen(json), json);
    c->next = c->plan.tokens;
    return put_noted(PIECE, c, 0, out, (size_t)size);
}

static long step(const Connection *c) { return c->plan.per_write * c->plan.per_chunk; }

static int write_tokens(Connection *c) { /* everything that is due now on this connection */
    static char out[1 << 18];
    size_t used = beginning(out, c);
    const Plan *plan = &c->plan;
    if (c->next == 0 && plan->role == ROLE_WITH_FIRST) used += role(out + used, c);
    if (plan->comment_every && c->next && c->next % plan->comment_every == 0) {
        char comment[64];
        if (!put(c, comment, chunk(comment, ": keep-alive\n\n"))) return 0;
    }
    if (plan->empty_every && c->next % plan->empty_every == 0)
        used += delta_chunk(out + used, c, c->chat ? "\"delta\":{\"content\":\"\"}" : "\"text\":\"\"", "null");
    long until = c->next + step(c) < plan->tokens ? c->next + step(c) : plan->tokens;
    for (long token = c->next; token < until; token += plan->per_chunk) {
        long last = token + plan->per_chunk < until ? token + plan->per_chunk : until;
        used += token_chunk(out + used, c, token, last);
    }
    int ends = until >= plan->tokens;
    if (ends && plan->tail_joined) used += tail(out + used, c);
    int good = put_noted(PIECE, c, c->next, out, used);
    c->next = until;
    if (good && ends && !plan->tail_joined) good = put_noted(END, c, until, out, tail(out, c));
    return good;
}

static void close_connection(Connection *c) {
    unschedule(c);
    close(c->fd);
    free(c->in);
    free(c);
}

static void stall(Connection *c) { /* adds the stalls that come before the next token */
    const Plan *plan = &c->plan;
    while (c->stalled < plan->stalls && plan->stall_at[c->stalled] <= c->next)
        c->due_ns += plan->stall_us[c->stalled++] * 1000;
}

static void serve(Connection *c) { /* its time has come */
    int good = c->streaming ? write_tokens(c) : whole_answer(c);
    if (!good) {
        close_connection(c);
    } else if (c->next >= c->plan.tokens) {
        unschedule(c);
    } else {
        c->due_ns += c->plan.gap_us * 1000 * step(c);
        stall(c);
        schedule(c, c->due_ns);
    }
}

static int begin(Connection *c, const char *body, int chat) {
    c->plan = defaults;
    take_plan(body, &c->plan, &c->key);
    const char *wish = value_of(body, "stream");
    c->streaming = wish && *wish == 't';
    c->chat = chat;
    c->usage = strstr(body, "\"include_usage\"") != NULL;
    c->prompt = words(body);
    c->stream = streams++;
    c->next = c->heads_sent = c->stalled = 0;
    note(REQUEST, c, (int32_t)c->plan.tokens, c->arrived_ns, now_ns(CLOCK_MONOTONIC));
    c->due_ns = c->arrived_ns + c->plan.ttft_us * 1000;
    if (!c->streaming) c->due_ns += (c->plan.tokens - 1) * c->plan.gap_us * 1000;
    if (c->streaming && c->plan.role == ROLE_EARLY) {
        char out[16384];
        size_t used = beginning(out, c);
        used += role(out + used, c);
        if (!put(c, out, used)) return 0;
    }
    stall(c);
    schedule(c, c->due_ns);
    return 1;
}

static int route(Connection *c, const char *line, const char *body) {
    char json[256];
    if (!strncmp(line, "POST", 4) && strstr(line, "/chat/completions")) return begin(c, body, 1);
    if (!strncmp(line, "POST", 4) && strstr(line, "/completions")) return begin(c, body, 0);
    if (!strncmp(line, "POST", 4) && strstr(line, "/tokenize")) {
        static char list[1 << 18];
        size_t used = 0;
        for (long i = words(body); i > 0 && used < sizeof list - 4; i--)
            used += (size_t)sprintf(list + used, used ? ",%d" : "%d", 1);
        static char tokens[(1 << 18) + 128];
        int size = snprintf(tokens, sizeof tokens,
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
                            "{\"tokens\":[%s]}", used + 13, used ? list : "");
        return put(c, tokens, (size_t)size);
    }
    if (strstr(line, "/health")) return answer(c, 200, "{\"status\":\"ok\"}");
    if (strstr(line, "/models")) {
        snprintf(json, sizeof json, "{\"object\":\"list\",\"data\":[{\"id\":\"truth\",\"object\":\"model\"}]}");
        return answer(c, 200, json);
    }
    return answer(c, 404, "{\"error\":{\"message\":\"no such path\",\"type\":\"not_found_error\",\"code\":404}}");
}

static int handle(Connection *c) { /* 0: the connection is of no more use */
    while (c->have) {
        c->in[c->have] = 0;
        char *end = strstr(c->in, "\r\n\r\n");
        if (!end) return 1;
        *end = 0;
        char *said = strcasestr(c->in, "\r\ncontent-length:");
        size_t length = said ? strtoul(said + 17, NULL, 10) : 0;
        *end = '\r';
        size_t whole = (size_t)(end + 4 - c->in) + length;
        if (whole > c->have) return 1;
        char kept = c->in[whole];
        char *line_end = strstr(c->in, "\r\n");
        c->in[whole] = 0;
        *line_end = 0;
        int good = route(c, c->in, end + 4);
        if (!good) return 0;
        c->in[whole] = kept;
        memmove(c->in, c->in + whole, c->have - whole);
        c->have -= whole;
    }
    return 1;
}

static int64_t stamp_of(struct msghdr *message) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(c), sizeof at);
            head->flags |= STAMPED;
            return at.tv_sec * 1000000000LL + at.tv_nsec - head->offset_ns;
        }
    return now_ns(CLOCK_MONOTONIC);
}

static void receive(Connection *c) {
    for (;;) {
        if (c->room - c->have < 65536) c->in = realloc(c->in, (c->room += 131072) + 1);
        char ancillary[256];
        struct iovec into = {c->in + c->have, c->room - c->have};
        struct msghdr message = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = ancillary,
                                 .msg_controllen = sizeof ancillary};
        ssize_t got = recvmsg(c->fd, &message, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            close_connection(c);
            return;
        }
        c->arrived_ns = stamp_of(&message);
        c->have += (size_t)got;
        if (!handle(c)) {
            close_connection(c);
            return;
        }
    }
}

static int pair[2] = {-1, -1};

static void make_pair(void) { /* a TCP connection of this process with itself */
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof where;
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&where, size) || listen(listener, 1)) return;
    getsockname(listener, (struct sockaddr *)&where, &size);
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!connect(pair[0], (struct sockaddr *)&where, size)) pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
}

/* After a sleep the kernel's way of sending is cold and takes some 30 us, between the logged time and the arrival. A
 * byte sent to itself before the due time makes the logged time tell when the token really went. */
static void warm_up(void) {
    char byte = 0;
    if (pair[1] < 0 || send(pair[0], &byte, 1, MSG_NOSIGNAL) != 1) return;
    if (recv(pair[1], &byte, 1, 0) != 1) pair[1] = -1;
}

static void welcome(int listener) {
    int on = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        Connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->heap_at = -1;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static void sleep_until(int64_t due_ns) { /* sets the timer on which the poller wakes up */
    static int64_t set;
    if (due_ns == set) return;
    set = due_ns;
    struct itimerspec at = {{0, 0}, {due_ns / 1000000000LL, due_ns % 1000000000LL}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void measure_offset(void) {
    int64_t best = INT64_MAX;
    for (int round = 0; round < 16; round++) {
        int64_t before = now_ns(CLOCK_MONOTONIC), wall = now_ns(CLOCK_REALTIME), after = now_ns(CLOCK_MONOTONIC);
        if (after - before < best) {
            best = after - before;
            head->offset_ns = wall - (before + after) / 2;
        }
    }
}

static int open_log(const char *path, uint64_t capacity) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t size = sizeof *head + capacity * sizeof *records;
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)size)) return 0;
    head = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    close(fd);
    if (head == MAP_FAILED) return 0;
    records = (Record *)(head + 1);
    head->capacity = capacity;
    memcpy(head->magic, "TRUTH01", 8);
    return 1;
}

static int take_argument(const char *argument) {
    struct { const char *name; long *into; } known[] = {
        {"ttft_us", &defaults.ttft_us}, {"gap_us", &defaults.gap_us}, {"tokens", &defaults.tokens},
        {"per_write", &defaults.per_write}, {"per_chunk", &defaults.per_chunk}, {"role", &defaults.role},
        {"empty_every", &defaults.empty_every}, {"comment_every", &defaults.comment_every},
        {"tail_joined", &defaults.tail_joined}};
    const char *equals = strchr(argument, '=');
    if (!equals) return 0;
    if (!strncmp(argument, "stalls=", 7)) return take_stalls(equals + 1, &defaults), 1;
    if (!strncmp(argument, "priority=", 9)) {
        struct sched_param wish = {.sched_priority = 10};
        if (equals[1] == '1' && !sched_setscheduler(0, SCHED_FIFO, &wish)) head->flags |= REALTIME_PRIORITY;
        return 1;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strncmp(argument, known[i].name, (size_t)(equals - argument)) && !known[i].name[equals - argument])
            return *known[i].into = strtol(equals + 1, NULL, 10), 1;
    return 0;
}

static int listen_on_a_free_port(void) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof where;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, size) || listen(fd, 1024)) return -1;
    getsockname(fd, (struct sockaddr *)&where, &size);
    head->port = ntohs(where.sin_port);
    return fd;
}

static void watch(int fd, void *as, uint32_t how) {
    struct epoll_event event = {.events = how, .data.ptr = as};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv) {
    if (argc < 3 || !open_log(argv[1], strtoull(argv[2], NULL, 10))) return perror("the log cannot be made"), 2;
    for (int i = 3; i < argc; i++)
        if (!take_argument(argv[i])) return fprintf(stderr, "not understood: %s\n", argv[i]), 2;
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    pid_t parent = getppid();
    poller = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int listener = listen_on_a_free_port();
    if (listener < 0) return perror("cannot listen"), 2;
    watch(listener, &listener, EPOLLIN);
    watch(timer, &timer, EPOLLIN | EPOLLET);
    measure_offset();
    make_pair();
    printf("%u\n", head->port);
    fflush(stdout);
    int64_t looked = now_ns(CLOCK_MONOTONIC);
    for (;;) {
        int64_t now = now_ns(CLOCK_MONOTONIC);
        if (heap_size && heap[0]->due_ns - now <= SPIN_NS) warm_up();
        while (heap_size && heap[0]->due_ns - now <= SPIN_NS) {
            while ((now = now_ns(CLOCK_MONOTONIC)) < heap[0]->due_ns) {}
            serve(heap[0]);
        }
        if (now - looked > 500000000LL) { /* nobody is left to ask anything */
            if (getppid() != parent) return 0;
            looked = now;
            measure_offset();
        }
        sleep_until(heap_size && heap[0]->due_ns - SPIN_NS < now + 1000000000LL ? heap[0]->due_ns - SPIN_NS
                                                                               : now + 1000000000LL);
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            void *which = events[i].data.ptr;
            if (which == &listener) welcome(listener);
            else if (which != &timer) receive(which);
        }
    }
}
