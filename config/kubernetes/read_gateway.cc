// SPDX-License-Identifier: Apache-2.0
#include "config/kubernetes/read.h"

namespace ambientd::config::kubernetes {
namespace {

Listener read_listener(const Field& field) {
  Listener out;
  out.name = field.need_text("name");
  out.port = field.need("port").port().value_or(0);
  out.protocol = field.need_text("protocol");
  Field allowed = field["allowedRoutes"];
  allowed["kinds"].ignore();
  Field namespaces = allowed["namespaces"];
  out.from = namespaces["from"].choice<Listener::From>(
      {{"Same", Listener::From::same}, {"All", Listener::From::all}, {"Selector", Listener::From::selector}},
      Listener::From::same);
  out.allowed = read_label_selector(namespaces["selector"]);
  for (std::string_view elsewhere : {"hostname", "tls"})  // of ingress listeners
    field[elsewhere].ignore();
  return out;
}

std::vector<GatewayAddressSpec> read_addresses(const Field& field) {
  std::vector<GatewayAddressSpec> out;
  for (const Field& address : field.each()) {
    std::string type = address["type"].text("IPAddress");
    std::string value = address["value"].text();
    if (value.empty()) continue;
    if (type == "Hostname" || type == "IPAddress") out.push_back({type == "Hostname", value});
  }
  return out;
}

}  // namespace

void read_gateway_class(Meta meta, const Field& root, Objects* out) {
  GatewayClass found;
  Field spec = root["spec"];
  found.controller = spec.need_text("controllerName");
  spec["description"].ignore();
  spec["parametersRef"].ignore();
  spec.refuse_unknown();
  found.meta = std::move(meta);
  out->gateway_classes.push_back(std::move(found));
}

void read_gateway(Meta meta, const Field& root, Objects* out) {
  Gateway gateway;
  Field spec = root["spec"];
  gateway.class_name = spec.need_text("gatewayClassName");
  for (const Field& field : spec["listeners"].each()) gateway.listeners.push_back(read_listener(field));
  gateway.spec_addresses = read_addresses(spec["addresses"]);
  gateway.status_addresses = read_addresses(root["status"]["addresses"]);
  for (std::string_view elsewhere :
       {"infrastructure", "allowedListeners", "tls", "backendTLS", "defaultScope"})
    spec[elsewhere].ignore();
  spec.refuse_unknown();
  gateway.meta = std::move(meta);
  out->gateways.push_back(std::move(gateway));
}

}  // namespace ambientd::config::kubernetes
