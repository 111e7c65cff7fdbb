// SPDX-License-Identifier: Apache-2.0
// Weighted fair share over a tree of tenants, with dominant resources (DRF, Ghodsi et al., NSDI 2011, section 4.1; in the tree as H-DRF,
// Bhattacharya et al., SoCC 2013, section 5). Kinds of chip are the resources; a tenant's dominant share is the largest part of any
// kind that it has. Who has least of it for its weight is served next, going down the tree; a parent counts its children scaled down to
// the least of those that still want something, so that one child's riches do not starve its siblings.
//
// Within a tenant: what runs, then priority, then first come first served. Ties go to what runs, then to the tenant that used less: chip
// time that fades with a half life of 7 days. So only work of tenants above their share is stopped, and only for tenants below theirs.
#pragma once
#include "policy/elastic.hpp"

namespace centrale {

class Fair final : public ElasticPolicy {
 public:
  static constexpr double kHalfLife_s = 7.0 * 86'400;

  explicit Fair(const Scheduling& scheduling) : ElasticPolicy(scheduling, seconds(300)) {}
  [[nodiscard]] std::string_view name() const override { return "fair"; }
  void tenancy(TenantId tenant, const Tenancy& tenancy) override { tenancies_[tenant.value] = tenancy; }

 private:
  using Usage = std::vector<std::int64_t>;  // chips by kind
  struct Node {
    std::uint64_t tenant = 0;  // 0: the root
    std::size_t parent = 0;
    double weight = 1;
    bool leaf = false;          // has jobs; a tenant with children has a leaf of its own among them
    std::vector<double> chips;  // by kind; of a parent as its children count
    double share = 0;           // dominant, over weight
    std::vector<std::size_t> children;
    std::vector<std::size_t> heap;  // children that want something, least first
    std::vector<Slot> wants;        // of a leaf: what runs, then what waits
    std::size_t next = 0;
  };
  struct Used {
    double chip_s = 0;
    Time until;
  };
  [[nodiscard]] double major(const Item& item, Time) const override;
  [[nodiscard]] bool by_priority() const override { return false; }
  void freeze(Time now) override;
  void choose(std::span<const Slot> items, Time now) override;
  void save_more(std::string& text) const override;
  bool load_line(std::string_view word, std::string_view rest) override;

  std::size_t node_of(std::uint64_t tenant);
  std::size_t leaf_of(std::uint64_t tenant);
  void plant(std::span<const Slot> items);
  void count(std::size_t leaf, KindIndex kind, std::int64_t chips);
  void recount(std::size_t node);
  [[nodiscard]] bool later(std::size_t a, std::size_t b) const;
  [[nodiscard]] bool serve(std::size_t leaf);
  void push(std::size_t node);
  [[nodiscard]] double weight_of(std::uint64_t tenant) const;

  std::map<std::uint64_t, Tenancy> tenancies_;
  std::map<std::uint64_t, double> shares_;  // as of the last round: ranks between rounds
  std::map<std::uint64_t, Used> used_;
  std::vector<Node> nodes_;
  std::map<std::uint64_t, std::size_t> node_at_, leaf_at_;
};

}  // namespace centrale
