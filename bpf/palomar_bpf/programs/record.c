/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Three programs that hand over the packets that recordings ask for: at the hooks of an interface
 * and where the kernel drops them. They are attached only while there are recordings.
 *
 * What they send is the monitor message of trace.c or drop.c behind the set of rules that the packet
 * matched. A VLAN tag that the kernel keeps beside the packet's bytes stands in src_label, as it was
 * on the wire; palomar_bpf/packet_batch.py puts it back into its place. They never change what
 * happens to a packet, nor the connection table, and keep no rate: whoever records wants it all.
 */

struct trace_record {
    struct rule_set rules;
    struct trace_event event;
};

/* A perf record has 16 bits for its length, which is a multiple of 8; header and raw size are 12. */
#define RECORD_BYTES_MAX (65528 - 12 - (u32)sizeof(struct trace_record))
/* Bound of the per-CPU buffer, as in drop.c. */
#define RECORD_DROP_BYTES_MAX 16384

_Static_assert(sizeof(struct trace_record) == 136, "palomar_bpf.capture_rule");

struct drop_record {
    u64 busy;
    u64 context;
    struct rule_set rules; /* what is sent begins here */
    struct drop_event event;
    u8 bytes[RECORD_DROP_BYTES_MAX + 1]; /* never empty */
};

BPF_PERCPU_ARRAY(drop_records, struct drop_record, 1);

static __always_inline void emit_record(struct __sk_buff *skb, u8 hook, bool ethernet,
                                        const struct record_plan *plan, struct packet *packet,
                                        struct rule_set *rules) {
    struct trace_record record = {.rules = *rules};
    struct trace_event *event = &record.event;
    struct observation seen = {};
    struct interface_ref *interface;
    u32 ifindex = skb->ifindex;
    u64 now_ns = bpf_ktime_get_boot_ns();
    u32 captured = skb->len; /* bcc drops the packet bytes if given an expression */

    if (captured > plan->snaplen)
        captured = plan->snaplen;
    if (captured > RECORD_BYTES_MAX)
        captured = RECORD_BYTES_MAX;
    peek(packet, ifindex, hook, now_ns, &seen);
    interface = interfaces.lookup(&ifindex);
    event->head.type = MESSAGE_TRACE;
    event->head.subtype = observation_point(hook, interface);
    event->head.source = interface ? interface->endpoint_id : 0;
    event->head.hash = skb->hash;
    event->head.len_orig = skb->len;
    event->head.len_cap = captured;
    event->head.ext_version = EXT_VERSION;
    if (skb->vlan_present)
        event->src_label = skb->vlan_proto | (u32)bpf_htons(skb->vlan_tci) << 16;
    event->reason = seen.reason;
    event->flags = packet->ethertype == ETH_P_IPV6 ? MESSAGE_FLAG_IPV6 : 0;
    event->ifindex = ifindex;
    event->extension.time_ns = now_ns;
    event->extension.cgroup_id = bpf_skb_cgroup_id(skb);
    event->extension.netns = HOST_NETNS;
    event->extension.connection_state = seen.state;
    event->extension.ethertype = packet->ethertype;
    event->extension.packets = 1;
    event->extension.bytes = skb->len;
    if (!ethernet) {
        event->flags |= MESSAGE_FLAG_L3_DEVICE;
        event->extension.flags = EXTENSION_FLAG_L3;
    }
    int result = recorded.perf_submit_skb(skb, captured, &record, sizeof(record));
    if (result)
        count_loss(rules, captured);
}

static __always_inline int record(struct __sk_buff *skb, u8 hook) {
    struct packet packet = {};
    struct rule_set rules = {};
    struct view view = {.skb = skb};
    struct record_plan *plan;
    bool ethernet;
    int zero = 0;

    plan = record_plans.lookup(&zero);
    if (!plan)
        return TC_ACT_UNSPEC;
    begin_match(&rules, plan, hook == HOOK_EGRESS ? RECORD_EGRESS : RECORD_INGRESS, skb->ifindex);
    if (is_empty(&rules))
        return TC_ACT_UNSPEC;
    ethernet = is_ethernet(device_type(skb));
    parse(&view, ethernet, bpf_ntohs(skb->protocol), &packet);
    match(&rules, plan, &packet);
    if (!is_empty(&rules))
        emit_record(skb, hook, ethernet, plan, &packet, &rules);
    return TC_ACT_UNSPEC;
}

