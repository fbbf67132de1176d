// SPDX-License-Identifier: Apache-2.0
#include "config/kubernetes/read.h"
#include "core/text.h"

namespace ambientd::config::kubernetes {
namespace {

PeerAuthentication::Mode read_mode(const Field& mtls) {
  using Mode = PeerAuthentication::Mode;
  return mtls["mode"].choice<Mode>({{"UNSET", Mode::unset},
                                    {"DISABLE", Mode::disable},
                                    {"PERMISSIVE", Mode::permissive},
                                    {"STRICT", Mode::strict}},
                                   Mode::unset);
}

}  // namespace

void read_peer_authentication(Meta meta, const Field& root, Objects* out) {
  PeerAuthentication found;
  Field spec = root["spec"];
  found.selector = read_match_labels(spec["selector"]);
  found.mode = read_mode(spec["mtls"]);
  for (const auto& [key, mtls] : spec["portLevelMtls"].entries()) {
    std::optional<uint64_t> port = parse_uint(key);
    if (!port || *port == 0 || *port > 65535)
      mtls.error("the key must be a port from 1 to 65535");
    else
      found.ports[static_cast<uint16_t>(*port)] = read_mode(mtls);
  }
  if (!found.ports.empty() && !found.selector.present)
    spec["portLevelMtls"].error("needs a selector: ports are those of selected workloads");
  spec.refuse_unknown();
  found.meta = std::move(meta);
  out->peer_authentications.push_back(std::move(found));
}

}  // namespace ambientd::config::kubernetes
