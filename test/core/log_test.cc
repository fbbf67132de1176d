// SPDX-License-Identifier: Apache-2.0
#include "core/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "test/support/catch.h"

using namespace ambientd;
using log::Field;
using log::Filter;
using log::Level;
using log::Shape;

namespace {

constexpr int64_t kTime = 1767323045'678901;  // 2026-01-02T03:04:05.678901Z

std::string plain(std::string_view message, std::initializer_list<Field> fields) {
  return log::format(Shape::plain, kTime, Level::info, "access", message, fields);
}

std::string json(std::string_view message, std::initializer_list<Field> fields) {
  return log::format(Shape::json, kTime, Level::warn, "xds", message, fields);
}

// Collects lines and puts the default filter back at the end.
struct Capture {
  std::vector<std::string> lines;
  Capture() {
    log::redirect_to([this](std::string_view line) { lines.emplace_back(line); });
  }
  ~Capture() {
    log::redirect_to(nullptr);
    log::set_filter({});
  }
};

// Everything written to stdout while it lives goes to a pipe.
class StdoutPipe {
 public:
  StdoutPipe() : saved_(dup(STDOUT_FILENO)) {
    REQUIRE(pipe(ends_) == 0);
    dup2(ends_[1], STDOUT_FILENO);
    close(ends_[1]);
  }
  ~StdoutPipe() { close(ends_[0]); }
  int reading_end() const { return ends_[0]; }
  void restore() {
    dup2(saved_, STDOUT_FILENO);
    close(saved_);
  }

 private:
  int saved_;
  int ends_[2]{};
};

std::string read_all(int fd) {
  std::string out;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<size_t>(n));
  return out;
}

}  // namespace

TEST_CASE("a plain line has tabs between columns and spaces between fields") {
  CHECK(plain("connection complete",
              {{"src.addr", log::display("10.0.0.1:1")}, {"src.workload", "a \"b\""}, {"bytes", 67u}}) ==
        "2026-01-02T03:04:05.678901Z\tinfo\taccess\tconnection complete\tsrc.addr=10.0.0.1:1 "
        "src.workload=\"a \\\"b\\\"\" "
        "bytes=67");
  CHECK(plain("m", {}) == "2026-01-02T03:04:05.678901Z\tinfo\taccess\tm");
  CHECK(plain("m", {{"n", -1}, {"b", true}, {"s", std::string("x")}}).ends_with("\tn=-1 b=true s=\"x\""));
}

TEST_CASE("a JSON line keeps numbers as numbers") {
  CHECK(json("lost \"it\"", {{"retry", 250}, {"peer", log::display("[::1]:80")}, {"ok", false}}) ==
        "{\"level\":\"warn\",\"time\":\"2026-01-02T03:04:05.678901Z\",\"scope\":\"xds\",\"message\":\"lost "
        "\\\"it\\\"\","
        "\"retry\":250,\"peer\":\"[::1]:80\",\"ok\":false}");
}

TEST_CASE("a line about a pod names it, in both shapes") {
  log::Subject pod{"default", "shell-0"};
  Field fields[] = {{"n", 1}};
  CHECK(log::format(Shape::plain, kTime, Level::info, "policy", "m", fields, pod)
            .ends_with("\tinfo\tpolicy:proxy{wl=default/shell-0}\tm\tn=1"));
  CHECK(log::format(Shape::json, kTime, Level::info, "policy", "m", fields, pod)
            .ends_with("\"message\":\"m\",\"n\":1,\"proxy\":{\"wl\":\"default/shell-0\"}}"));
}

TEST_CASE("a pod's own level decides about its lines, and about no others") {
  Capture capture;
  log::set_filter(*Filter::parse("access=warn,[proxy{wl=default/a}]=debug,[proxy{wl=default/b}]=error,info"));
  log::Subject a{"default", "a"}, b{"default", "b"}, other{"default", "c"}, longer{"default", "aa"};
  CHECK(log::enabled(Level::debug, "access", a));
  CHECK(log::enabled(Level::debug, "policy", a));
  CHECK_FALSE(log::enabled(Level::trace, "policy", a));
  CHECK_FALSE(log::enabled(Level::warn, "policy", b));
  for (const log::Subject& each : {other, longer, log::Subject{}}) {
    CHECK_FALSE(log::enabled(Level::debug, "policy", each));
    CHECK_FALSE(log::enabled(Level::info, "access", each));
    CHECK(log::enabled(Level::warn, "access", each));
  }
}

