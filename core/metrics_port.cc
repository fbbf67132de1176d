// SPDX-License-Identifier: Apache-2.0
#include "core/metrics_port.h"

namespace ambientd::metrics {

AdminResponse answer(const Registry& registry, const AdminRequest& request, Format usual) {
  std::string_view accepted = http1::find(request.fields, "accept").value_or("");
  bool asked = accepted.find("application/openmetrics-text") != accepted.npos;
  AdminResponse response;
  response.body = registry.expose(asked ? Format::openmetrics : usual);
  if (asked) {
    response.content_type = "application/openmetrics-text;charset=utf-8;version=1.0.0";
  } else if (usual == Format::text) {
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  }
  return response;
}

}  // namespace ambientd::metrics
