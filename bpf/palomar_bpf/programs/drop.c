/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* A raw tracepoint program that reports the IP packets the kernel frees without delivering them.
 *
 * Only packets with an IP ethertype in skb->protocol: unix and netlink sockets use skbs as well and
 * leave it 0. Members of kernel structs are read at the offsets this kernel's BTF gives.
 */

#define ETH_HEADER_BYTES 14
#define ETH_HEADER_BYTES_MAX (14 + 2 * 4) /* with two VLAN tags */
#define MAC_HEADER_UNSET 0xffff
/* Bound of the per-CPU buffer; what lies in the linear area of an skb is rarely longer. */
#define DROP_SNAPLEN (SNAPLEN < 16384 ? SNAPLEN : 16384)

/* Inode numbers of namespaces start here (PROC_DYNAMIC_FIRST, and the fixed ones just below it);
 * a smaller one shows that `dev` held something else: sockets reuse its place in queued skbs.
 */
#define NAMESPACE_INODE_MIN 0xe0000000

#define TCP_STATE_TIME_WAIT 6
#define TCP_STATE_NEW_SYN_RECV 12

struct drop_buffer {
    u64 busy;
    u64 context;
    struct drop_event event;
    u8 bytes[DROP_SNAPLEN + 1]; /* never empty */
};

BPF_PERCPU_ARRAY(drop_buffers, struct drop_buffer, 1);

/* Where a dropped packet was, and why it is no more. */
struct whereabouts {
    void *device; /* NULL where unknown */
    void *socket; /* NULL where unknown */
    u32 ifindex;
    u32 netns;
    u32 reason;
    u16 ethertype; /* host byte order */
    u16 endpoint_id;
};

static __always_inline u32 netns_inode(void *possible_net) {
    void *net = 0;
    u32 inode = 0;

    if (!READ(net, possible_net))
        READ(inode, net + OFFSET_NET_INUM);
    return inode >= NAMESPACE_INODE_MIN ? inode : 0;
}

static __always_inline void locate(void *skb, void *receiver, struct whereabouts *where) {
    READ(where->socket, skb + OFFSET_SK_BUFF_SK);
    if (!where->socket)
        where->socket = receiver;
    READ(where->device, skb + OFFSET_SK_BUFF_DEV);
    if (where->device)
        where->netns = netns_inode(where->device + OFFSET_NET_DEVICE_NET);
    if (where->netns) {
        READ(where->ifindex, where->device + OFFSET_NET_DEVICE_IFINDEX);
        return;
    }
    where->device = 0;
    READ(where->ifindex, skb + OFFSET_SK_BUFF_IIF);
    if (where->socket)
        where->netns = netns_inode(where->socket + OFFSET_SOCK_NET);
}

/* Find the endpoint a drop belongs to; false where nobody wants to know of it. */
static __always_inline bool is_wanted(struct whereabouts *where) {
    struct namespace_ref *namespace = namespaces.lookup(&where->netns);
    struct interface_ref *interface = 0;

    if (where->netns == HOST_NETNS)
        interface = interfaces.lookup(&where->ifindex);
    if (namespace && namespace->endpoint_id)
        where->endpoint_id = namespace->endpoint_id;
    else if (interface)
        where->endpoint_id = interface->endpoint_id;
    return !DROPS_WATCHED || (namespace && namespace->watched) || interface;
}

#ifdef OFFSET_CGROUP_DATA_CGROUP
/* Request and time-wait sockets are shorter than the member read here. */
static __always_inline u64 socket_cgroup(void *socket) {
    void *cgroup = 0, *node = 0;
    u64 id = 0;
    u8 state = TCP_STATE_TIME_WAIT;

    READ(state, socket + OFFSET_SOCK_STATE);
    if (state == TCP_STATE_TIME_WAIT || state == TCP_STATE_NEW_SYN_RECV)
        return 0;
    if (!READ(cgroup, socket + OFFSET_SOCK_CGROUP_DATA + OFFSET_CGROUP_DATA_CGROUP) && cgroup &&
        !READ(node, cgroup + OFFSET_CGROUP_NODE) && node)
        READ(id, node + OFFSET_KERNFS_NODE_ID);
    return id;
}
#endif

#ifdef TASK_STACK_BYTES
/* The task on the CPU has to do with the drop only in its own system call. Softirqs run on another
 * stack than the task's, where the arguments of the tracepoint lie too, but for two cases: kernel
 * threads run them on their own stack, and so do interrupts that came in user mode, when the saved
 * registers name no system call.
 */
static __always_inline void set_task(u64 *context, struct extension *extension) {
    struct task_struct *task = bpf_get_current_task_btf();
    void *registers = (void *)bpf_task_pt_regs(task);
    u64 stack = 0, mm = 0, id;
    s64 system_call = -1;

    READ(stack, (void *)task + OFFSET_TASK_STACK);
    READ(mm, (void *)task + OFFSET_TASK_MM);
    READ(system_call, registers + OFFSET_REGISTERS_SYSTEM_CALL);
    if (!mm || system_call < 0 || *context - stack >= TASK_STACK_BYTES)
        return;
    id = bpf_get_current_pid_tgid();
    extension->tgid = id >> 32;
    extension->tid = id;
    extension->flags |= EXTENSION_FLAG_TASK;
}
#endif

/* Copy the packet from its Ethernet header, or else its network header, as far as it is linear, and
 * at most `limit` bytes.
 */
