// SPDX-License-Identifier: Apache-2.0
// Between nghttp2 and our types. nghttp2 forbids sending or receiving from inside a callback: these only
// record and wake (contract/libraries.md §4.1).
#pragma once

#include <nghttp2/nghttp2.h>

#include "hbone/headers.h"

namespace ambientd::hbone {

class Exchange;

const nghttp2_session_callbacks* session_callbacks();

// → the stream's id, or a negative nghttp2 error. With `end` there is no body.
int32_t submit_request(nghttp2_session* h2, const Headers& headers, bool end, Exchange& exchange);
// A 1xx response or the final one. → 0, or a negative nghttp2 error.
int submit_response(nghttp2_session* h2, int32_t id, const Headers& headers, bool end);

}  // namespace ambientd::hbone
