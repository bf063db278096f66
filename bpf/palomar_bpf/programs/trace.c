/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Two tc programs that report packets at an interface. They never change what happens to a packet.
 *
 * Seen from the host side of a veth, ingress is what its endpoint sends and egress what it gets;
 * any other interface is a network. Packets that are not IP, and IP packets cut short inside their
 * headers, have no connection and are reported only without aggregation.
 */

#define TC_ACT_UNSPEC -1

static __always_inline u16 device_type(struct __sk_buff *skb) {
    void *device = 0, *kernel_skb = skb;
    u16 type = ARPHRD_ETHER;

    /* Hidden from the optimiser, which would else reach members of __sk_buff through
     * `kernel_skb + offset`, and the verifier refuses that.
     */
    asm volatile("" : "+r"(kernel_skb));
    if (!READ(device, kernel_skb + OFFSET_SK_BUFF_DEV))
        READ(type, device + OFFSET_NET_DEVICE_TYPE);
    return type;
}

static __always_inline u8 observation_point(u8 hook, struct interface_ref *interface) {
    if (interface && interface->endpoint)
        return hook == HOOK_EGRESS ? POINT_TO_ENDPOINT : POINT_FROM_ENDPOINT;
    return hook == HOOK_EGRESS ? POINT_TO_NETWORK : POINT_FROM_NETWORK;
}

static __always_inline void emit_trace(struct __sk_buff *skb, u8 hook, bool ethernet, u64 now_ns,
                                       struct packet *packet, struct observation *seen) {
    struct trace_event event = {};
    struct interface_ref *interface;
    u32 ifindex = skb->ifindex;
    u32 captured = skb->len; /* bcc drops the packet bytes if given an expression */
    int kind = KIND_TRACE;
    struct counter *counter = counters.lookup(&kind);

    if (!counter || !admit(counter, now_ns, TRACE_RATE, TRACE_BURST))
        return;
    if (captured > SNAPLEN)
        captured = SNAPLEN;
    interface = interfaces.lookup(&ifindex);
    event.head.type = MESSAGE_TRACE;
    event.head.subtype = observation_point(hook, interface);
    event.head.source = interface ? interface->endpoint_id : 0;
    event.head.hash = skb->hash; /* as it is: to compute one would write to the packet */
    event.head.len_orig = skb->len;
    event.head.len_cap = captured;
    event.head.ext_version = EXT_VERSION;
    event.reason = seen->reason;
    event.flags = packet->ethertype == ETH_P_IPV6 ? MESSAGE_FLAG_IPV6 : 0;
    event.ifindex = ifindex;
    event.extension.time_ns = now_ns;
    event.extension.cgroup_id = bpf_skb_cgroup_id(skb);
    event.extension.netns = HOST_NETNS;
    event.extension.connection_state = seen->state;
    event.extension.ethertype = packet->ethertype;
    event.extension.packets = seen->packets;
    event.extension.bytes = seen->bytes;
    if (!ethernet) {
        event.flags |= MESSAGE_FLAG_L3_DEVICE;
        event.extension.flags = EXTENSION_FLAG_L3;
    }
    int result = events.perf_submit_skb(skb, captured, &event, sizeof(event));
    if (count_output(counter, result))
        settle(seen);
}

static __always_inline int trace(struct __sk_buff *skb, u8 hook) {
    struct packet packet = {};
    struct observation seen = {};
    u64 now_ns = bpf_ktime_get_boot_ns();
    bool ethernet = is_ethernet(device_type(skb));
    struct view view = {.skb = skb};

    parse(&view, ethernet, bpf_ntohs(skb->protocol), &packet);
    observe(&packet, skb->ifindex, hook, skb->len, now_ns, &seen);
    if (seen.report)
        emit_trace(skb, hook, ethernet, now_ns, &packet, &seen);
    return TC_ACT_UNSPEC;
}

int trace_ingress(struct __sk_buff *skb) {
    return trace(skb, HOOK_INGRESS);
}

int trace_egress(struct __sk_buff *skb) {
    return trace(skb, HOOK_EGRESS);
}
