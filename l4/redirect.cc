// SPDX-License-Identifier: Apache-2.0
#include "l4/redirect.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "core/text.h"

namespace ambientd::l4::redirect {
namespace {

constexpr std::string_view kPrerouting = "ISTIO_PRERT";
constexpr std::string_view kOutput = "ISTIO_OUTPUT";
constexpr std::string_view kOurMark = "0x539/0xfff";  // on every socket of ours
constexpr std::string_view kReplyMark =
    "0x111/0xfff";  // on connections we opened to the app in a client's name

using Lines = std::vector<std::string>;

struct Table {
  std::string_view name;
  Lines rules;  // of our two chains; none: the table is not ours to touch
};

// What differs between the families: the loopback address, and the address kubelet's probes are rewritten to.
struct Addresses {
  std::string_view loopback, probe;
};

Addresses addresses(Family family) {
  if (family == Family::v4) return {"127.0.0.1/32", "169.254.7.127"};
  return {"::1/128", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff"};
}

Lines mangle_rules() {
  return {
      fmt::format("-A {} -m mark --mark {} -j CONNMARK --set-xmark {}", kPrerouting, kOurMark, kReplyMark),
      fmt::format(
          "-A {} -m connmark --mark {} -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
          kOutput, kReplyMark),
  };
}

Lines dns_nat_rules(std::string_view loopback) {
  return {
      fmt::format("-A {} ! -o lo -p udp -m mark ! --mark {} -m udp --dport 53 -j REDIRECT --to-port 15053",
                  kOutput, kOurMark),
      fmt::format("-A {} ! -d {} -p tcp --dport 53 -m mark ! --mark {} -j REDIRECT --to-ports 15053", kOutput,
                  loopback, kOurMark),
  };
}

Lines nat_rules(Family family, const Options& options) {
  auto [loopback, probe] = addresses(family);
  Lines lines = {
      fmt::format("-A {} -s {} -p tcp -m tcp -j ACCEPT", kPrerouting, probe),
      fmt::format("-A {} -d {} -p tcp -m tcp -j ACCEPT", kOutput, probe),
      fmt::format("-A {} ! -d {} -p tcp ! --dport 15008 -m mark ! --mark {} -j REDIRECT --to-ports 15006",
                  kPrerouting, loopback, kOurMark),
  };
  if (options.dns)
    for (std::string& rule : dns_nat_rules(loopback)) lines.push_back(std::move(rule));
  lines.push_back(fmt::format("-A {} -p tcp -m mark --mark {} -j ACCEPT", kOutput, kReplyMark));
  lines.push_back(fmt::format("-A {} ! -d {} -o lo -j ACCEPT", kOutput, loopback));
  lines.push_back(fmt::format("-A {} ! -d {} -p tcp -m mark ! --mark {} -j REDIRECT --to-ports 15001",
                              kOutput, loopback, kOurMark));
  return lines;
}

// Our own DNS queries get a conntrack zone of their own: the app's captured query may use the same ports.
Lines raw_rules(const Options& options) {
  if (!options.dns) return {};
  return {
      fmt::format("-A {} -p udp -m mark --mark {} -m udp --dport 53 -j CT --zone 1", kOutput, kOurMark),
      fmt::format("-A {} -p udp -m mark ! --mark {} -m udp --sport 53 -j CT --zone 1", kPrerouting, kOurMark),
  };
}

std::array<Table, 3> tables(Family family, const std::optional<Options>& options) {
  if (!options) return {{{"mangle", {}}, {"nat", {}}, {"raw", {}}}};
  return {{{"mangle", mangle_rules()}, {"nat", nat_rules(family, *options)}, {"raw", raw_rules(*options)}}};
}

// What of ours iptables-save shows in one table.
struct Residue {
  bool prerouting = false, output = false;  // the chains
  Lines jumps;  // rules of other chains that lead to them, as saved: `-A OUTPUT -j …`
};

bool leads_to_us(std::string_view rule) {
  return rule.ends_with(fmt::format("-j {}", kPrerouting)) || rule.ends_with(fmt::format("-j {}", kOutput));
}

void note(Residue& residue, std::string_view line) {
  if (line.starts_with(fmt::format(":{} ", kPrerouting))) residue.prerouting = true;
  if (line.starts_with(fmt::format(":{} ", kOutput))) residue.output = true;
  if (line.starts_with("-A ") && leads_to_us(line)) residue.jumps.emplace_back(line);
}

Residue residue_in(std::string_view saved, std::string_view table) {
  Residue residue;
  bool here = false;
  for (std::string_view line : split(saved, '\n')) {
    line = trim(line);
    if (line.starts_with('*')) here = line.substr(1) == table;
    if (here) note(residue, line);
  }
  return residue;
}

// Declaring a chain under --noflush makes it, or empties the one that is there.
void declare(std::string& out) { out += fmt::format(":{} - [0:0]\n:{} - [0:0]\n", kPrerouting, kOutput); }

void drop_jumps(std::string& out, const Lines& jumps) {
  for (const std::string& jump : jumps) out += fmt::format("-D {}\n", jump.substr(3));
}

std::string made(const Table& table, const Residue& residue) {
  std::string out = fmt::format("*{}\n", table.name);
  declare(out);
  drop_jumps(out, residue.jumps);
  out += fmt::format("-A PREROUTING -j {}\n-A OUTPUT -j {}\n", kPrerouting, kOutput);
  for (const std::string& rule : table.rules) out += rule + "\n";
  return out + "COMMIT\n";
}

std::string unmade(const Table& table, const Residue& residue) {
  if (!residue.prerouting && !residue.output) return {};
  std::string out = fmt::format("*{}\n", table.name);
  declare(out);  // so that both are there and empty
  drop_jumps(out, residue.jumps);
  out += fmt::format("-X {}\n-X {}\n", kPrerouting, kOutput);
  return out + "COMMIT\n";
}

std::string heredoc(std::string_view tool, std::string_view text) {
  return fmt::format("{} --noflush <<'RULES'\n{}RULES\n", tool, text);
}

}  // namespace

std::string change(Family family, std::string_view saved, const std::optional<Options>& options) {
  std::string out;
  for (const Table& table : tables(family, options)) {
    Residue residue = residue_in(saved, table.name);
    out += table.rules.empty() ? unmade(table, residue) : made(table, residue);
  }
  return out;
}

std::string rules(Family family, const Options& options) { return change(family, "", options); }

std::string print(const Options& options) {
  return heredoc("iptables-restore", rules(Family::v4, options)) +
         "ip -4 rule add fwmark 0x111/0xfff pref 32764 lookup 100\n"
         "ip -4 route add local 0.0.0.0/0 dev lo table 100\n" +
         heredoc("ip6tables-restore", rules(Family::v6, options)) +
         "ip -6 rule add fwmark 0x111/0xfff pref 32764 lookup 100\n"
         "ip -6 route add local ::/0 dev lo table 100\n";
}

}  // namespace ambientd::l4::redirect
