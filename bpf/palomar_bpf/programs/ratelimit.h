/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* A token bucket for each kind of event on each CPU, and the counts of what became of the events.
 *
 * `lost` and `withheld` are the only truth about kernel-side loss: user space reads them from here
 * and takes the perf ring's own records of loss as a hint to look, never as a number.
 */

#define KIND_TRACE 0
#define KIND_DROP 1

#define NS_PER_S 1000000000ULL

struct counter {
    u64 tokens;
    u64 refilled_ns;
    u64 emitted;
    u64 lost;     /* refused by a full ring */
    u64 withheld; /* refused by the bucket */
};

BPF_PERCPU_ARRAY(counters, struct counter, 2);

/* Take one token; a rate of 0 is no limit. `refilled_ns` moves by whole tokens only, so that what
 * is left of a token's time is not thrown away. A pause counts as at most 10 s, which keeps the
 * product in 64 bits for every rate the loader accepts.
 */
static __always_inline bool admit(struct counter *counter, u64 now_ns, u64 rate, u64 burst) {
    u64 elapsed_ns, fresh;

    if (rate == 0)
        return true;
    elapsed_ns = now_ns - counter->refilled_ns;
    if (elapsed_ns > 10 * NS_PER_S) {
        elapsed_ns = 10 * NS_PER_S;
        counter->refilled_ns = now_ns - elapsed_ns;
    }
    fresh = elapsed_ns * rate / NS_PER_S;
    if (fresh) {
        counter->refilled_ns += fresh * NS_PER_S / rate;
        counter->tokens += fresh;
        if (counter->tokens > burst)
            counter->tokens = burst;
    }
    if (counter->tokens == 0) {
        counter->withheld++;
        return false;
    }
    counter->tokens--;
    return true;
}

/* Note what bpf_perf_event_output answered; true where the event reached the ring. */
static __always_inline bool count_output(struct counter *counter, int result) {
    if (result) {
        /* Atomic: a drop inside an interrupt may count here while another drop does. */
        __sync_fetch_and_add(&counter->lost, 1);
        return false;
    }
    counter->emitted++;
    return true;
}
