/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Which recordings' rules a packet matches: all at once, a bit each.
 *
 * For each thing a rule may ask of a packet there is the set of the rules that do not ask it, and for
 * each value the set of those that ask for that value. A packet matches the rules that are in one of
 * the two for everything. User space sees to it that the set of a network has the rules of all wider
 * networks around it, too, as only the narrowest is looked up (palomar_bpf/rule_tables.py).
 *
 * Bits are independent of each other: a set may be read while it is being written.
 */

#define RULE_WORDS 4
#define RULES_MAX 256
#define RULE_NETWORKS_MAX 65536
#define RULE_NUMBERS_MAX 8192

#define RECORD_INGRESS 0
#define RECORD_EGRESS 1
#define RECORD_DROP 2

#define SIDE_SOURCE 0
#define SIDE_DESTINATION 1

#define NUMBER_SOURCE_PORT 0
#define NUMBER_DESTINATION_PORT 1
#define NUMBER_PROTOCOL 2
#define NUMBER_INTERFACE 3

struct rule_set {
    u64 words[RULE_WORDS]; /* rule r: bit r % 64 of word r / 64 */
};

struct record_plan {
    struct rule_set enabled;
    struct rule_set points[3];   /* index: RECORD_… */
    struct rule_set networks[2]; /* of any network; index: SIDE_… */
    struct rule_set numbers[4];  /* of any number; index: NUMBER_… */
    u64 snaplen;
};

struct rule_number {
    u32 kind; /* NUMBER_… */
    u32 value;
};

struct rule_network {
    u32 prefix_bits; /* of all that follows */
    u8 side;
    u8 version;
    u8 pad[2];
    u8 address[16]; /* network byte order; of IPv4 four bytes */
};

struct record_loss {
    u64 packets;
    u64 bytes;
};

BPF_ARRAY(record_plans, struct record_plan, 1);
BPF_HASH(rule_numbers, struct rule_number, struct rule_set, RULE_NUMBERS_MAX);
BPF_LPM_TRIE(rule_networks, struct rule_network, struct rule_set, RULE_NETWORKS_MAX);
BPF_PERCPU_ARRAY(record_losses, struct record_loss, RULES_MAX);
/* For each rule, those of the same recording with lower numbers: a loss counts for the first only. */
BPF_ARRAY(record_siblings, struct rule_set, RULES_MAX);
BPF_PERF_OUTPUT(recorded);

static __always_inline bool is_empty(const struct rule_set *set) {
    return !(set->words[0] | set->words[1] | set->words[2] | set->words[3]);
}

/* Is there one that asks for something? */
static __always_inline bool asks(const struct rule_set *set, const struct rule_set *any) {
    return (set->words[0] & ~any->words[0]) | (set->words[1] & ~any->words[1]) |
           (set->words[2] & ~any->words[2]) | (set->words[3] & ~any->words[3]);
}

/* Leave those that ask for nothing and those that ask for what was found, if it was. */
static __always_inline void narrow(struct rule_set *set, const struct rule_set *any,
                                   const struct rule_set *found) {
#pragma unroll
    for (int i = 0; i < RULE_WORDS; i++)
        set->words[i] &= found ? any->words[i] | found->words[i] : any->words[i];
}

static __always_inline void narrow_by_number(struct rule_set *set, const struct record_plan *plan,
                                             u32 kind, bool known, u32 value) {
    const struct rule_set *any = &plan->numbers[kind], *found = 0;
    struct rule_number key = {.kind = kind, .value = value};

    if (!asks(set, any))
        return;
    if (known)
        found = rule_numbers.lookup(&key);
    narrow(set, any, found);
}

static __always_inline void narrow_by_network(struct rule_set *set, const struct record_plan *plan,
                                              u8 side, u8 version,
                                              const struct endpoint_address *end) {
    const struct rule_set *any = &plan->networks[side], *found = 0;
    struct rule_network key = {
        .prefix_bits = 8 * (sizeof(key) - sizeof(key.prefix_bits)),
        .side = side,
        .version = version,
    };

    if (!asks(set, any))
        return;
    if (version == 4)
        __builtin_memcpy(key.address, (void *)&end->address[1] + 4, 4);
    else
        __builtin_memcpy(key.address, end->address, 16);
    if (version)
        found = rule_networks.lookup(&key);
    narrow(set, any, found);
}

/* The rules for a point and an interface, 0 for none. */
static __always_inline void begin_match(struct rule_set *set, const struct record_plan *plan,
                                        u32 point, u32 ifindex) {
#pragma unroll
    for (int i = 0; i < RULE_WORDS; i++)
        set->words[i] = plan->enabled.words[i] & plan->points[point].words[i];
    narrow_by_number(set, plan, NUMBER_INTERFACE, ifindex, ifindex);
}

/* Leave the rules that a packet matches. One whose addresses could not be read has none, and later
 * fragments have no ports.
 */
static __always_inline void match(struct rule_set *set, const struct record_plan *plan,
                                  const struct packet *packet) {
    u8 version = packet->version;
    bool ports;

    ports = version && packet->opening &&
            (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP ||
             packet->protocol == IPPROTO_SCTP) &&
            (packet->source.port | packet->destination.port);
    narrow_by_number(set, plan, NUMBER_PROTOCOL, version, packet->protocol);
    narrow_by_number(set, plan, NUMBER_DESTINATION_PORT, ports,
                     bpf_ntohs(packet->destination.port));
    narrow_by_number(set, plan, NUMBER_SOURCE_PORT, ports, bpf_ntohs(packet->source.port));
    if (is_empty(set))
        return;
    narrow_by_network(set, plan, SIDE_DESTINATION, version, &packet->destination);
    narrow_by_network(set, plan, SIDE_SOURCE, version, &packet->source);
}

static __always_inline bool intersect(const struct rule_set *a, const struct rule_set *b) {
    return (a->words[0] & b->words[0]) | (a->words[1] & b->words[1]) |
           (a->words[2] & b->words[2]) | (a->words[3] & b->words[3]);
}

/* The ring was full: count it for each rule that a packet of `bytes` captured bytes matched, but for
 * one only of those that belong together.
 */
static __always_inline void count_loss(const struct rule_set *set, u32 bytes) {
#pragma unroll
    for (int i = 0; i < RULE_WORDS; i++) {
        u64 left = set->words[i];

#pragma clang loop unroll(disable)
        for (int bit = 0; left && bit < 64; bit++, left >>= 1) {
            int rule = i * 64 + bit;
            struct rule_set *siblings;
            struct record_loss *loss;

            if (!(left & 1))
                continue;
            siblings = record_siblings.lookup(&rule);
            if (siblings && intersect(siblings, set))
                continue;
            loss = record_losses.lookup(&rule);
            if (!loss)
                continue;
            /* Atomic: an interrupt may lose one, too. */
            __sync_fetch_and_add(&loss->packets, 1);
            __sync_fetch_and_add(&loss->bytes, bytes);
        }
    }
}
