// SPDX-License-Identifier: Apache-2.0
// Gives memory back to the system once a phase of the process is over. Neither call changes what any address
// holds: a heap page that was free reads as new, a page of code comes back from the page cache.
#pragma once

namespace ambientd {

// Free pages of every malloc arena.
void release_heap();

// Pages of machine code, ours and every shared library's, out of the resident set. Most of what starting
// touches (dynamic linking, tables of ciphers and providers, flags, YAML) is not run again; what traffic
// needs returns within its first requests, 64 KiB to a fault.
void release_start_up_code();

}  // namespace ambientd
