// SPDX-License-Identifier: Apache-2.0
// The two parsers behind read_documents. Each drives a TreeBuilder and turns what its library throws into a
// Fault.
#pragma once

#include <expected>
#include <iosfwd>

#include "config/document.h"
#include "config/tree_builder.h"

namespace ambientd::config {

std::expected<void, Fault> read_yaml(std::istream& in, TreeBuilder& builder);
std::expected<void, Fault> read_json(std::istream& in, TreeBuilder& builder);

}  // namespace ambientd::config
