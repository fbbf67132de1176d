// SPDX-License-Identifier: Apache-2.0
// One request and its response as every part of l7 sees them, whichever protocol carries them: HTTP/1.1 and
// HTTP/2 codecs translate from and to this (RFC 9110). Field names are lower case; hop-by-hop fields are gone
// (what they meant is in the members); pseudo headers are members.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/http1.h"

namespace ambientd::l7 {

using Fields = http1::Fields;

enum class Protocol : uint8_t { http1, http2 };

struct Request {
  Protocol protocol = Protocol::http1;
  std::string method;
  std::string scheme = "http";
  std::string authority;  // Host or :authority; case kept
  std::string path;       // with query, without fragment, as it will be forwarded: `/a/b?c=d`
  Fields fields;
  std::optional<uint64_t> content_length;
  bool has_body = false;  // a body may follow (length > 0, chunked, or no END_STREAM yet)
  bool expect_continue = false;
  std::string upgrade;  // `websocket`: also an extended CONNECT; else empty

  bool is_grpc() const;                // content-type application/grpc, exact or with + or ;
  std::string_view path_only() const;  // without the query
  std::string_view query() const;      // without the `?`, empty when there is none
};

struct Response {
  int status = 0;
  Fields fields;
  std::optional<uint64_t> content_length;
  bool has_body = true;
};

// Of a gRPC response, from its header section or its trailers; nothing: there is none, or it is no number.
std::optional<int> grpc_status_in(const Fields& fields);

// Field operations that keep order and treat names as lower case.
void set_field(Fields& fields, std::string_view name, std::string_view value);  // replaces all, or appends
void add_field(Fields& fields, std::string_view name, std::string_view value);
void remove_field(Fields& fields, std::string_view name);

}  // namespace ambientd::l7
