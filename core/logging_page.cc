// SPDX-License-Identifier: Apache-2.0
#include "core/logging_page.h"

#include <fmt/format.h>

#include "core/log.h"

namespace ambientd {
namespace {

using log::Filter;

constexpr std::string_view kHelp = R"(
usage: POST /logging                                    (the levels in force)
usage: POST /logging?level=<level>                      (for everything that has no level of its own)
usage: POST /logging?level=<mod>:<level>,<mod>=<level>  (for modules, e.g. access:debug or access=debug)
usage: POST /logging?workload=<ns>/<name>&level=<level> (for all lines about one pod of this proxy)
usage: POST /logging?workload=<ns>/<name>&reset         (no level of its own for that pod any more)
usage: POST /logging?reset                              (back to the levels of the start; may go with level=)

levels: trace, debug, info, warn, error, off
)";

Result<Filter> for_pod(Filter now, const std::string& pod, const AdminRequest& request) {
  if (!log::is_pod_name(pod))
    return fail(Errc::invalid, fmt::format("Invalid workload provided: {} (want namespace/name)", pod));
  bool reset = request.parameter("reset").has_value();
  std::optional<std::string> text = request.parameter("level");
  std::optional<log::Level> level = text ? log::parse_level(*text) : std::nullopt;
  if ((text && !text->empty() && !level) || (!reset && !level))
    return fail(Errc::invalid,
                fmt::format("Invalid level provided: {} (a workload has one level)", text.value_or("")));
  if (level) {
    now.add_pod(pod, *level);
  } else {
    now.drop_pod(pod);
  }
  return now;
}

Result<Filter> wanted(const AdminRequest& request, const Filter& at_start) {
  if (std::optional<std::string> pod = request.parameter("workload"))
    return for_pod(log::filter(), *pod, request);
  Filter next = request.parameter("reset") ? at_start : log::filter();
  Result<Filter> more = Filter::parse(request.parameter("level").value_or(""));
  if (!more) return more;
  next.add(*more);
  return next;
}

}  // namespace

AdminResponse answer_logging(const AdminRequest& request, const Filter& at_start) {
  if (request.method != "POST") return {405, fmt::format("Invalid HTTP method\n{}", kHelp)};
  Result<Filter> next = wanted(request, at_start);
  if (next && next->size() > log::kMostClauses)
    next = fail(Errc::invalid, fmt::format("more than {} levels: reset some first", log::kMostClauses));
  if (!next) return {400, fmt::format("{}\n{}", next.error().detail, kHelp)};
  log::set_filter(*next);
  return {200, fmt::format("current log level is {}\n", next->str())};
}

}  // namespace ambientd
