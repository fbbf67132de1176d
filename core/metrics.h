// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms with labels. A connection looks its series up once and keeps the handle;
// from then on counting is a plain load and store, because every worker has a cell of its own in each series
// and is its only writer. A scrape adds the cells up from another thread; no worker ever waits for it.
//
// The rule: a handle is used only on the thread whose worker number it was taken with, and the Registry
// outlives it. A series nobody holds and that has not changed for a while is dropped as a whole (expire),
// never one worker's part: a sum that shrinks would look like a restart to Prometheus.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ambientd::metrics {

enum class Kind : uint8_t { counter, gauge, histogram };

struct Spec {
  std::string name;             // without _total: `istio_tcp_connections_opened`
  std::string help;             // one sentence, with its full stop
  std::string unit;             // `bytes`, or nothing; OpenMetrics wants it to end the name as well
  std::vector<double> buckets;  // upper bounds of a histogram, rising, without +Inf
};

// Label names and values in the order they are exposed, rendered and escaped once for all families that share
// them.
class Labels {
 public:
  using Pair = std::pair<std::string_view, std::string_view>;
  Labels() = default;
  Labels(std::initializer_list<Pair> pairs) : Labels(std::span(pairs.begin(), pairs.size())) {}
  explicit Labels(std::span<const Pair> pairs);

  const std::string& text() const { return text_; }  // `a="b",c="d"`

 private:
  std::string text_;
};

using Slot = std::atomic<uint64_t>;

// One label set of a family: per worker an array of slots, made when that worker first asks for it.
// Counter: [value]. Gauge: [two's complement]. Histogram: [count per bucket…, count above, sum as bits of a
// double].
class Series {
 public:
  Series(std::string labels, size_t workers, size_t slots)
      : labels_(std::move(labels)), cells_(workers), slots_(slots) {}
  ~Series();
  Series(const Series&) = delete;
  Series& operator=(const Series&) = delete;

  const std::string& labels() const { return labels_; }
  Slot* cell(size_t worker);        // on that worker's thread
  uint64_t sum(size_t slot) const;  // over the workers, modulo 2^64
  double sum_of_doubles(size_t slot) const;
  uint64_t changes() const;  // differs when anything was counted in between

  std::chrono::steady_clock::time_point idle_since{};  // both for expire()
  uint64_t changes_seen = ~uint64_t{0};

 private:
  std::string labels_;
  std::vector<std::atomic<Slot*>> cells_;
  size_t slots_;
};

// Handles. A default one counts nothing.
class Counter {
 public:
  Counter() = default;
  Counter(std::shared_ptr<Series> series, Slot* cell) : series_(std::move(series)), cell_(cell) {}
  void add(uint64_t n = 1) {
    if (cell_) cell_->store(cell_->load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

 private:
  std::shared_ptr<Series> series_;
  Slot* cell_ = nullptr;
};

class Gauge {
 public:
  Gauge() = default;
  Gauge(std::shared_ptr<Series> series, Slot* cell) : series_(std::move(series)), cell_(cell) {}
  void add(int64_t n) {
    if (cell_)
      cell_->store(cell_->load(std::memory_order_relaxed) + static_cast<uint64_t>(n),
                   std::memory_order_relaxed);
  }
  // This worker's part of the value.
  void set(int64_t value) {
    if (cell_) cell_->store(static_cast<uint64_t>(value), std::memory_order_relaxed);
  }

 private:
  std::shared_ptr<Series> series_;
  Slot* cell_ = nullptr;
};

class Histogram {
 public:
  Histogram() = default;
  Histogram(std::shared_ptr<Series> series, Slot* cell, std::span<const double> bounds)
      : series_(std::move(series)), cell_(cell), bounds_(bounds) {}
  void observe(double value);

 private:
  std::shared_ptr<Series> series_;
  Slot* cell_ = nullptr;
  std::span<const double> bounds_;
};

// What a family exposes at most; label values that peers choose cannot make it grow further.
inline constexpr size_t kMostSeries = 64 << 10;

class Family {
 public:
  Family(Kind kind, Spec spec, size_t workers) : kind_(kind), spec_(std::move(spec)), workers_(workers) {}

  Kind kind() const { return kind_; }
  const Spec& spec() const { return spec_; }
  std::vector<std::shared_ptr<Series>> all() const;  // sorted by labels
  size_t expire(std::chrono::steady_clock::time_point now, std::chrono::seconds idle);

 protected:
  std::shared_ptr<Series> find(const Labels& labels);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  // Looking a series up locks one of these: scrapes and other workers are mostly elsewhere.
  struct Stripe {
    mutable std::mutex lock;
    std::unordered_map<std::string, std::shared_ptr<Series>, Hash, std::equal_to<>> series;
  };

  Kind kind_;
  Spec spec_;
  size_t workers_;
  std::array<Stripe, 16> stripes_;
};

class Counters final : public Family {
 public:
  Counters(Spec spec, size_t workers) : Family(Kind::counter, std::move(spec), workers) {}
  Counter with(size_t worker, const Labels& labels = {});
};

class Gauges final : public Family {
 public:
  Gauges(Spec spec, size_t workers) : Family(Kind::gauge, std::move(spec), workers) {}
  Gauge with(size_t worker, const Labels& labels = {});
};

class Histograms final : public Family {
 public:
  Histograms(Spec spec, size_t workers) : Family(Kind::histogram, std::move(spec), workers) {}
  Histogram with(size_t worker, const Labels& labels = {});
};

enum class Format : uint8_t {
  openmetrics,  // 1.0.0: counters `_total`, `# UNIT`, ends `# EOF`
  text,         // Prometheus 0.0.4
};

class Registry {
 public:
  // `workers`: how many numbers will be used with with(); by convention 0 is the main loop.
  explicit Registry(size_t workers) : workers_(workers) {}

  // Families are registered at start-up, on one thread, and exposed in that order.
  Counters& counters(Spec spec);
  Gauges& gauges(Spec spec);
  Histograms& histograms(Spec spec);
  // A gauge without labels whose value is asked for at each scrape.
  void gauge(Spec spec, std::function<int64_t()> value);

  // The whole exposition. Families without samples are left out.
  std::string expose(Format format) const;

  // Drops every series that nobody holds and that has not changed for `idle`; to be called every minute or
  // so, by one thread. Returns how many were dropped.
  size_t expire(std::chrono::steady_clock::time_point now, std::chrono::seconds idle);

 private:
  struct Asked {
    Spec spec;
    std::function<int64_t()> value;
  };
  size_t workers_;
  std::vector<Asked> asked_;
  std::vector<std::unique_ptr<Counters>> counters_;
  std::vector<std::unique_ptr<Gauges>> gauges_;
  std::vector<std::unique_ptr<Histograms>> histograms_;
  std::vector<const Family*> order_;
};

// `istio_build`, which says what runs (contract/ztunnel.md §12). It is exposed while the handle lives.
Gauge add_build(Registry& registry, std::string_view component, std::string_view tag);

// `process_open_fds` and `process_max_fds`.
void add_process_gauges(Registry& registry);

}  // namespace ambientd::metrics
