// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 spoken by hand: an upstream and a client that wait for one text and send another, byte for byte.
#pragma once

#include <string>
#include <vector>

#include "test/support/l7_world.h"

namespace ambientd::test {

// Reads until `text` is in what has come since `from`; false when the stream ends before.
inline Task<bool> read_until(Stream& stream, std::string text, std::string& into, size_t from = 0) {
  while (into.find(text, from) == into.npos) {
    Result<Chunk> chunk = co_await stream.read();
    if (!chunk || chunk->eof) co_return false;
    for (const iovec& piece : chunk->data) into.append(static_cast<char*>(piece.iov_base), piece.iov_len);
    stream.consume(total(chunk->data));
  }
  co_return true;
}

struct Step {
  std::string await;  // what must have come since the last step; empty: nothing
  std::string send;   // `!` closes the connection, `.` ends our direction
};

struct Script {
  std::vector<Step> steps;
  std::string seen;           // all that came
  Event over{"script over"};  // set while no connection plays it
  size_t connections = 0;     // how often it was played
  size_t open = 0;
  Script() { over.set(); }

  // Plays the steps on one connection, then reads on until it ends.
  static Task<void> play(std::unique_ptr<TcpStream> stream, Script* script) {
    ++script->connections;
    ++script->open;
    script->over.reset();
    size_t from = script->seen.size();
    for (const Step& step : script->steps) {
      if (!step.await.empty()) {
        bool came = co_await read_until(*stream, step.await, script->seen, from);
        if (!came) break;
        from = script->seen.find(step.await, from) + step.await.size();
      }
      if (step.send == "!") stream->close(Errc::reset);
      if (step.send == ".") stream->finish();
      if (step.send == "!" || step.send == ".") continue;
      Status sent = co_await send_text(*stream, step.send);
      if (!sent) break;
    }
    co_await read_all(*stream, script->seen);
    if (--script->open == 0) script->over.set();
  }
};

// A world whose upstream and client both follow scripts.
struct Scene : World {
  explicit Scene(std::vector<Step> upstream_steps, config::Mesh mesh = small_mesh())
      : World(std::move(mesh)) {
    upstream.steps = std::move(upstream_steps);
    connector.serve = [this](std::unique_ptr<TcpStream> stream) {
      return Script::play(std::move(stream), &upstream);
    };
  }

  // Plays the client on a tunnel to `authority`; returns when everything has ended.
  Task<void> play(std::string authority, std::vector<Step> steps) {
    client.steps = std::move(steps);
    co_await Script::play(open(authority), &client);
    co_await idle;
    kept = worker.upstreams.idle();
    worker.upstreams.drain();
    co_await upstream.over;
  }

  size_t kept = 0;  // upstream connections the worker kept for another request
  Script client, upstream;
};

}  // namespace ambientd::test
