// SPDX-License-Identifier: Apache-2.0
// The in-pod capture rules: what sends a pod's TCP to ports 15001 (its own calls) and 15006 (plaintext calls
// to it), and what brings the app's replies back to a socket of ours that is bound to the client's address.
// The rule set, the chain names and the numbers are Istio's (contract/ztunnel.md §3), so its tools recognise
// them. The rule: traffic that carries our mark 0x539 is never captured, so every socket of ours has to carry
// it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace ambientd::l4::redirect {

enum class Family { v4, v6 };

struct Options {
  bool dns = false;  // also send the pod's DNS (UDP and TCP port 53) to 15053
};

// The input of iptables-restore (ip6tables-restore) that makes the rule set in an empty namespace.
std::string rules(Family family, const Options& options);

// The input of `iptables-restore --noflush` that leads from what iptables-save printed to exactly one copy of
// the rule set, whatever was there of it before; with no options, to none of it. Other people's rules are not
// touched. Empty when there is nothing to do.
std::string change(Family family, std::string_view saved, const std::optional<Options>& options);

// What apply() does to an empty namespace, as a shell script to read or to run.
std::string print(const Options& options);

// Makes the rule set and its policy routing (IPv4, and IPv6 where the kernel has it) in this thread's network
// namespace. Applying twice is the same as once; the two settings of `dns` replace each other. On failure
// what was done stays and a further apply() or remove() repairs it. Errors: denied (no CAP_NET_ADMIN),
// not_found (no iptables or iproute2 on this machine), io (a tool refused: its own words are in the text).
Status apply(const Options& options);

// Takes all of it away again. Nothing there is no error. Errors as above.
Status remove();

}  // namespace ambientd::l4::redirect
