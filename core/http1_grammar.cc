// SPDX-License-Identifier: Apache-2.0
#include "core/http1_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include "core/text.h"

namespace ambientd::http1 {
namespace {

namespace beast = boost::beast;

constexpr std::array<bool, 256> token_bytes() {
  std::array<bool, 256> table{};
  for (char c = '0'; c <= '9'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kToken = token_bytes();

bool is_control(char c) {
  unsigned char byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

// Collects what Beast finds. Its framing callbacks never fire: skip() ends the message with its header
// section.
template <bool is_request>
class Reader final : public beast::http::basic_parser<is_request> {
 public:
  Head head;

  Reader() {
    this->skip(true);
    this->header_limit(UINT32_MAX);  // the caller bounded the section
  }

 private:
  using Code = beast::error_code;
  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target, int version,
                       Code&) override {
    head.method = view(method);
    head.target = view(target);
    head.version = version;
  }
  void on_response_impl(int status, beast::string_view reason, int version, Code&) override {
    head.status = status;
    head.reason = view(reason);
    head.version = version;
  }
  void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value, Code&) override {
    head.fields.push_back({to_lower(view(name)), std::string(view(value))});
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, Code&) override {}
  size_t on_body_impl(beast::string_view body, Code&) override { return body.size(); }
  void on_chunk_header_impl(uint64_t, beast::string_view, Code&) override {}
  size_t on_chunk_body_impl(uint64_t, beast::string_view body, Code&) override { return body.size(); }
  void on_finish_impl(Code&) override {}
};

// What Beast 1.74 would let through: bare CR or LF, control bytes, lines that continue the one before.
Status check_bytes(std::string_view section) {
  for (size_t i = 0; i < section.size(); ++i) {
    char c = section[i];
    if (!is_control(c)) continue;
    if (c != '\r' || i + 1 == section.size() || section[i + 1] != '\n')
      return fail(Errc::bad_request, fmt::format("byte 0x{:02x} in a header", static_cast<unsigned char>(c)));
    ++i;  // past the LF
    if (i + 1 < section.size() && (section[i + 1] == ' ' || section[i + 1] == '\t'))
      return fail(Errc::bad_request, "a header line that begins with white space (obs-fold)");
  }
  return {};
}

template <bool is_request>
Result<Head> read(std::string_view section) {
  if (Status bytes = check_bytes(section); !bytes) return std::unexpected(bytes.error());
  Reader<is_request> reader;
  beast::error_code error;
  size_t used = reader.put(boost::asio::buffer(section.data(), section.size()), error);
  if (error) return fail(Errc::bad_request, error.message());
  if (!reader.is_done() || used != section.size()) return fail(Errc::bad_request, "malformed header section");
  return std::move(reader.head);
}

}  // namespace

Result<Head> parse_head(Role role, std::string_view section) {
  return role == Role::request ? read<true>(section) : read<false>(section);
}

Result<Fields> parse_trailers(std::string_view section) {
  std::string whole("HTTP/1.1 200 OK\r\n");  // Beast reads field lines only after a start line
  Result<Head> head = read<false>(whole.append(section));
  if (!head) return std::unexpected(head.error());
  return std::move(head->fields);
}

std::optional<size_t> count_lines(std::string_view section) {
  size_t lines = 0;
  for (size_t at = section.find('\n'); at != std::string_view::npos; at = section.find('\n', at + 1)) {
    if (at == 0 || section[at - 1] != '\r') return std::nullopt;
    ++lines;
  }
  return lines;
}

bool may_trail(std::string_view name) {
  return name != "content-length" && name != "transfer-encoding" && name != "host";
}

bool is_token(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](char c) { return kToken[static_cast<unsigned char>(c)]; });
}

bool is_field_value(std::string_view text) { return std::ranges::none_of(text, is_control); }

}  // namespace ambientd::http1
