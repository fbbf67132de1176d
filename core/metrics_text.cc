// SPDX-License-Identifier: Apache-2.0
// The two text formats. They differ in the name a counter's HELP and TYPE carry, in `# UNIT`, in how a bucket
// bound is spelled (OpenMetrics wants a canonical float) and in the closing `# EOF`.
#include <fmt/format.h>

#include "core/metrics.h"

namespace ambientd::metrics {
namespace {

std::string_view type_of(Kind kind) {
  switch (kind) {
    case Kind::counter:
      return "counter";
    case Kind::gauge:
      return "gauge";
    case Kind::histogram:
      return "histogram";
  }
  std::unreachable();
}

std::string bound(double value, Format format) {
  std::string text = fmt::format("{}", value);
  bool whole = text.find_first_of(".e") == std::string::npos;
  if (!whole && text.ends_with(".0") && format == Format::text) text.resize(text.size() - 2);
  return whole && format == Format::openmetrics ? text + ".0" : text;
}

void append_escaped_help(std::string& out, std::string_view help) {
  for (char c : help) {
    if (c == '\\') out.push_back('\\');
    if (c == '\n') {
      out.append("\\n");
    } else {
      out.push_back(c);
    }
  }
}

class Writer {
 public:
  explicit Writer(Format format) : format_(format) {}

  void describe(Kind kind, const Spec& spec) {
    bool suffix = kind == Kind::counter && format_ == Format::text;
    std::string name = suffix ? spec.name + "_total" : spec.name;
    out_.append("# HELP ").append(name).append(" ");
    append_escaped_help(out_, spec.help);
    fmt::format_to(std::back_inserter(out_), "\n# TYPE {} {}\n", name, type_of(kind));
    if (!spec.unit.empty() && format_ == Format::openmetrics)
      fmt::format_to(std::back_inserter(out_), "# UNIT {} {}\n", name, spec.unit);
  }

  template <class Value>
  void sample(std::string_view name, std::string_view suffix, std::string_view labels, Value value) {
    out_.append(name).append(suffix);
    if (!labels.empty()) out_.append("{").append(labels).append("}");
    fmt::format_to(std::back_inserter(out_), " {}\n", value);
  }

  void histogram(const Spec& spec, const Series& series) {
    uint64_t count = 0;
    for (size_t i = 0; i <= spec.buckets.size(); ++i) {
      count += series.sum(i);
      std::string le = i < spec.buckets.size() ? bound(spec.buckets[i], format_) : "+Inf";
      std::string labels = series.labels();
      labels.append(labels.empty() ? "" : ",").append("le=\"").append(le).append("\"");
      sample(spec.name, "_bucket", labels, count);
    }
    sample(spec.name, "_sum", series.labels(), series.sum_of_doubles(spec.buckets.size() + 1));
    sample(spec.name, "_count", series.labels(), count);
  }

  void series(const Family& family, const Series& one) {
    const Spec& spec = family.spec();
    switch (family.kind()) {
      case Kind::counter:
        return sample(spec.name, "_total", one.labels(), one.sum(0));
      case Kind::gauge:
        return sample(spec.name, "", one.labels(), static_cast<int64_t>(one.sum(0)));
      case Kind::histogram:
        return histogram(spec, one);
    }
  }

  std::string take() {
    if (format_ == Format::openmetrics) out_.append("# EOF\n");
    return std::move(out_);
  }

 private:
  Format format_;
  std::string out_;
};

}  // namespace

std::string Registry::expose(Format format) const {
  Writer out(format);
  for (const Asked& asked : asked_) {
    out.describe(Kind::gauge, asked.spec);
    out.sample(asked.spec.name, "", "", asked.value());
  }
  for (const Family* family : order_) {
    std::vector<std::shared_ptr<Series>> all = family->all();
    if (all.empty()) continue;
    out.describe(family->kind(), family->spec());
    for (const std::shared_ptr<Series>& series : all) out.series(*family, *series);
  }
  return out.take();
}

}  // namespace ambientd::metrics
