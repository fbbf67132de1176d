// SPDX-License-Identifier: Apache-2.0
#include "l7/websocket.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "core/text.h"

namespace ambientd::l7 {

void add_websocket_key(Request& request) {
  if (!http1::find(request.fields, "sec-websocket-key")) {
    std::string nonce(16, '\0');
    RAND_bytes(reinterpret_cast<unsigned char*>(nonce.data()), static_cast<int>(nonce.size()));
    add_field(request.fields, "sec-websocket-key", base64(nonce));
  }
  if (!http1::find(request.fields, "sec-websocket-version"))
    add_field(request.fields, "sec-websocket-version", "13");
}

std::string websocket_accept(std::string_view key) {
  std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 §1.3
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &size, EVP_sha1(),
             nullptr);
  digest.resize(size);
  return base64(digest);
}

}  // namespace ambientd::l7
