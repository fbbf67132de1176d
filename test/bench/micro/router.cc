// SPDX-License-Identifier: Apache-2.0
#include "l7/router.h"

#include <fmt/format.h>

#include <cstdlib>

#include "test/bench/micro/micro.h"

namespace ambientd::bench {
namespace {

// So many prefixes as the bench's route tables have, each request for another one.
void one_of(Bench& bench, size_t count) {
  config::HttpRoutes routes{.routed = true, .rules = {}};
  std::vector<l7::Request> requests(count);
  for (size_t i = 0; i < count; ++i) {
    config::RouteRule& rule = routes.rules.emplace_back();
    rule.match.path = {config::PathMatch::Kind::prefix, fmt::format("/route/{}", i), {}};
    requests[i].method = "GET";
    requests[i].authority = "web:80";
    requests[i].path = fmt::format("/route/{}/item?id=1", i);
  }
  l7::RouteTable table(std::move(routes));
  size_t at = 0;
  bench.measure({.name = fmt::format("router: one of {} routes", count), .most = 2}, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      at = (at + 7919) % count;
      const config::RouteRule* found = table.find(requests[at]);
      if (!found) std::abort();
      keep(found);
    }
  });
}

}  // namespace

void router(Bench& bench) {
  for (size_t count : {10, 1000, 5000}) one_of(bench, count);
}

}  // namespace ambientd::bench
