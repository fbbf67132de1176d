// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 without I/O: bytes in, events out; a Head in, bytes out. The parser is strict where parsers are
// known to disagree (framing, line ends, white space): what two proxies could read in two ways is refused,
// never repaired (RFC 9112; contract/threats.md §5.2). Body bytes are lent, not copied: a Body is valid as
// long as the input it was found in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"

namespace ambientd::http1 {

enum class Role : uint8_t { request, response };  // what the parser reads

enum class Framing : uint8_t {
  none,         // no body
  length,       // Head::length bytes
  chunked,      // chunks, then possibly trailers
  until_close,  // a response that ends with its connection
  tunnel,       // after CONNECT or 101 the bytes are no longer HTTP
};

struct Field {
  std::string name;  // lower case
  std::string value;

  bool operator==(const Field&) const = default;
};
using Fields = std::vector<Field>;

// The first value of a field, by lower-case name.
std::optional<std::string_view> find(const Fields& fields, std::string_view name);

struct Head {
  std::string method;  // of a request, as sent: methods are case-sensitive
  std::string target;  // of a request, as sent: `/path?query`, `http://host/path`, `host:port`, `*`
  int status = 0;      // of a response
  std::string reason;
  int version = 11;  // 10 or 11
  Fields fields;     // in order, hop-by-hop ones included
  Framing framing = Framing::none;
  uint64_t length = 0;           // bytes, when framing is length
  bool keep_alive = true;        // another message may follow on this connection
  bool expect_continue = false;  // a request that waits for 100
  std::string upgrade;           // value of Upgrade when Connection nominates it, else empty

  bool operator==(const Head&) const = default;
};

struct NeedMore {};  // all of the input was taken and no event is complete
struct Body {
  std::string_view bytes;  // never empty; a part of the input
};
struct Trailers {
  Fields fields;  // never empty; never content-length, transfer-encoding or host
};
struct End {};  // of the message; in a tunnel, of HTTP
using Event = std::variant<NeedMore, Head, Body, Trailers, End>;

struct Limits {
  size_t section = 60 << 10;          // bytes of a head, and of trailers
  size_t fields = 100;                // in a head, and in trailers
  size_t chunk_line = 256;            // bytes of one chunk's size and extensions
  size_t chunk_extensions = 8 << 10;  // bytes of extensions in one message
};

// Reads one message after another: Head, Body*, Trailers?, End, and again Head. An interim (1xx) response is
// a message of its own: Head, End. An error is final.
class Parser {
 public:
  explicit Parser(Role role, Limits limits = {}) : role_(role), limits_(limits) {}

  // The next event in `input`, which loses what was consumed. After End of the last wanted message the rest
  // of the input is the caller's (pipelined requests, tunnelled bytes). Errors: bad_request; status() says
  // what to answer.
  Result<Event> next(std::string_view& input);

  // Responses only, before each: the method it answers (HEAD and CONNECT change the framing) and whether that
  // request asked for an upgrade (a 101 nobody asked for is an error).
  void expect(std::string_view request_method, bool upgrade = false);

  // The peer ended its direction. End if that completes the message, NeedMore if none had begun; error: eof.
  Result<Event> close();

  // What to answer after an error: 400, 431 or 501 for a request, 502 for a response.
  int status() const { return status_; }

 private:
  enum class State : uint8_t {
    head,
    length,
    chunk_line,
    chunk_data,
    chunk_end,
    trailers,
    until_close,
    end,
    tunnel
  };

  Result<Event> read_head(std::string_view& input);
  Result<Event> read_body(std::string_view& input);
  Result<Event> read_chunk_line(std::string_view& input);
  Result<Event> read_chunk_end(std::string_view& input);
  Result<Event> read_trailers(std::string_view& input);
  Result<Event> finish();

  Result<std::optional<std::string_view>> take_section(std::string_view& input);
  Status gather(std::string_view& input, bool& complete);
  Status bound_lines(std::string_view section, size_t most);
  Status accept_chunk_line();
  Status frame(Head& head);
  std::unexpected<Error> refuse(int status, std::string_view why);

  Role role_;
  Limits limits_;
  State state_ = State::head;
  bool skipped_empty_line_ = false;  // RFC 9112 §2.2: one before a request line is ignored
  bool answers_head_ = false;
  bool answers_connect_ = false;
  bool answers_upgrade_ = false;
  int status_ = 400;
  uint64_t left_ = 0;      // bytes of the body, or of the chunk
  size_t extensions_ = 0;  // bytes of chunk extensions so far
  size_t chunk_end_ = 0;   // how much of the CRLF after a chunk was seen
  std::string gathered_;   // an incomplete head, chunk line or trailer section
  std::string failed_;     // why the message was refused
};

// A start line and header section ready to send. The framing, `connection` and `upgrade` fields are written
// from the members of Head, never from its `fields` (except content-length when the framing says there is no
// body here: the answer to HEAD, 304). Error: invalid, when a name, value, method, target or reason could
// break out of its place on the wire.
Result<std::string> write_head(const Head& head);

// A chunk on the wire is chunk_header(n), n bytes (n > 0), kChunkEnd.
std::string chunk_header(size_t n);
inline constexpr std::string_view kChunkEnd = "\r\n";

// What ends a chunked body. Error: invalid, as for write_head.
Result<std::string> last_chunk(const Fields& trailers = {});

// The value of a Date field (RFC 9110 §5.6.7), seconds since the epoch: `Fri, 02 Jan 2026 03:04:05 GMT`.
std::string http_date(int64_t seconds);

// The registered reason phrase of a status, "" for one that has none.
std::string_view reason_phrase(int status);

}  // namespace ambientd::http1
