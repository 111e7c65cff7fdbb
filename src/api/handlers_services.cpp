// SPDX-License-Identifier: Apache-2.0
// Services: list, define, scale, remove, read their output.
#include <fmt/format.h>

#include "api/call.hpp"
#include "api/request.hpp"
#include "api/spec_request.hpp"

namespace centrale::api {
namespace {

/// As it is now, or, when it is gone already, as it last was.
Result<Answer> answer_service(const Core& core, Time now, ServiceId id, const ServiceView& last, int status) {
  const Service* service = core.service(id);
  return json_answer(service != nullptr ? view(core, *service, now) : last, status);
}

/// What a wish learns on its way, for the answer.
struct Before {
  bool existed = false;
  ServiceId id;
  ServiceView last;
};

}  // namespace

void list_services(const CallPtr& call) {
  look(call, [call](const Core& core, Time now) -> Result<Answer> {
    TRY_ASSIGN(const std::uint64_t first, call->after<ServiceTag>());
    const auto limit = static_cast<std::size_t>(call->number("limit").value_or(kListUsual));
    ServiceList list;
    core.each_service([&](const Service& service) {
      if (service.id.value < first || !call->scope().sees(service.tenant)) { return; }
      if (list.services.size() < limit) {
        list.services.push_back(view(core, service, now));
      } else {
        list.next = list.services.back().id;
      }
    });
    return json_answer(list);
  });
}

void put_service(const CallPtr& call) {
  auto spec = service_from_json(call->request.body);
  Result<void> sound = spec ? resolve_paths(*spec, {}) : std::unexpected(spec.error());
  if (!sound) {
    send(call, error_answer(sound.error()));
    return;
  }
  auto before = std::make_shared<Before>();
  ask(
      call,
      [call, before, spec = std::move(*spec)](const Core& core, Time) -> Result<Event> {
        before->existed = core.service(spec.name) != nullptr;
        return ServiceDefined{.tenant = call->caller.tenant, .spec = spec};
      },
      [before](const Core& core, Time now, std::uint64_t created) -> Result<Answer> {
        return answer_service(core, now, ServiceId{created}, {}, before->existed ? 200 : 201);
      });
}

void get_service(const CallPtr& call) {
  look(call, [call](const Core& core, Time now) -> Result<Answer> {
    TRY_ASSIGN(const Service* service, find_service(core, call->arguments[0], call->scope()));
    return json_answer(view(core, *service, now));
  });
}

void scale_service(const CallPtr& call) {
  const auto request = read_request<ScaleRequest>(call->request.body);
  if (!request) {
    send(call, error_answer(request.error()));
    return;
  }
  auto before = std::make_shared<Before>();
  ask(
      call,
      [call, before, replicas = *request->replicas](const Core& core, Time now) -> Result<Event> {
        TRY_ASSIGN(const Service* service, find_service(core, call->arguments[0], call->scope()));
        *before = {.existed = true, .id = service->id, .last = view(core, *service, now)};
        return ServiceScaled{.service = service->id, .replicas = replicas};
      },
      [before](const Core& core, Time now, std::uint64_t) -> Result<Answer> {
        return answer_service(core, now, before->id, before->last, 200);
      });
}

void remove_service(const CallPtr& call) {
  auto before = std::make_shared<Before>();
  ask(
      call,
      [call, before](const Core& core, Time now) -> Result<Event> {
        TRY_ASSIGN(const Service* service, find_service(core, call->arguments[0], call->scope()));
        *before = {.existed = true, .id = service->id, .last = view(core, *service, now)};
        before->last.state = ServiceState::removing;
        before->last.replicas_wanted = 0;
        before->last.replicas_ready = 0;
        before->last.replicas.clear();
        return ServiceRemoved{.service = service->id};
      },
      [before](const Core& core, Time now, std::uint64_t) -> Result<Answer> {
        return answer_service(core, now, before->id, before->last, 200);
      });
}

void get_service_log(const CallPtr& call) {
  call->wiring().host.read([call](const Core& core, Time) {
    const std::int64_t ordinal = call->number("replica").value_or(0);
    const auto found = find_service(core, call->arguments[0], call->scope());
    if (!found) {
      answer(call, error_answer(found.error()));
      return;
    }
    const Service& service = **found;
    if (static_cast<std::size_t>(ordinal) >= service.replicas.size()) {
      answer(call, error_answer({ErrorKind::not_found,
                                 fmt::format("service '{}' has {} replicas", service.spec.name, service.replicas.size()),
                                 "replica",
                                 {}}));
      return;
    }
    const Task* task = core.task(service.replicas[static_cast<std::size_t>(ordinal)].task);
    const bool alive = task != nullptr && task->state != TaskState::queued && task->state != TaskState::exited;
    call->wiring().rim.post([call, id = service.id, ordinal, task = alive ? std::optional(task->id) : std::nullopt] {
      // A replica that failed has left something to read.
      answer_log(call, 0, LogWanted{.task = task ? task : call->wiring().logs.replica(id, ordinal), .ended = !task});
    });
  });
}

}  // namespace centrale::api
