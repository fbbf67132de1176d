// SPDX-License-Identifier: Apache-2.0
// One match of a route against one request (contract/waypoint.md §2.1, §2.2). A RouteSubject is the request
// as rules look at it; what has to be taken apart for that is taken apart once, however many rules look.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "config/route.h"
#include "l7/message.h"
#include "policy/verified_token.h"

namespace ambientd::l7 {

class RouteSubject {
 public:
  // Both outlive it. `token`: what was believed; null: nothing.
  explicit RouteSubject(const Request& request, const policy::VerifiedToken* token = nullptr)
      : request_(request), token_(token) {}

  std::string_view method() const { return request_.method; }
  std::string_view scheme() const { return request_.scheme; }
  std::string_view authority() const { return request_.authority; }
  std::string_view path() const { return request_.path_only(); }
  // By lower-case name; several lines joined with a comma. Valid until the next call.
  std::optional<std::string_view> field(std::string_view name);
  // The first of that name; key and value percent-decoded. Valid as long as the subject.
  std::optional<std::string_view> parameter(std::string_view name);
  // Whether a text at that path of the believed token does.
  bool claims(const config::ClaimMatch& match) const;

 private:
  using Parameters = std::unordered_map<std::string, std::string>;

  const Request& request_;
  const policy::VerifiedToken* token_;
  std::string joined_;
  std::optional<Parameters> parameters_;
};

bool matches(const config::StringMatch& match, std::string_view text);
bool matches(const config::PathMatch& match, std::string_view path);
bool matches(const config::RouteMatch& match, RouteSubject& subject);

// The prefix `/a/` means `/a`, and `/` means everything: nothing is left of it.
std::string_view prefix_elements(std::string_view prefix);

}  // namespace ambientd::l7
