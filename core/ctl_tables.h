// SPDX-License-Identifier: Apache-2.0
// What `ambientd ctl` prints of a configuration dump: a section of it as JSON or YAML, or the table that
// `istioctl ztunnel-config` makes of the same dump, column for column. A dump may come from a file of
// anybody's: what is not as it should be is an error, never a crash.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "core/certificate.h"
#include "core/result.h"

namespace ambientd::ctl {

struct View {
  std::string ns;      // only of this namespace; empty: all
  bool raw = false;    // addresses, not names, in connections
  TimePoint now = {};  // decides which certificates are valid
};

// `section`: workloads, services, policies, certificates or connections. Error: invalid, when the dump is
// none.
Result<std::string> table(const nlohmann::json& dump, std::string_view section, const View& view);
// The same records, sorted and filtered alike.
Result<nlohmann::json> records(const nlohmann::json& dump, std::string_view section, const View& view);

}  // namespace ambientd::ctl
