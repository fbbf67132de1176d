// SPDX-License-Identifier: Apache-2.0
#include "core/metrics.h"

#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>

namespace ambientd::metrics {
namespace {

void append_escaped(std::string& out, std::string_view value) {
  for (char c : value) {
    if (c == '\\' || c == '"') out.push_back('\\');
    if (c == '\n') {
      out.append("\\n");
    } else {
      out.push_back(c);
    }
  }
}

size_t slots_of(Kind kind, const Spec& spec) { return kind == Kind::histogram ? spec.buckets.size() + 2 : 1; }

void bump(Slot& slot) { slot.store(slot.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

}  // namespace

Labels::Labels(std::span<const Pair> pairs) {
  for (const auto& [name, value] : pairs) {
    if (!text_.empty()) text_.push_back(',');
    text_.append(name).append("=\"");
    append_escaped(text_, value);
    text_.push_back('"');
  }
}

Series::~Series() {
  for (std::atomic<Slot*>& cell : cells_) delete[] cell.load(std::memory_order_relaxed);
}

Slot* Series::cell(size_t worker) {
  Slot* own = cells_[worker].load(std::memory_order_relaxed);
  if (own) return own;
  own = new Slot[slots_]();
  cells_[worker].store(own, std::memory_order_release);
  return own;
}

uint64_t Series::sum(size_t slot) const {
  uint64_t total = 0;
  for (const std::atomic<Slot*>& cell : cells_)
    if (const Slot* slots = cell.load(std::memory_order_acquire))
      total += slots[slot].load(std::memory_order_relaxed);
  return total;
}

double Series::sum_of_doubles(size_t slot) const {
  double total = 0;
  for (const std::atomic<Slot*>& cell : cells_)
    if (const Slot* slots = cell.load(std::memory_order_acquire))
      total += std::bit_cast<double>(slots[slot].load(std::memory_order_relaxed));
  return total;
}

uint64_t Series::changes() const {
  uint64_t total = 0;
  for (size_t slot = 0; slot < slots_; ++slot) total = total * 31 + sum(slot);
  return total;
}

void Histogram::observe(double value) {
  if (!cell_) return;
  size_t bucket = static_cast<size_t>(std::ranges::lower_bound(bounds_, value) - bounds_.begin());
  bump(cell_[bucket]);
  Slot& total = cell_[bounds_.size() + 1];
  double sum = std::bit_cast<double>(total.load(std::memory_order_relaxed)) + value;
  total.store(std::bit_cast<uint64_t>(sum), std::memory_order_relaxed);
}

std::shared_ptr<Series> Family::find(const Labels& labels) {
  Stripe& stripe = stripes_[Hash{}(labels.text()) % stripes_.size()];
  std::lock_guard hold(stripe.lock);
  auto at = stripe.series.find(std::string_view(labels.text()));
  if (at != stripe.series.end()) return at->second;
  auto made = std::make_shared<Series>(labels.text(), workers_, slots_of(kind_, spec_));
  // Beyond the bound a series counts for its holder only and is not exposed: peers choose some label values.
  if (stripe.series.size() < kMostSeries / stripes_.size()) stripe.series.emplace(labels.text(), made);
  return made;
}

std::vector<std::shared_ptr<Series>> Family::all() const {
  std::vector<std::shared_ptr<Series>> out;
  for (const Stripe& stripe : stripes_) {
    std::lock_guard hold(stripe.lock);
    for (const auto& [labels, series] : stripe.series) out.push_back(series);
  }
  std::ranges::sort(out, {},
                    [](const std::shared_ptr<Series>& s) -> const std::string& { return s->labels(); });
  return out;
}

size_t Family::expire(std::chrono::steady_clock::time_point now, std::chrono::seconds idle) {
  auto is_idle = [&](const auto& entry) {
    Series& series = *entry.second;
    uint64_t changes = series.changes();
    // Handles are copied only under this lock, so a count of one stays one.
    if (entry.second.use_count() > 1 || changes != series.changes_seen) {
      series.changes_seen = changes;
      series.idle_since = now;
      return false;
    }
    return now - series.idle_since >= idle;
  };
  size_t dropped = 0;
  for (Stripe& stripe : stripes_) {
    std::lock_guard hold(stripe.lock);
    dropped += std::erase_if(stripe.series, is_idle);
  }
  return dropped;
}

Counter Counters::with(size_t worker, const Labels& labels) {
  std::shared_ptr<Series> series = find(labels);
  Slot* cell = series->cell(worker);
  return {std::move(series), cell};
}

Gauge Gauges::with(size_t worker, const Labels& labels) {
  std::shared_ptr<Series> series = find(labels);
  Slot* cell = series->cell(worker);
  return {std::move(series), cell};
}

Histogram Histograms::with(size_t worker, const Labels& labels) {
  std::shared_ptr<Series> series = find(labels);
  Slot* cell = series->cell(worker);
  return {std::move(series), cell, spec().buckets};
}

Counters& Registry::counters(Spec spec) {
  counters_.push_back(std::make_unique<Counters>(std::move(spec), workers_));
  order_.push_back(counters_.back().get());
  return *counters_.back();
}

Gauges& Registry::gauges(Spec spec) {
  gauges_.push_back(std::make_unique<Gauges>(std::move(spec), workers_));
  order_.push_back(gauges_.back().get());
  return *gauges_.back();
}

Histograms& Registry::histograms(Spec spec) {
  histograms_.push_back(std::make_unique<Histograms>(std::move(spec), workers_));
  order_.push_back(histograms_.back().get());
  return *histograms_.back();
}

void Registry::gauge(Spec spec, std::function<int64_t()> value) {
  asked_.push_back({std::move(spec), std::move(value)});
}

size_t Registry::expire(std::chrono::steady_clock::time_point now, std::chrono::seconds idle) {
  size_t dropped = 0;
  for (const std::unique_ptr<Counters>& family : counters_) dropped += family->expire(now, idle);
  for (const std::unique_ptr<Histograms>& family : histograms_) dropped += family->expire(now, idle);
  for (const std::unique_ptr<Gauges>& family : gauges_) dropped += family->expire(now, idle);
  return dropped;
}

namespace {

int64_t open_fds() {
  DIR* dir = opendir("/proc/self/fd");
  if (!dir) return 0;
  int64_t count = -3;  // `.`, `..` and the directory itself
  while (readdir(dir)) ++count;
  closedir(dir);
  return count;
}

int64_t max_fds() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<int64_t>(limit.rlim_cur);
}

}  // namespace

Gauge add_build(Registry& registry, std::string_view component, std::string_view tag) {
  Gauge build = registry.gauges({.name = "istio_build", .help = "Istio component build info."})
                    .with(0, {{"component", component}, {"tag", tag}});
  build.set(1);
  return build;
}

void add_process_gauges(Registry& registry) {
  registry.gauge({.name = "process_open_fds", .help = "Number of open file descriptors"}, open_fds);
  registry.gauge({.name = "process_max_fds", .help = "Maximum number of file descriptors"}, max_fds);
}

}  // namespace ambientd::metrics
