// SPDX-License-Identifier: Apache-2.0
// The services of one network by address: exact VIPs and prefixes (contract/ztunnel.md §4, get_best_by_vip).
// A lookup costs one probe per prefix length in use, however many services there are.
#pragma once

#include <functional>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/model.h"

namespace ambientd::config {

// The service that a client of namespace `client_ns` means by what several share: of those it may see, its
// own namespace's first one, then the canonical one, then the first. An empty client_ns sees all.
ServicePtr best_of(const std::vector<ServicePtr>& all, std::string_view client_ns);

class VipIndex {
 public:
  void add(const Ip& vip, ServicePtr service) { exact_[vip].push_back(std::move(service)); }
  // A prefix of full length is an exact VIP.
  void add(const Cidr& vip, ServicePtr service);

  // An exact VIP that the client may see beats every prefix; of prefixes the client's own namespace counts
  // first, then the length, then who is canonical. Null: none.
  ServicePtr find(const Ip& ip, std::string_view client_ns) const;

 private:
  using ByAddress = std::unordered_map<Ip, std::vector<ServicePtr>>;
  ServicePtr find_prefix(const Ip& ip, std::string_view client_ns) const;

  ByAddress exact_;
  std::map<std::pair<bool, int>, ByAddress, std::greater<>>
      prefixes_;  // by family (v6) and length, longest first
};

}  // namespace ambientd::config
