// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "core/log.h"
#include "core/text.h"

namespace ambientd::log {
namespace {

constexpr int64_t kMicros = 1'000'000;  // per second

// `2026-01-02T03:04:05.678901Z`. gmtime_r takes a process-wide lock, so each thread keeps the second it last
// rendered.
void append_time(std::string& out, int64_t micros) {
  thread_local std::time_t second = -1;
  thread_local std::string rendered;
  if (second != micros / kMicros) {
    second = micros / kMicros;
    std::tm utc{};
    gmtime_r(&second, &utc);
    rendered = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", utc.tm_year + 1900, utc.tm_mon + 1,
                           utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
  }
  out.append(rendered);
  fmt::format_to(std::back_inserter(out), ".{:06}Z", micros % kMicros);
}

// What is not quoted may come from a peer: it must not start a line or a column of its own.
void append_tame(std::string& out, std::string_view text) {
  for (char c : text) out.push_back(static_cast<unsigned char>(c) < ' ' || c == 0x7f ? ' ' : c);
}

void append_plain(std::string& out, const Field::Value& value) {
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string_view>) {
          out.append(quoted(v));
        } else if constexpr (std::is_same_v<T, Display>) {
          append_tame(out, v.text);
        } else {
          fmt::format_to(std::back_inserter(out), "{}", v);
        }
      },
      value);
}

void append_json(std::string& out, std::string_view text) {
  bool simple = true;
  for (char c : text) simple = simple && c >= ' ' && c < 0x7f && c != '"' && c != '\\';
  if (simple) {
    out.append("\"").append(text).append("\"");
  } else {
    out.append(nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
}

void append_json(std::string& out, const Field::Value& value) {
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string_view>) {
          append_json(out, v);
        } else if constexpr (std::is_same_v<T, Display>) {
          append_json(out, v.text);
        } else {
          fmt::format_to(std::back_inserter(out), "{}", v);
        }
      },
      value);
}

std::string pod_of(const Subject& about) { return std::string(about.ns).append("/").append(about.name); }

std::string json_line(int64_t micros, Level level, std::string_view target, std::string_view message,
                      std::span<const Field> fields, const Subject& about) {
  std::string out = "{\"level\":\"";
  out.append(name(level)).append("\",\"time\":\"");
  append_time(out, micros);
  out.append("\",\"scope\":");
  append_json(out, target);
  out.append(",\"message\":");
  append_json(out, message);
  for (const Field& field : fields) {
    out.push_back(',');
    append_json(out, field.key);
    out.push_back(':');
    append_json(out, field.value);
  }
  if (about.name.empty()) return out.append("}");
  out.append(",\"proxy\":{\"wl\":");
  append_json(out, std::string_view(pod_of(about)));
  return out.append("}}");
}

}  // namespace

std::string format(Shape shape, int64_t micros, Level level, std::string_view target,
                   std::string_view message, std::span<const Field> fields, const Subject& about) {
  if (shape == Shape::json) return json_line(micros, level, target, message, fields, about);
  std::string out;
  append_time(out, micros);
  out.append("\t").append(name(level)).append("\t").append(target);
  if (!about.name.empty()) out.append(":proxy{wl=").append(pod_of(about)).append("}");
  out.append("\t");
  append_tame(out, message);
  for (const Field& field : fields) {
    out.append(&field == fields.data() ? "\t" : " ").append(field.key).append("=");
    append_plain(out, field.value);
  }
  return out;
}

}  // namespace ambientd::log
