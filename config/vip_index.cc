// SPDX-License-Identifier: Apache-2.0
#include "config/vip_index.h"

#include <algorithm>
#include <tuple>

namespace ambientd::config {
namespace {

bool visible(const Service& service, std::string_view client_ns) {
  return client_ns.empty() || service.visibility == Visibility::everywhere || service.ns == client_ns;
}

Ip masked(Ip ip, int length) {
  for (int bit = 0; bit < ip.bits(); bit += 8) {
    int keep = std::clamp(length - bit, 0, 8);
    ip.bytes[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(0xff00 >> keep);
  }
  return ip;
}

}  // namespace

ServicePtr best_of(const std::vector<ServicePtr>& all, std::string_view client_ns) {
  ServicePtr first, canonical;
  for (const ServicePtr& service : all) {
    if (!visible(*service, client_ns)) continue;
    if (!client_ns.empty() && service->ns == client_ns) return service;
    if (service->canonical) canonical = service;
    if (first == nullptr) first = service;
  }
  return canonical ? canonical : first;
}

void VipIndex::add(const Cidr& vip, ServicePtr service) {
  if (vip.length >= vip.ip.bits()) return add(vip.ip, std::move(service));
  prefixes_[{vip.ip.v6, vip.length}][masked(vip.ip, vip.length)].push_back(std::move(service));
}

ServicePtr VipIndex::find(const Ip& ip, std::string_view client_ns) const {
  auto exact = exact_.find(ip);
  ServicePtr best = exact == exact_.end() ? nullptr : best_of(exact->second, client_ns);
  return best || prefixes_.empty() ? best : find_prefix(ip, client_ns);
}

ServicePtr VipIndex::find_prefix(const Ip& ip, std::string_view client_ns) const {
  const ServicePtr* best = nullptr;
  std::tuple<bool, int, bool> best_rank;
  for (const auto& [kind, services] : prefixes_) {
    const auto& [v6, length] = kind;
    if (v6 != ip.v6) continue;
    auto at = services.find(masked(ip, length));
    if (at == services.end()) continue;
    for (const ServicePtr& service : at->second) {
      if (!visible(*service, client_ns)) continue;
      std::tuple rank(!client_ns.empty() && service->ns == client_ns, length, service->canonical);
      if (best != nullptr && rank < best_rank) continue;
      best = &service;
      best_rank = rank;
    }
  }
  return best ? *best : nullptr;
}

}  // namespace ambientd::config
