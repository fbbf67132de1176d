// SPDX-License-Identifier: Apache-2.0
#include "l7/waypoint.h"

namespace ambientd::l7 {

Settings settings_from(const Options& options) {
  Settings s;
  s.pod = options.workload->name;
  s.identity = {options.trust_domain, options.workload->ns, options.workload->sa};
  s.port = options.ports.hbone;
  s.mark = options.packet_mark;
  s.release_ms = static_cast<uint64_t>(std::chrono::milliseconds(options.pool_release).count());
  return s;
}

}  // namespace ambientd::l7
