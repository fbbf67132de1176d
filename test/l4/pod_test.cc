// SPDX-License-Identifier: Apache-2.0
#include "l4/pod.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l4;

TEST_CASE("a pod is named by namespace, name and service account, and where its network is") {
  Result<PodSpec> pod = parse_pod("demo/client-0/client=/run/netns/client");
  REQUIRE(pod);
  CHECK(*pod == PodSpec{"demo", "client-0", "client", "/run/netns/client"});
  CHECK(*parse_pod("demo/client-0/client") == PodSpec{"demo", "client-0", "client", ""});
}

TEST_CASE("a pod that is not named fully is an error that says how") {
  for (const char* text : {"", "demo", "demo/client", "demo//client", "demo/a/b/c", "demo/a/b=", "=x"}) {
    INFO(text);
    Result<PodSpec> pod = parse_pod(text);
    REQUIRE_FALSE(pod);
    CHECK(pod.error().code == Errc::invalid);
    CHECK(pod.error().detail.find("expected namespace/name/service-account") != std::string::npos);
  }
}

TEST_CASE("a namespace that is not there is an error with its path") {
  Result<std::unique_ptr<Pod>> pod = Pod::open({"demo", "a", "b", "/nonexistent/netns"}, 0);
  REQUIRE_FALSE(pod);
  CHECK(pod.error().detail ==
        "open network namespace /nonexistent/netns: No such file or directory (os error 2)");
}

TEST_CASE("a port in use is named, with its pod's port and what to do") {
  Result<std::unique_ptr<Pod>> pod = Pod::open({"demo", "a", "b", ""}, 0);
  REQUIRE(pod);
  Settings settings;
  settings.original_source = OriginalSource::never;
  bool transparent = true;
  Result<Fd> first = (*pod)->listen(0, settings, &transparent);
  REQUIRE(first);
  CHECK_FALSE(transparent);
  uint16_t port = local_address(first->get())->port;
  Result<Fd> second = (*pod)->listen(port, settings, &transparent);
  REQUIRE_FALSE(second);
  CHECK(second.error().detail.find(std::to_string(port) +
                                   " (is another ambientd or ztunnel running here?)") != std::string::npos);
}

TEST_CASE("what the process may open is shared among its pods") {
  struct Case {
    size_t descriptors, pods, want;
  };
  const Case cases[] = {
      {1024, 1, 384},
      {1024, 2, 192},
      {1'048'576, 1, 523'788},
      {1'048'576, 4, 261'894},
      {65536, 100, 1290},
      {1024, 1000, 16},
      {0, 1, 16},
      {0, 10, 16},
  };
  for (const Case& c : cases) {
    INFO(c.descriptors << " for " << c.pods);
    CHECK(pod_connections(c.descriptors, c.pods) == c.want);
  }
}
