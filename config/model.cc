// SPDX-License-Identifier: Apache-2.0
#include "config/model.h"

namespace ambientd::config {

std::string GatewayAddress::str() const {
  return std::visit([](const auto& where) { return where.str(); }, destination);
}

}  // namespace ambientd::config