static __always_inline u64 copy_packet(void *skb, struct whereabouts *where,
                                       struct drop_event *event, u8 *bytes, const u64 limit) {
    void *head = 0, *data = 0;
    u16 mac_header = 0, network_header = 0, type = 0;
    u32 length = 0, tail = 0, start;
    u64 captured;

    READ(head, skb + OFFSET_SK_BUFF_HEAD);
    READ(data, skb + OFFSET_SK_BUFF_DATA);
    READ(tail, skb + OFFSET_SK_BUFF_TAIL);
    READ(length, skb + OFFSET_SK_BUFF_LEN);
    READ(mac_header, skb + OFFSET_SK_BUFF_MAC_HEADER);
    READ(network_header, skb + OFFSET_SK_BUFF_NETWORK_HEADER);
    if (where->device)
        READ(type, where->device + OFFSET_NET_DEVICE_TYPE);
    start = network_header;
    if (is_ethernet(type) && mac_header != MAC_HEADER_UNSET &&
        mac_header + ETH_HEADER_BYTES <= network_header &&
        mac_header + ETH_HEADER_BYTES_MAX >= network_header)
        start = mac_header;
    else
        event->flags |= MESSAGE_FLAG_L3_DEVICE;
    event->head.len_orig = length + (u32)(data - head) - start;
    if (tail <= start)
        return 0;
    captured = tail - start;
    /* Keeps the bound below on the very register that the helper gets, for the verifier. */
    asm volatile("" : "+r"(captured));
    if (captured > limit)
        captured = limit;
    if (read_kernel(bytes, captured, head + start))
        return 0;
    event->head.len_cap = captured;
    return captured;
}

/* Fill event and packet bytes, and return how many of the latter there are. `context` is memory of
 * the caller's.
 */
static __always_inline u64 describe_drop(struct bpf_raw_tracepoint_args *ctx, u64 *context,
                                         struct drop_event *event, u8 *bytes, const u64 limit,
                                         struct whereabouts *where, u64 now_ns) {
    void *skb = (void *)ctx->args[0];
    struct extension *extension = &event->extension;
    u64 captured;

    __builtin_memset(event, 0, sizeof(*event));
    event->head.type = MESSAGE_DROP;
    event->head.subtype = DROP_SUBTYPE_KERNEL;
    event->head.source = where->endpoint_id;
    event->head.version = 2;
    event->head.ext_version = EXT_VERSION;
    event->ifindex = where->ifindex;
    event->flags = where->ethertype == ETH_P_IPV6 ? MESSAGE_FLAG_IPV6 : 0;
    READ(event->head.hash, skb + OFFSET_SK_BUFF_HASH);
    extension->time_ns = now_ns;
    extension->location = ctx->args[1];
    extension->netns = where->netns;
    extension->drop_reason = where->reason;
    extension->ethertype = where->ethertype;
    extension->packets = 1;
    if (where->device) /* as a string: behind its end a renamed device keeps bytes of old names */
        READ_STRING(extension->interface, where->device + OFFSET_NET_DEVICE_NAME);
#ifdef OFFSET_CGROUP_DATA_CGROUP
    if (where->socket)
        extension->cgroup_id = socket_cgroup(where->socket);
#endif
#ifdef TASK_STACK_BYTES
    *(volatile u64 *)context = (u64)ctx; /* read back as a plain number */
    set_task(context, extension);
#endif
    captured = copy_packet(skb, where, event, bytes, limit);
    extension->bytes = event->head.len_orig;
    return captured;
}

/* Is this a packet whose drop somebody wants to know of, and where was it? */
static __always_inline bool is_reported(struct bpf_raw_tracepoint_args *ctx,
                                        struct whereabouts *where) {
    void *skb = (void *)ctx->args[0];
    void *receiver = 0;
    u32 reason = 0;
    __be16 protocol = 0;

    READ(protocol, skb + OFFSET_SK_BUFF_PROTOCOL);
    if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6))
        return false;
#if KFREE_SKB_ARGUMENTS >= 3
    reason = ctx->args[2];
    if (ignored_reasons.lookup(&reason))
        return false;
#endif
#if KFREE_SKB_ARGUMENTS >= 4
    receiver = (void *)ctx->args[3];
#endif
    where->ethertype = bpf_ntohs(protocol);
    where->reason = reason;
    locate(skb, receiver, where);
    return is_wanted(where);
}

int drop(struct bpf_raw_tracepoint_args *ctx) {
    struct whereabouts where = {};
    struct drop_buffer *buffer;
    struct counter *counter;
    u64 now_ns;
    u32 size;
    int kind = KIND_DROP, zero = 0;

    if (!is_reported(ctx, &where))
        return 0;
    counter = counters.lookup(&kind);
    buffer = drop_buffers.lookup(&zero);
    if (!counter || !buffer)
        return 0;
    if (buffer->busy) { /* an interrupt's drop came in the middle of another one */
        count_output(counter, 1);
        return 0;
    }
    *(volatile u64 *)&buffer->busy = 1;
    now_ns = bpf_ktime_get_boot_ns();
    if (admit(counter, now_ns, DROP_RATE, DROP_BURST)) {
        size = sizeof(buffer->event) + describe_drop(ctx, &buffer->context, &buffer->event,
                                                     buffer->bytes, DROP_SNAPLEN, &where, now_ns);
        int result = events.perf_submit(ctx, &buffer->event, size);
        count_output(counter, result);
    }
    *(volatile u64 *)&buffer->busy = 0;
    return 0;
}
