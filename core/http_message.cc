// SPDX-License-Identifier: Apache-2.0
#include "core/http_message.h"

#include <fmt/format.h>

#include "core/relay.h"
#include "core/socket.h"
#include "core/tcp_stream.h"

namespace ambientd {
namespace {

constexpr size_t kMaxAnswer = 256 << 20;  // bytes: a configuration dump of a large mesh fits

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Feeds `piece`, which loses what was used. True when the message is complete.
Result<bool> take_piece(http1::Parser& parser, std::string_view& piece, HttpMessage& into, size_t max_body) {
  for (;;) {
    Result<http1::Event> event = parser.next(piece);
    if (!event) return std::unexpected(event.error());
    if (std::holds_alternative<http1::NeedMore>(*event)) return false;
    if (std::holds_alternative<http1::End>(*event)) return true;
    if (http1::Head* head = std::get_if<http1::Head>(&*event)) into.head = std::move(*head);
    http1::Body* body = std::get_if<http1::Body>(&*event);
    if (!body) continue;
    if (into.body.size() + body->bytes.size() > max_body)
      return fail(Errc::overloaded, fmt::format("HTTP/1 body over {} bytes", max_body));
    into.body.append(body->bytes);
  }
}

Result<bool> take_chunk(Stream& from, const Chunk& chunk, http1::Parser& parser, HttpMessage& into,
                        size_t max_body) {
  Result<bool> complete = false;
  size_t used = 0;
  for (const iovec& part : chunk.data) {
    std::string_view piece(static_cast<const char*>(part.iov_base), part.iov_len);
    complete = take_piece(parser, piece, into, max_body);
    used += part.iov_len - piece.size();
    if (!complete || *complete) break;
  }
  from.consume(used);
  return complete;
}

Result<bool> take_end(http1::Parser& parser) {
  Result<http1::Event> event = parser.close();
  if (!event) return std::unexpected(event.error());
  if (std::holds_alternative<http1::End>(*event)) return true;
  return fail(Errc::eof, "the peer closed before a message");
}

Task<Result<HttpMessage>> read_final(Stream& from, http1::Parser& parser) {
  for (;;) {
    Result<HttpMessage> message = co_await read_message(from, parser, kMaxAnswer);
    if (!message || message->head.status >= 200) co_return message;
  }
}

}  // namespace

Task<Result<HttpMessage>> read_message(Stream& from, http1::Parser& parser, size_t max_body) {
  HttpMessage message;
  bool continued = false;
  for (;;) {
    Result<Chunk> chunk = co_await from.read();
    if (!chunk) co_return fail(chunk.error());
    Result<bool> complete =
        chunk->eof ? take_end(parser) : take_chunk(from, *chunk, parser, message, max_body);
    if (!complete) co_return fail(complete.error());
    if (*complete) co_return message;
    if (continued || !message.head.expect_continue) continue;
    continued = true;
    Status written = co_await write_all(from, bytes_of("HTTP/1.1 100 Continue\r\n\r\n"));
    if (!written) co_return fail(written.error());
  }
}

Task<Result<HttpMessage>> http_call(SockAddr to, HttpMessage request, Scope& scope) {
  request.head.framing = request.body.empty() ? http1::Framing::none : http1::Framing::length;
  request.head.length = request.body.size();
  request.head.keep_alive = false;
  Result<std::string> wire = http1::write_head(request.head);
  if (!wire) co_return fail(wire.error());
  wire->append(request.body);

  Result<Fd> socket = tcp_socket(to.ip.v6, 0);
  if (!socket) co_return fail(socket.error());
  Result<Fd> connected = co_await connect(std::move(*socket), to, scope);
  if (!connected) co_return fail(connected.error());
  TcpStream stream(std::move(*connected));
  scope.add(stream);
  Status written = co_await write_all(stream, bytes_of(*wire));
  if (!written) co_return fail(scope.explain(written.error()));

  http1::Parser parser(http1::Role::response);
  parser.expect(request.head.method);
  Result<HttpMessage> answer = co_await read_final(stream, parser);
  if (!answer) co_return fail(scope.explain(answer.error()));
  co_return answer;
}

}  // namespace ambientd
