/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Which connection a packet belongs to, who opened it, and whether this packet is worth an event.
 *
 * The table is an LRU hash: when it is full the longest unused connection goes, with whatever was
 * counted for it since its last report. Each interface has its own view of a connection.
 *
 * CPUs share an entry without a lock. Each takes the time before it looks, so a time it finds here
 * may lie ahead of its own by a little: ages are compared as signed numbers. What is counted only
 * ever grows, and it is added atomically, so no packet goes uncounted. Two CPUs that report the same
 * direction in the same instant may both speak for what came since the report before; an event never
 * speaks for less than its own packet.
 */

#define AGGREGATION_NONE 0
#define AGGREGATION_LOW 1
#define AGGREGATION_MEDIUM 2

#define HOOK_INGRESS 0
#define HOOK_EGRESS 1

#define BY_LOWER 0
#define BY_HIGHER 1

#define OPENER_UNKNOWN 0
#define OPENER(sender) ((sender) + 1)

#define FINISHED(sender) (1 << (sender))
#define FINISHED_BOTH 3

/* Silence after which a conversation without an end of its own counts as a new one. */
#define IDLE_NS (60 * 1000000000LL)

/* The endpoint that sorts lower comes first, so that both directions have the same key. */
struct connection_key {
    u64 lower[2];
    u64 higher[2];
    u16 lower_port;
    u16 higher_port;
    u32 ifindex;
    u8 protocol;
    u8 pad[7];
};

/* One direction as seen at one of the interface's two hooks. */
struct connection_side {
    u64 reported_ns; /* 0: nothing of it was seen since the connection was opened */
    u64 bytes;       /* since the connection was opened, like `packets` */
    u64 told_bytes;  /* what events in the ring stood for of them, like `told_packets` */
    u32 packets;     /* wraps; only differences are used */
    u32 told_packets;
    u8 flags; /* since the last report that was due to the interval */
    u8 pad[7];
};

struct connection {
    u64 seen_ns;
    u8 opener;   /* OPENER_UNKNOWN or OPENER(BY_…) */
    u8 answered; /* 1: the other side has sent something */
    u8 finished; /* FINISHED bits of the senders of FIN; both after RST */
    u8 pad[5];
    struct connection_side sides[4]; /* index: hook * 2 + sender */
};

BPF_TABLE("lru_hash", struct connection_key, struct connection, connections, CONNECTIONS_MAX);

/* What becomes of a packet. */
struct observation {
    bool report;
    u8 reason;
    u8 state;
    u32 packets; /* that the event stands for, like `bytes` */
    u64 bytes;
    u32 total_packets; /* of the side when this packet came, like `total_bytes` */
    u64 total_bytes;
    struct connection_side *side; /* where they are kept; NULL: nowhere */
};

static __always_inline bool is_lower(struct endpoint_address *a, struct endpoint_address *b) {
    if (a->address[0] != b->address[0])
        return a->address[0] < b->address[0];
    if (a->address[1] != b->address[1])
        return a->address[1] < b->address[1];
    return a->port < b->port;
}

static __always_inline u8 sender_of(struct packet *packet) {
    return is_lower(&packet->destination, &packet->source) ? BY_HIGHER : BY_LOWER;
}

static __always_inline void set_ends(struct connection_key *key, struct endpoint_address *lower,
                                     struct endpoint_address *higher) {
    key->lower[0] = lower->address[0];
    key->lower[1] = lower->address[1];
    key->lower_port = lower->port;
    key->higher[0] = higher->address[0];
    key->higher[1] = higher->address[1];
    key->higher_port = higher->port;
}

/* Fill a zeroed key. */
static __always_inline void set_key(struct connection_key *key, struct packet *packet, u8 sender,
                                    u32 ifindex) {
    key->ifindex = ifindex;
    key->protocol = packet->protocol;
    if (sender == BY_LOWER)
        set_ends(key, &packet->source, &packet->destination);
    else
        set_ends(key, &packet->destination, &packet->source);
}

/* Time since another moment, which another CPU may have noted a little ahead of this one. */
static __always_inline s64 age_ns(u64 now_ns, u64 then_ns) {
    return now_ns - then_ns;
}

/* Does this packet begin the connection anew, whatever the entry says? A repeated SYN of an attempt
 * that nobody has answered does not: it is the same attempt.
 */
static __always_inline bool reopens(struct connection *entry, struct packet *packet, u8 sender,
                                    u64 now_ns) {
    if (packet->opening == OPENS)
        return entry->finished == FINISHED_BOTH || entry->answered ||
               entry->opener != OPENER(sender);
    return packet->protocol != IPPROTO_TCP && age_ns(now_ns, entry->seen_ns) > IDLE_NS;
}

static __always_inline u8 opener_of(struct packet *packet, u8 sender) {
    if (packet->opening == OPENS || packet->opening == FIRST)
        return OPENER(sender);
    if (packet->opening == ANSWERS)
        return OPENER(!sender);
    return OPENER_UNKNOWN;
}