int record_ingress(struct __sk_buff *skb) {
    return record(skb, HOOK_INGRESS);
}

int record_egress(struct __sk_buff *skb) {
    return record(skb, HOOK_EGRESS);
}

/* Parse what was read of a dropped packet and leave the rules it matches. */
static __always_inline void match_drop(const struct record_plan *plan, struct drop_record *record,
                                       struct rule_set *rules, u64 captured) {
    struct packet packet = {};
    struct view view = {.start = record->bytes, .length = captured};
    bool ethernet = !(record->event.flags & MESSAGE_FLAG_L3_DEVICE);

    parse(&view, ethernet, record->event.extension.ethertype, &packet);
    match(rules, plan, &packet);
}

#ifdef OFFSET_SK_BUFF_VLAN_ALL
/* The tag that the kernel keeps beside a packet, as it was on the wire; 0 for none. */
static __always_inline u32 tag_beside(void *skb) {
    struct {
        __be16 protocol;
        u16 control;
    } tag = {};

    READ(tag, skb + OFFSET_SK_BUFF_VLAN_ALL);
    return tag.protocol | (u32)bpf_htons(tag.control) << 16;
}
#endif

static __always_inline void emit_drop_record(struct bpf_raw_tracepoint_args *ctx,
                                             const struct record_plan *plan,
                                             struct drop_record *record, struct rule_set *rules,
                                             struct whereabouts *where) {
    u64 captured, snaplen = plan->snaplen;
    u32 size;

    captured = describe_drop(ctx, &record->context, &record->event, record->bytes,
                             RECORD_DROP_BYTES_MAX, where, bpf_ktime_get_boot_ns());
    match_drop(plan, record, rules, captured);
    if (is_empty(rules))
        return;
#ifdef OFFSET_SK_BUFF_VLAN_ALL
    if (!(record->event.flags & MESSAGE_FLAG_L3_DEVICE))
        record->event.src_label = tag_beside((void *)ctx->args[0]);
#endif
    if (captured > snaplen)
        captured = snaplen;
    /* Keeps the bound below on the very register that the helper gets, for the verifier. */
    asm volatile("" : "+r"(captured));
    if (captured > RECORD_DROP_BYTES_MAX)
        captured = RECORD_DROP_BYTES_MAX;
    record->event.head.len_cap = captured;
    record->rules = *rules;
    size = sizeof(record->rules) + sizeof(record->event) + captured;
    int result = recorded.perf_submit(ctx, &record->rules, size);
    if (result)
        count_loss(&record->rules, record->event.head.len_cap);
}

int record_drop(struct bpf_raw_tracepoint_args *ctx) {
    struct whereabouts where = {};
    struct rule_set rules = {};
    struct drop_record *record;
    struct record_plan *plan;
    int zero = 0;

    plan = record_plans.lookup(&zero);
    if (!plan || !is_reported(ctx, &where))
        return 0;
    begin_match(&rules, plan, RECORD_DROP, where.netns == HOST_NETNS ? where.ifindex : 0);
    if (is_empty(&rules))
        return 0;
    record = drop_records.lookup(&zero);
    if (!record)
        return 0;
    if (record->busy) {
        /* An interrupt's drop came in the middle of another one. What it was is not known, so it
         * counts for every rule that it could have matched: rather one too many than none.
         */
        count_loss(&rules, 0);
        return 0;
    }
    *(volatile u64 *)&record->busy = 1;
    emit_drop_record(ctx, plan, record, &rules, &where);
    *(volatile u64 *)&record->busy = 0;
    return 0;
}
