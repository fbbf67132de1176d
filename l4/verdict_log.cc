// SPDX-License-Identifier: Apache-2.0
#include "l4/verdict_log.h"

#include <vector>

namespace ambientd::l4 {
namespace {

constexpr std::string_view kTarget = "policy";

std::string_view message_of(const policy::Verdict& verdict) {
  if (verdict.allow) return verdict.policy.empty() ? "no allow policies, allow" : "allow policy match";
  return verdict.policy.empty() ? "no allow policies matched" : "deny policy match";
}

std::string_view message_of(const policy::DryRun& run) {
  if (run.policy.empty()) return "dry-run: no allow policies match";
  return run.deny ? "dry-run: deny policy match" : "dry-run: allow policy match";
}

}  // namespace

bool logs_verdicts(log::Level level, const config::Workload& called) {
  return log::enabled(level, kTarget, {called.ns, called.name});
}

void log_verdict(log::Level level, const config::Workload& called, const policy::Peer& peer,
                 const policy::Verdict& verdict, std::span<const policy::DryRun> dry_runs) {
  log::Subject about{called.ns, called.name};
  std::string source = peer.source.str(), destination = peer.destination.str();
  std::string identity = peer.identity ? peer.identity->uri() : "";
  auto write = [&](std::string_view message, const std::string& policy) {
    std::vector<log::Field> fields;
    if (!policy.empty()) fields.emplace_back("policy", log::display(policy));
    fields.emplace_back("src.addr", log::display(source));
    if (!identity.empty()) fields.emplace_back("src.identity", identity);
    fields.emplace_back("dst.addr", log::display(destination));
    log::write(level, kTarget, message, fields, about);
  };
  for (const policy::DryRun& each : dry_runs) write(message_of(each), each.policy);
  write(message_of(verdict), verdict.policy);
}

}  // namespace ambientd::l4
