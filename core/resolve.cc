// SPDX-License-Identifier: Apache-2.0
#include "core/resolve.h"

#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "core/loop.h"

namespace ambientd {
namespace {

using Addresses = std::vector<Ip>;

// One lookup. It may outlive whoever asked: a resolver's thread cannot be interrupted.
struct Lookup final : Closable {
  void settle(Result<Addresses> outcome) {
    if (!result) result = std::move(outcome);
    done.set();
  }
  void close(Errc why) override {
    uv_cancel(reinterpret_cast<uv_req_t*>(&request));
    settle(fail(why, std::string(name(why))));
  }

  std::string host;
  uv_getaddrinfo_t request{};
  std::shared_ptr<Lookup> self;  // while libuv has the request
  Event done{"DNS"};
  std::optional<Result<Addresses>> result;
};

Addresses addresses_of(const addrinfo* list) {
  Addresses out;
  for (const addrinfo* each = list; each; each = each->ai_next)
    if (std::optional<SockAddr> address = SockAddr::from(each->ai_addr))
      if (std::ranges::find(out, address->ip) == out.end()) out.push_back(address->ip);
  return out;
}

void finished(uv_getaddrinfo_t* request, int status, addrinfo* list) {
  std::shared_ptr<Lookup> lookup = std::move(static_cast<Lookup*>(request->data)->self);
  Addresses found = addresses_of(list);
  uv_freeaddrinfo(list);
  if (!found.empty()) return lookup->settle(std::move(found));
  lookup->settle(fail(Errc::no_destination, fmt::format("resolve {}: {}", lookup->host,
                                                        status ? uv_strerror(status) : "no address")));
}

}  // namespace

Task<Result<std::vector<Ip>>> resolve(std::string host, Scope& scope) {
  if (std::optional<Ip> literal = Ip::parse(host)) co_return Addresses{*literal};
  auto lookup = std::make_shared<Lookup>();
  lookup->host = host;
  lookup->request.data = lookup.get();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  int failed =
      uv_getaddrinfo(Loop::current().uv(), &lookup->request, finished, host.c_str(), nullptr, &hints);
  if (failed) co_return fail(Errc::no_destination, fmt::format("resolve {}: {}", host, uv_strerror(failed)));
  lookup->self = lookup;
  scope.add(*lookup);
  co_await lookup->done;
  lookup->Closable::unlink();
  co_return std::move(*lookup->result);
}

}  // namespace ambientd
