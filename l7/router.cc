// SPDX-License-Identifier: Apache-2.0
#include "l7/router.h"

#include <algorithm>

#include "l7/route_match.h"

namespace ambientd::l7 {
namespace {

// The elements of a prefix or a path, one by one: `/a//b` has a, nothing and b.
class Elements {
 public:
  explicit Elements(std::string_view path) : rest_(path) {}
  bool next(std::string_view& element) {
    if (!rest_.starts_with('/')) return false;
    size_t end = std::min(rest_.find('/', 1), rest_.size());
    element = rest_.substr(1, end - 1);
    rest_.remove_prefix(end);
    return true;
  }

 private:
  std::string_view rest_;
};

}  // namespace

const config::RouteRule* find_rule(const config::HttpRoutes& routes, const Request& request,
                                   const policy::VerifiedToken* token) {
  RouteSubject subject(request, token);
  for (const config::RouteRule& rule : routes.rules)
    if (matches(rule.match, subject)) return &rule;
  return nullptr;
}

const config::Backend* pick_backend(const config::RouteRule& rule, uint64_t random) {
  uint64_t total = 0;
  for (const config::Backend& backend : rule.backends) total += backend.weight;
  if (total == 0) return nullptr;
  uint64_t at = random % total;
  for (const config::Backend& backend : rule.backends) {
    if (at < backend.weight) return backend.service.empty() ? nullptr : &backend;
    at -= backend.weight;
  }
  return nullptr;
}

RouteTable::RouteTable(config::HttpRoutes routes) : routes_(std::move(routes)), prefixes_(1) {
  for (uint32_t rank = 0; rank < routes_.rules.size(); ++rank) {
    const config::PathMatch& path = routes_.rules[rank].match.path;
    switch (path.kind) {
      case config::PathMatch::Kind::exact:
        (path.ignore_case ? others_ : exact_[path.value]).push_back(rank);
        break;
      case config::PathMatch::Kind::prefix:
        add_prefix(prefix_elements(path.value), rank);
        break;
      case config::PathMatch::Kind::regex:
      case config::PathMatch::Kind::raw_prefix:
        others_.push_back(rank);
        break;
    }
  }
}

void RouteTable::add_prefix(std::string_view prefix, uint32_t rank) {
  uint32_t at = 0;
  std::string_view element;
  for (Elements elements(prefix); elements.next(element);) {
    auto fresh = static_cast<uint32_t>(prefixes_.size());
    uint32_t child = prefixes_[at].next.emplace(element, fresh).first->second;
    if (child == fresh) prefixes_.emplace_back();
    at = child;
  }
  prefixes_[at].rules.push_back(rank);
}

// Every rule whose path may fit is in one of these. The likely winners come first: exact, longest prefix,
// others.
std::vector<const RouteTable::Ranks*> RouteTable::candidates(std::string_view path) const {
  std::vector<const Ranks*> out{&others_, &prefixes_[0].rules};
  uint32_t at = 0;
  std::string_view element;
  for (Elements elements(path); elements.next(element);) {
    auto child = prefixes_[at].next.find(element);
    if (child == prefixes_[at].next.end()) break;
    at = child->second;
    if (!prefixes_[at].rules.empty()) out.push_back(&prefixes_[at].rules);
  }
  if (auto exact = exact_.find(path); exact != exact_.end()) out.push_back(&exact->second);
  std::ranges::reverse(out);
  return out;
}

const config::RouteRule* RouteTable::find(const Request& request, const policy::VerifiedToken* token) const {
  RouteSubject subject(request, token);
  auto best = static_cast<uint32_t>(routes_.rules.size());
  for (const Ranks* ranks : candidates(subject.path()))
    for (uint32_t rank : *ranks) {
      if (rank >= best) break;
      if (matches(routes_.rules[rank].match, subject)) best = rank;
    }
  return best < routes_.rules.size() ? &routes_.rules[best] : nullptr;
}

RouteTables::RouteTables(const config::Snapshot& snapshot, const RouteTables* before) {
  for (const config::ServicePtr& service : snapshot.services()) {
    std::string key = service->key();
    for (const auto& [port, unused] : service->ports) {
      const config::HttpRoutes* routes = snapshot.routes(key, port);
      if (routes == nullptr) continue;
      RouteTablePtr table = before != nullptr ? before->find(key, port) : nullptr;
      if (!table || table->routes() != *routes) table = std::make_shared<const RouteTable>(*routes);
      tables_[key][port] = std::move(table);
    }
  }
}

RouteTablePtr RouteTables::find(std::string_view service_key, uint16_t service_port) const {
  auto service = tables_.find(service_key);
  if (service == tables_.end()) return nullptr;
  auto port = service->second.find(service_port);
  return port == service->second.end() ? nullptr : port->second;
}

}  // namespace ambientd::l7
