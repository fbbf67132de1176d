// SPDX-License-Identifier: Apache-2.0
// Any bytes as a local YAML file: read and indexed without a crash or a leak, and lookups agree with the
// records.
#include <cstdint>
#include <cstdlib>

#include "config/loader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ambientd::config;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  ambientd::Result<Loaded> loaded = load_text(text, "fuzz.yaml");
  if (!loaded) {
    if (loaded.error().detail.empty()) std::abort();
    return 0;
  }
  SnapshotPtr snapshot = Snapshot::build(std::move(loaded->mesh));
  for (const WorkloadPtr& workload : snapshot->workloads()) {
    if (snapshot->workload_by_uid(workload->uid) != workload) std::abort();
    bool indexed = workload->network_mode == NetworkMode::standard;
    for (const ambientd::Ip& ip : workload->addresses)
      if (indexed && snapshot->workload_by_ip(workload->network, ip) == nullptr) std::abort();
  }
  for (const ServicePtr& service : snapshot->services())
    for (const NetworkAddress& vip : service->vips)
      if (snapshot->service_by_vip(vip.network, vip.ip, service->ns) == nullptr) std::abort();
  return 0;
}
