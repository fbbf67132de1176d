// SPDX-License-Identifier: Apache-2.0
// The authority of a CONNECT that reached a pod: whatever it says, what is dialled is an address of that pod
// and none of the proxy's ports.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "l4/ports.h"
#include "l4/validate.h"
#include "test/l4/mesh.h"

using namespace ambientd;
using namespace ambientd::l4;

namespace {

config::SnapshotPtr small_mesh() {
  config::Mesh mesh;
  mesh.workloads = {test::behind(test::workload("echo", "10.0.0.2"), "echo"),
                    test::workload("other", "10.0.0.3")};
  mesh.workloads[0].addresses.push_back(*Ip::parse("fd00::2"));
  mesh.services = {test::service("echo", "10.1.0.2"), test::service("other", "10.1.0.3")};
  return config::Snapshot::build(std::move(mesh));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const config::SnapshotPtr snapshot = small_mesh();
  std::string_view authority(reinterpret_cast<const char*>(data), size);
  config::WorkloadPtr self = snapshot->workload_by_ip("", *Ip::parse("10.0.0.2"));
  for (const char* local : {"10.0.0.2:15008", "[fd00::2]:15008"}) {
    SockAddr at = *SockAddr::parse(local);
    Result<Admission> admission = validate(*snapshot, "", *self, at, authority);
    if (!admission && admission.error().detail.empty() && admission.error().code != Errc::self_call)
      std::abort();
    if (!admission) continue;
    if (admission->app.ip != at.ip || is_own_port(admission->app.port)) std::abort();
  }
  return 0;
}
