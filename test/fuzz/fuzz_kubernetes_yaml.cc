// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of Kubernetes objects: read, derived, indexed and looked up without a crash or a leak,
// and what is refused is refused with a place and a reason.
#include <cstdint>
#include <cstdlib>

#include "config/loader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ambientd::config;
  if (size == 0) return 0;
  // The first byte chooses the parser.
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string_view name = data[0] == 'j' ? "fuzz.json" : "fuzz.yaml";
  for (const Problem& problem : check_text(text, name))
    if (problem.message.empty()) std::abort();
  ambientd::Result<Loaded> loaded = load_text(text, name);
  if (!loaded) return 0;
  SnapshotPtr snapshot = Snapshot::build(std::move(loaded->mesh));
  for (const WorkloadPtr& workload : snapshot->workloads()) {
    if (snapshot->workload_by_uid(workload->uid) == nullptr) std::abort();
    std::vector<std::string> unknown;
    snapshot->policies_for(*workload, &unknown);
    if (!unknown.empty()) std::abort();  // what the objects list, they also define
  }
  for (const ServicePtr& service : snapshot->services()) {
    if (snapshot->service(service->ns, service->hostname) != service) std::abort();
    if (snapshot->endpoints(*service).size() > snapshot->workloads().size()) std::abort();
  }
  return 0;
}