static __always_inline struct connection *find(struct packet *packet, u8 sender, u32 ifindex,
                                               u64 now_ns) {
    struct connection_key key = {};
    struct connection *entry;

    set_key(&key, packet, sender, ifindex);
    entry = connections.lookup(&key);
    if (!entry) {
        struct connection fresh = {.seen_ns = now_ns, .opener = opener_of(packet, sender)};

        connections.insert(&key, &fresh);
        return connections.lookup(&key);
    }
    if (reopens(entry, packet, sender, now_ns)) {
        __builtin_memset(entry, 0, sizeof(*entry));
        entry->opener = opener_of(packet, sender);
    } else if (entry->opener == OPENER_UNKNOWN && packet->opening == ANSWERS) {
        entry->opener = OPENER(!sender);
    }
    entry->seen_ns = now_ns;
    return entry;
}

/* What a packet is to a connection that `opener` opened. `first`: of its direction at its hook. */
static __always_inline void classify(u8 opener, struct packet *packet, u8 sender, bool first,
                                     struct observation *seen) {
    if (opener == OPENER_UNKNOWN)
        return;
    if (opener != OPENER(sender)) {
        seen->reason = TRACE_REPLY;
        seen->state = CONNECTION_REPLY;
    } else if (first || packet->opening == OPENS) {
        seen->reason = TRACE_NEW;
        seen->state = CONNECTION_NEW;
    } else {
        seen->reason = TRACE_ESTABLISHED;
        seen->state = CONNECTION_ESTABLISHED;
    }
}

/* Does aggregation let an event out? Flags add up between two reports that are due to the interval;
 * else packets that alternate between two sets of flags would all be reported.
 */
static __always_inline bool is_due(struct connection_side *side, u8 flags, u8 hook, u64 now_ns) {
    u8 watched = flags & AGGREGATION_FLAGS;
    bool elapsed = !side->reported_ns ||
                   age_ns(now_ns, side->reported_ns) >= (s64)AGGREGATION_INTERVAL_NS;
    bool unseen = watched & ~side->flags;

    side->flags = elapsed ? watched : side->flags | watched;
    return elapsed || unseen || AGGREGATION == AGGREGATION_NONE ||
           (AGGREGATION == AGGREGATION_LOW && hook == HOOK_EGRESS);
}

/* Track a packet of `bytes` bytes that was seen at a hook of an interface. */
static __always_inline void observe(struct packet *packet, u32 ifindex, u8 hook, u32 bytes,
                                    u64 now_ns, struct observation *seen) {
    u8 sender = sender_of(packet);
    struct connection *entry;
    struct connection_side *side;

    seen->reason = TRACE_UNKNOWN;
    seen->state = CONNECTION_UNKNOWN;
    seen->packets = 1;
    seen->bytes = bytes;
    if (!packet->opening) {
        seen->report = AGGREGATION == AGGREGATION_NONE;
        return;
    }
    seen->report = true;
    if (packet->opening == ERROR) {
        seen->reason = TRACE_RELATED;
        return;
    }
    entry = find(packet, sender, ifindex, now_ns);
    if (!entry)
        return; /* Evicted at once: the table is far too small. Better one event too many. */
    side = &entry->sides[(hook * 2 + sender) & 3];
    classify(entry->opener, packet, sender, !side->reported_ns, seen);
    if (seen->reason == TRACE_REPLY)
        entry->answered = 1;
    if (packet->tcp_flags & TCP_RST)
        entry->finished = FINISHED_BOTH;
    else if (packet->tcp_flags & TCP_FIN)
        entry->finished |= FINISHED(sender);
    __sync_fetch_and_add(&side->packets, 1);
    __sync_fetch_and_add(&side->bytes, bytes);
    seen->report = is_due(side, packet->tcp_flags, hook, now_ns);
    if (!seen->report)
        return;
    side->reported_ns = now_ns;
    seen->total_packets = side->packets;
    seen->total_bytes = side->bytes;
    if ((s32)(seen->total_packets - side->told_packets) > 1)
        seen->packets = seen->total_packets - side->told_packets;
    if ((s64)(seen->total_bytes - side->told_bytes) > bytes)
        seen->bytes = seen->total_bytes - side->told_bytes;
    seen->side = side;
}

/* The event is in the ring: what it stood for is not to be reported again. Where it was not, the
 * next event of this side stands for it as well.
 */
static __always_inline void settle(struct observation *seen) {
    if (!seen->side)
        return;
    seen->side->told_packets = seen->total_packets;
    seen->side->told_bytes = seen->total_bytes;
}

/* Say what `observe` says of a packet, and change nothing. It may have seen this packet already, as
 * it has at ingress: so the first packet of a side is one before which there was at most itself.
 */
static __always_inline void peek(struct packet *packet, u32 ifindex, u8 hook, u64 now_ns,
                                 struct observation *seen) {
    u8 sender = sender_of(packet), opener = opener_of(packet, sender);
    struct connection_key key = {};
    struct connection *entry;
    bool first = true;

    seen->reason = packet->opening == ERROR ? TRACE_RELATED : TRACE_UNKNOWN;
    seen->state = CONNECTION_UNKNOWN;
    if (!packet->opening || packet->opening == ERROR)
        return;
    set_key(&key, packet, sender, ifindex);
    entry = connections.lookup(&key);
    if (entry && !reopens(entry, packet, sender, now_ns)) {
        if (entry->opener != OPENER_UNKNOWN || packet->opening != ANSWERS)
            opener = entry->opener;
        first = entry->sides[(hook * 2 + sender) & 3].packets <= 1;
    }
    classify(opener, packet, sender, first, seen);
}
