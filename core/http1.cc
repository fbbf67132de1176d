// SPDX-License-Identifier: Apache-2.0
#include "core/http1.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/http1_grammar.h"
#include "core/text.h"

namespace ambientd::http1 {
namespace {

// The value of one hexadecimal digit, or -1.
int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string_view> find(const Fields& fields, std::string_view name) {
  auto at = std::ranges::find(fields, name, &Field::name);
  if (at == fields.end()) return std::nullopt;
  return at->value;
}

void Parser::expect(std::string_view request_method, bool upgrade) {
  answers_head_ = request_method == "HEAD";
  answers_connect_ = request_method == "CONNECT";
  answers_upgrade_ = upgrade;
}

std::unexpected<Error> Parser::refuse(int status, std::string_view why) {
  status_ = role_ == Role::response ? 502 : status;
  failed_ = fmt::format("HTTP/1 {}: {}", role_ == Role::response ? "response" : "request", why);
  return fail(Errc::bad_request, failed_);
}

Result<Event> Parser::next(std::string_view& input) {
  if (!failed_.empty()) return fail(Errc::bad_request, failed_);
  switch (state_) {
    case State::head:
      return read_head(input);
    case State::length:
    case State::chunk_data:
    case State::until_close:
      return read_body(input);
    case State::chunk_line:
      return read_chunk_line(input);
    case State::chunk_end:
      return read_chunk_end(input);
    case State::trailers:
      return read_trailers(input);
    case State::end:
      return finish();
    case State::tunnel:
      return End{};
  }
  std::unreachable();
}

Result<Event> Parser::finish() {
  state_ = State::head;
  skipped_empty_line_ = false;
  extensions_ = 0;
  return End{};
}

Result<Event> Parser::close() {
  if (!failed_.empty()) return fail(Errc::bad_request, failed_);
  if (state_ == State::until_close || state_ == State::end) return finish();
  if (state_ == State::tunnel) return End{};
  if (state_ == State::head && gathered_.empty()) return NeedMore{};
  (void)refuse(400, "the peer closed in the middle of a message");
  return fail(Errc::eof, failed_);
}

// Moves one line, or the part of it that is there, from input to gathered_.
Status Parser::gather(std::string_view& input, bool& complete) {
  size_t limit = state_ == State::chunk_line ? limits_.chunk_line : limits_.section;
  size_t newline = input.find('\n');
  size_t take = newline == std::string_view::npos ? input.size() : newline + 1;
  if (gathered_.size() + take > limit) {
    bool chunk = state_ == State::chunk_line;
    return refuse(chunk ? 400 : 431,
                  fmt::format("{} over {} bytes", chunk ? "chunk line" : "header section", limit));
  }
  gathered_.append(input.substr(0, take));
  input.remove_prefix(take);
  complete = newline != std::string_view::npos;
  if (complete && !gathered_.ends_with("\r\n")) return refuse(400, "a line that ends with a bare LF");
  return {};
}

// A whole section up to and with its empty line: lent from the input when all of it is there, else from
// gathered_ (the caller empties it). Nothing while it is incomplete.
Result<std::optional<std::string_view>> Parser::take_section(std::string_view& input) {
  size_t end =
      gathered_.empty() && !input.starts_with('\r') ? input.find("\r\n\r\n") : std::string_view::npos;
  if (end != std::string_view::npos && end + 4 <= limits_.section) {
    std::string_view section = input.substr(0, end + 4);
    input.remove_prefix(section.size());
    return section;
  }
  while (!input.empty()) {
    bool complete = false;
    if (Status taken = gather(input, complete); !taken) return std::unexpected(taken.error());
    if (complete && (gathered_ == "\r\n" || gathered_.ends_with("\r\n\r\n")))
      return std::string_view(gathered_);
  }
  return std::nullopt;
}

Status Parser::bound_lines(std::string_view section, size_t most) {
  std::optional<size_t> lines = count_lines(section);
  if (!lines) return refuse(400, "a line that ends with a bare LF");
  if (*lines > most) return refuse(431, fmt::format("over {} fields", limits_.fields));
  return {};
}

Result<Event> Parser::read_head(std::string_view& input) {
  Result<std::optional<std::string_view>> section = take_section(input);
  if (!section) return std::unexpected(section.error());
  if (!*section) return NeedMore{};
  if (**section == "\r\n" && role_ == Role::request && !skipped_empty_line_) {
    skipped_empty_line_ = true;
    gathered_.clear();
    return read_head(input);
  }
  if (Status bounded = bound_lines(**section, limits_.fields + 2); !bounded)
    return std::unexpected(bounded.error());
  Result<Head> head = parse_head(role_, **section);
  gathered_.clear();
  if (!head) return refuse(400, head.error().detail);
  if (Status framed = frame(*head); !framed) return std::unexpected(framed.error());
  return std::move(*head);
}

Result<Event> Parser::read_body(std::string_view& input) {
  if (input.empty()) return NeedMore{};
  size_t size = state_ == State::until_close ? input.size() : std::min<uint64_t>(left_, input.size());
  Body body{input.substr(0, size)};
  input.remove_prefix(size);
  if (state_ == State::until_close) return body;
  left_ -= size;
  if (left_ == 0) state_ = state_ == State::length ? State::end : State::chunk_end;
  return body;
}

Result<Event> Parser::read_chunk_line(std::string_view& input) {
  bool complete = false;
  if (Status taken = gather(input, complete); !taken) return std::unexpected(taken.error());
  if (!complete) return NeedMore{};
  Status accepted = accept_chunk_line();
  gathered_.clear();
  if (!accepted) return std::unexpected(accepted.error());
  return left_ == 0 ? read_trailers(input) : read_body(input);
}

// chunk-size [ ";" anything printable ] CRLF: no white space, no sign, no prefix (RFC 9112 §7.1).
Status Parser::accept_chunk_line() {
  std::string_view line = std::string_view(gathered_).substr(0, gathered_.size() - 2);
  size_t digits = std::min(line.find(';'), line.size());
  if (digits == 0 || digits > 15) return refuse(400, "chunk size is not 1 to 15 hexadecimal digits");
  uint64_t size = 0;
  for (char c : line.substr(0, digits)) {
    if (hex_digit(c) < 0) return refuse(400, "chunk size is not hexadecimal");
    size = size << 4 | static_cast<uint64_t>(hex_digit(c));
  }
  extensions_ += line.size() - digits;
  if (extensions_ > limits_.chunk_extensions) return refuse(400, "too many chunk extensions");
  if (!is_field_value(line.substr(digits))) return refuse(400, "control byte in a chunk extension");
  left_ = size;
  state_ = size == 0 ? State::trailers : State::chunk_data;
  return {};
}

Result<Event> Parser::read_chunk_end(std::string_view& input) {
  while (!input.empty() && chunk_end_ < kChunkEnd.size()) {
    if (input.front() != kChunkEnd[chunk_end_]) return refuse(400, "chunk data is longer than its size");
    input.remove_prefix(1);
    ++chunk_end_;
  }
  if (chunk_end_ < kChunkEnd.size()) return NeedMore{};
  chunk_end_ = 0;
  state_ = State::chunk_line;
  return read_chunk_line(input);
}

Result<Event> Parser::read_trailers(std::string_view& input) {
  Result<std::optional<std::string_view>> section = take_section(input);
  if (!section) return std::unexpected(section.error());
  if (!*section) return NeedMore{};
  if (Status bounded = bound_lines(**section, limits_.fields + 1); !bounded)
    return std::unexpected(bounded.error());
  Result<Fields> fields = parse_trailers(**section);
  gathered_.clear();
  if (!fields) return refuse(400, fields.error().detail);
  for (const Field& field : *fields)
    if (!may_trail(field.name)) return refuse(400, fmt::format("{} in trailers", field.name));
  state_ = State::end;
  if (fields->empty()) return finish();
  return Trailers{std::move(*fields)};
}

}  // namespace ambientd::http1
