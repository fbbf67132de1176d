// SPDX-License-Identifier: Apache-2.0
#include "l7/response_headers.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "core/text.h"
#include "l7/request_headers.h"

namespace ambientd::l7 {

void clean_response(Response& response) {
  bool switching = response.status == 101;
  Fields connection;
  for (const http1::Field& field : response.fields)
    if (field.name == "connection") connection.push_back(field);
  for (const http1::Field& field : connection)
    for (std::string_view token : split(field.value, ','))
      if (std::string name = to_lower(trim(token)); name != "upgrade" && name != "content-length")
        remove_field(response.fields, name);
  std::erase_if(response.fields, [&](const http1::Field& field) {
    return is_hop_by_hop(field.name) && !(switching && field.name == "upgrade");
  });
}

void apply(const config::HeaderOps& ops, Response& response) { apply(ops, response.fields); }

void finish_response(Response& response, std::chrono::system_clock::time_point now,
                     std::optional<std::chrono::milliseconds> upstream_time) {
  set_field(response.fields, "server", "istio-envoy");
  if (!http1::find(response.fields, "date")) add_field(response.fields, "date", http_date(now));
  if (upstream_time)
    set_field(response.fields, "x-envoy-upstream-service-time", std::to_string(upstream_time->count()));
}

std::string http_date(std::chrono::system_clock::time_point when) {
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  time_t seconds = std::chrono::system_clock::to_time_t(when);
  tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[static_cast<size_t>(utc.tm_wday)],
                     utc.tm_mday, kMonths[static_cast<size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
}

}  // namespace ambientd::l7
