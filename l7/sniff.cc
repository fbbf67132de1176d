// SPDX-License-Identifier: Apache-2.0
#include "l7/sniff.h"

#include <algorithm>
#include <array>

namespace ambientd::l7 {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";  // RFC 9113 §3.4
constexpr size_t kLongestLook = 8192;

// RFC 9110 §9, PATCH, and what WebDAV and its like brought (IANA's registry of methods).
constexpr std::array<std::string_view, 34> kMethods = {
    "GET",       "HEAD",       "POST",     "PUT",   "DELETE", "CONNECT",    "OPTIONS",
    "TRACE",     "PATCH",      "COPY",     "LOCK",  "MKCOL",  "MOVE",       "PROPFIND",
    "PROPPATCH", "SEARCH",     "UNLOCK",   "BIND",  "UNBIND", "REBIND",     "ACL",
    "REPORT",    "MKACTIVITY", "CHECKOUT", "MERGE", "NOTIFY", "SUBSCRIBE",  "MKCALENDAR",
    "LINK",      "UNLINK",     "SOURCE",   "PURGE", "QUERY",  "UNSUBSCRIBE"};

bool starts_a_method(std::string_view text) {
  return std::ranges::any_of(kMethods, [&](std::string_view method) { return method.starts_with(text); });
}

// `method SP target SP HTTP/1.x`, as much of it as is there. `enough`: it is judged by that.
Sniffed sniff_request_line(std::string_view text, bool enough) {
  size_t space = text.find(' ');
  if (space == text.npos) return starts_a_method(text) ? Sniffed::more : Sniffed::other;
  std::string_view method = text.substr(0, space);
  if (std::ranges::find(kMethods, method) == kMethods.end()) return Sniffed::other;
  size_t end = text.find('\n');
  if (end == text.npos) return enough ? Sniffed::http1 : Sniffed::more;
  std::string_view line = text.substr(0, end);
  return line.find(" HTTP/1.") != line.npos ? Sniffed::http1 : Sniffed::other;
}

}  // namespace

Sniffed sniff(std::string_view first_bytes) {
  first_bytes = first_bytes.substr(0, kLongestLook);
  bool enough = first_bytes.size() == kLongestLook;
  if (first_bytes.starts_with(kPreface)) return Sniffed::http2;
  if (kPreface.starts_with(first_bytes)) return Sniffed::more;
  if (first_bytes.starts_with("\r\n")) first_bytes.remove_prefix(2);  // RFC 9112 §2.2
  if (first_bytes.empty() || first_bytes == "\r") return Sniffed::more;
  return sniff_request_line(first_bytes, enough);
}

Task<Result<Sniffed>> Peeked::detect() {
  for (;;) {
    Result<Chunk> chunk = co_await transport_.read();
    if (!chunk) co_return fail(std::move(chunk.error()));
    if (chunk->eof) co_return Sniffed::other;
    size_t size = total(chunk->data);
    for (const iovec& piece : chunk->data) first_.append(piece.iov_base, piece.iov_len);
    transport_.consume(size);
    std::span<const uint8_t> seen = first_.bytes();
    Sniffed found = sniff({reinterpret_cast<const char*>(seen.data()), seen.size()});
    if (found != Sniffed::more) co_return found;
  }
}

bool Peeked::poll_read(Result<Chunk>& out) {
  if (first_.empty()) return transport_.try_read(out);
  lent_ = first_.iov();
  out = Chunk{.data = {&lent_, 1}};
  return true;
}

void Peeked::consume(size_t n) {
  if (first_.empty()) {
    transport_.consume(n);
  } else {
    first_.drop(n);
  }
}

}  // namespace ambientd::l7
