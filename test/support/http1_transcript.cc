// SPDX-License-Identifier: Apache-2.0
#include "test/support/http1_transcript.h"

#include <fmt/format.h>

#include "core/text.h"

namespace ambientd::test {
namespace {

using namespace http1;

struct Rendered {
  std::string text;
  bool in_body = false;

  void operator()(const NeedMore&) {}
  void operator()(const Head& head) {
    line(fmt::format("head {} {} {} {} 1.{}", head.method, quoted(head.target), head.status,
                     quoted(head.reason), head.version - 10));
    line(fmt::format("framing {} {} keep {} expect {} upgrade {}", static_cast<int>(head.framing),
                     head.length, head.keep_alive, head.expect_continue, quoted(head.upgrade)));
    for (const Field& field : head.fields) line(fmt::format("{}: {}", field.name, quoted(field.value)));
  }
  void operator()(const Body& body) {
    if (!in_body) text.append("body ");
    in_body = true;
    text.append(body.bytes);
  }
  void operator()(const Trailers& trailers) {
    for (const Field& field : trailers.fields)
      line(fmt::format("trailer {}: {}", field.name, quoted(field.value)));
  }
  void operator()(const End&) { line("end"); }

  void line(std::string_view what) {
    if (in_body) text.push_back('\n');
    in_body = false;
    text.append(what).push_back('\n');
  }
};

// False once the parser has nothing more to say about this piece; renders what it says.
bool step(Parser& parser, std::string_view& piece, Rendered& out, bool& stop) {
  Result<Event> event = parser.next(piece);
  if (!event) {
    out.line(fmt::format("error {}", parser.status()));
    stop = true;
    return false;
  }
  std::visit(out, *event);
  if (std::holds_alternative<Head>(*event)) stop = std::get<Head>(*event).framing == Framing::tunnel;
  return !stop && !std::holds_alternative<NeedMore>(*event);
}

}  // namespace

std::string transcript(Parser& parser, std::string_view bytes, size_t piece, bool closed) {
  Rendered out;
  bool stop = false;
  while (!bytes.empty() && !stop) {
    std::string_view now = bytes.substr(0, piece);
    size_t given = now.size();
    while (step(parser, now, out, stop)) {
    }
    bytes.remove_prefix(given - now.size());
  }
  if (stop || !closed) return out.text;
  Result<Event> last = parser.close();
  out.line(last ? fmt::format("eof: {}", std::holds_alternative<End>(*last) ? "end" : "idle")
                : "eof: cut short");
  return out.text;
}

}  // namespace ambientd::test