TEST_CASE("nothing a peer sent can forge a line or break the JSON") {
  std::string evil = "a\nb\tc\x01\xff\x7f";
  CHECK(plain(evil, {{"k", evil}, {"d", log::display(evil)}}).find_first_of("\n\x01\x7f") ==
        std::string::npos);
  CHECK(std::ranges::count(plain(evil, {{"d", log::display(evil)}}), '\t') == 4);
  std::string line = json(evil, {{"k", evil}});
  CHECK(line.find_first_of("\n\t\x01\xff") == std::string::npos);
  CHECK(line.find("a\\nb\\tc\\u0001") != std::string::npos);
}

TEST_CASE("levels per target follow RUST_LOG") {
  struct Case {
    const char *directives, *target;
    Level level;
  };
  const Case cases[] = {
      {"", "xds", Level::info},
      {"warn", "xds", Level::warn},
      {"WARN", "xds", Level::warn},
      {"xds=debug", "xds", Level::debug},
      {"xds=debug", "access", Level::info},
      {"xds:debug", "xds::client", Level::debug},
      {"debug, access=off", "access", Level::off},
      {"proxy=debug,proxy::inbound=error", "proxy::inbound", Level::error},
      {"proxy::inbound=error,proxy=debug", "proxy::inbound", Level::error},
      {"ztunnel::xds=trace", "xds", Level::trace},
      {"ztunnel=debug", "xds", Level::debug},
      {"a::b:trace", "a::b", Level::trace},
      {"xds=debug,xds=warn", "xds", Level::warn},
  };
  for (const Case& c : cases) {
    INFO(c.directives << " for " << c.target);
    Result<Filter> filter = Filter::parse(c.directives);
    REQUIRE(filter);
    CHECK(filter->level_of(c.target) == c.level);
  }
}

TEST_CASE("a clause that is no clause is named") {
  for (const char* bad : {"loud", "xds=loud", "=debug", "xds=", "xds", "a::b"}) {
    Result<Filter> filter = Filter::parse(std::string("info,") + bad);
    INFO(bad);
    REQUIRE_FALSE(filter);
    CHECK(filter.error().detail.starts_with(std::string("Invalid level provided: ") + bad));
  }
}

TEST_CASE("a filter prints what parses back, and grows") {
  Filter filter = *Filter::parse("xds=debug,warn");
  CHECK(filter.str() == "xds=debug,warn");
  CHECK(Filter().str() == "info");
  filter.add(*Filter::parse("access=off,xds=trace"));
  CHECK(filter.str() == "xds=trace,access=off,warn");
  filter.add(*Filter::parse("error"));
  CHECK(filter.level_of("other") == Level::error);
  CHECK(filter.lowest() == Level::trace);
}

TEST_CASE("the filter decides at run time") {
  Capture capture;
  log::debug("xds", "one");
  log::set_filter(*Filter::parse("xds=debug"));
  log::debug("xds", "two");
  log::debug("access", "three");
  log::info("access", "four", {{"n", 1}});
  log::set_filter(*Filter::parse("off"));
  log::error("xds", "five");
  log::raw("[six]");
  REQUIRE(capture.lines.size() == 3);
  CHECK(capture.lines[0].ends_with("\tdebug\txds\ttwo"));
  CHECK(capture.lines[1].ends_with("\tinfo\taccess\tfour\tn=1"));
  CHECK(capture.lines[2] == "[six]");
}

TEST_CASE("no line is lost, torn or out of order, even through a slow non-blocking pipe") {
  constexpr int kThreads = 3, kLines = 5000;
  StdoutPipe out;
  fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
  log::start(Shape::plain, {});
  std::string text;
  std::thread reader([&] { text = read_all(out.reading_end()); });
  std::vector<std::thread> writers;
  for (int t = 0; t < kThreads; ++t)
    writers.emplace_back([t] {
      for (int i = 0; i < kLines; ++i) log::info("test", "m", {{"t", t}, {"i", i}});
    });
  for (std::thread& writer : writers) writer.join();
  log::stop();
  out.restore();
  reader.join();
  log::set_filter({});

  int next[kThreads] = {};
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    int t = 0, i = 0;
    REQUIRE(sscanf(text.c_str() + text.find("t=", at), "t=%d i=%d", &t, &i) == 2);
    REQUIRE(i == next[t]++);
    at = end + 1;
  }
  CHECK(next[0] + next[1] + next[2] == kThreads * kLines);
}
