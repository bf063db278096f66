/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Reading kernel memory at offsets that BTF gave.
 *
 * The helpers of Linux 5.5 are called by their numbers, under names bcc does not know: under their
 * own it puts the old bpf_probe_read in their place wherever /proc/kallsyms hides their addresses,
 * as it does from processes without CAP_SYSLOG, and the kernel lets no tc program call that one.
 */

static long (*read_kernel)(void *to, u32 bytes, const void *from) = (void *)113;
static long (*read_kernel_string)(void *to, u32 bytes, const void *from) = (void *)115;

#define READ(to, from) read_kernel(&(to), sizeof(to), (from))
#define READ_STRING(to, from) read_kernel_string((to), sizeof(to), (from))
