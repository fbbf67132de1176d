// SPDX-License-Identifier: Apache-2.0
// What ends a message (RFC 9112 §6). Two parties on a path that answer this differently is what request
// smuggling lives on, so a head that leaves any room is refused: the reason of each refusal is next to it.
#include <algorithm>
#include <limits>

#include "core/http1.h"
#include "core/text.h"

namespace ambientd::http1 {
namespace {

// All values of a list-valued field, split at commas, white space off, empty elements dropped.
std::vector<std::string_view> list_of(const Fields& fields, std::string_view name) {
  std::vector<std::string_view> out;
  for (const Field& field : fields) {
    if (field.name != name) continue;
    for (std::string_view part : split(field.value, ','))
      if (std::string_view item = trim(part); !item.empty()) out.push_back(item);
  }
  return out;
}

bool nominates(const std::vector<std::string_view>& connection, std::string_view option) {
  return std::ranges::any_of(connection, [&](std::string_view o) { return equals_ignore_case(o, option); });
}

size_t count(const Fields& fields, std::string_view name) {
  return static_cast<size_t>(std::ranges::count(fields, name, &Field::name));
}

// RFC 3986 host and port: what can stand there and nothing that starts another part of a URL.
bool is_host(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    bool letter_or_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter_or_digit || std::string_view("-._~!$&'()*+,;=%:[]").find(c) != std::string_view::npos;
  });
}

void read_connection(Head& head) {
  std::vector<std::string_view> options = list_of(head.fields, "connection");
  bool stays = head.version >= 11 || nominates(options, "keep-alive");
  head.keep_alive = stays && !nominates(options, "close");
  std::optional<std::string_view> upgrade = find(head.fields, "upgrade");
  if (upgrade && nominates(options, "upgrade") && head.version >= 11) head.upgrade = *upgrade;
}

struct Refusal {
  int status;
  std::string_view why;
};

// The framing that transfer-encoding and content-length ask for, whatever the message.
std::optional<Refusal> read_lengths(Head& head) {
  std::optional<std::string_view> encoding = find(head.fields, "transfer-encoding");
  std::optional<std::string_view> length = find(head.fields, "content-length");
  if (encoding) {
    if (head.version < 11) return Refusal{400, "transfer-encoding in HTTP/1.0"};
    if (length) return Refusal{400, "both transfer-encoding and content-length"};
    if (count(head.fields, "transfer-encoding") > 1) return Refusal{400, "more than one transfer-encoding"};
    if (!equals_ignore_case(*encoding, "chunked"))
      return Refusal{501, "a transfer-encoding other than chunked"};
    head.framing = Framing::chunked;
  } else if (length) {
    if (count(head.fields, "content-length") > 1) return Refusal{400, "more than one content-length"};
    std::optional<uint64_t> bytes = parse_uint(*length);
    if (!bytes || *bytes > std::numeric_limits<int64_t>::max())
      return Refusal{400, "content-length is not a number"};
    head.framing = Framing::length;
    head.length = *bytes;
  }
  return std::nullopt;
}

std::optional<Refusal> check_host(const Head& head) {
  size_t hosts = count(head.fields, "host");
  if (hosts > 1) return Refusal{400, "more than one host"};
  if (hosts == 0 && head.version >= 11) return Refusal{400, "no host"};
  if (hosts == 1 && !is_host(*find(head.fields, "host")))
    return Refusal{400, "host is not a host name or address"};
  return std::nullopt;
}

std::optional<Refusal> frame_request(Head& head) {
  if (std::optional<Refusal> refusal = check_host(head)) return refusal;
  if (head.method == "CONNECT") {
    if (head.framing != Framing::none) return Refusal{400, "CONNECT with a body"};
    head.framing = Framing::tunnel;
  }
  std::optional<std::string_view> expectation = find(head.fields, "expect");
  bool waits = expectation && equals_ignore_case(*expectation, "100-continue");
  head.expect_continue = waits && head.version >= 11 && head.framing != Framing::none;
  return std::nullopt;
}

struct Asked {
  bool head, connect, upgrade;
};

std::optional<Refusal> frame_response(Head& head, Asked asked) {
  if (head.status < 100) return Refusal{502, "status below 100"};
  bool bodyless = head.status < 200 || head.status == 204;
  if (bodyless && (head.framing == Framing::chunked || head.length > 0))
    return Refusal{502, "a body where the status allows none"};
  if (head.status == 101 && !asked.upgrade) return Refusal{502, "101 to a request that asked for no upgrade"};
  bool tunnel = head.status == 101 || (asked.connect && head.status / 100 == 2);
  if (tunnel) {
    head.framing = Framing::tunnel;
  } else if (bodyless || asked.head || head.status == 304) {
    head.framing = Framing::none;
  } else if (head.framing == Framing::none) {
    head.framing = Framing::until_close;
    head.keep_alive = false;
  }
  if (head.framing != Framing::length) head.length = 0;
  return std::nullopt;
}

}  // namespace

Status Parser::frame(Head& head) {
  read_connection(head);
  std::optional<Refusal> refusal = read_lengths(head);
  if (!refusal && role_ == Role::request) refusal = frame_request(head);
  if (!refusal && role_ == Role::response)
    refusal = frame_response(head, {answers_head_, answers_connect_, answers_upgrade_});
  if (refusal) return refuse(refusal->status, refusal->why);
  left_ = head.length;
  switch (head.framing) {
    case Framing::none:
      state_ = State::end;
      break;
    case Framing::length:
      state_ = head.length > 0 ? State::length : State::end;
      break;
    case Framing::chunked:
      state_ = State::chunk_line;
      break;
    case Framing::until_close:
      state_ = State::until_close;
      break;
    case Framing::tunnel:
      state_ = State::tunnel;
      break;
  }
  return {};
}

}  // namespace ambientd::http1
