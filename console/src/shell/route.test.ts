// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { address, parsePlace } from "./route";

test("places survive the way through the address", () => {
  for (const place of [{ section: "", id: null }, { section: "jobs", id: null }, { section: "jobs", id: "j12" }, { section: "jobs", id: "a/b #%ü" }]) {
    assert.deepEqual(parsePlace(address(place.section, place.id)), place);
  }
  assert.deepEqual(parsePlace(""), { section: "", id: null });
  assert.deepEqual(parsePlace("#/jobs/%E0%A4%A"), { section: "jobs", id: "%E0%A4%A" });
});
