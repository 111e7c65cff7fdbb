// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "./format";

test("what is not known is a dash, never zero", () => {
  for (const print of [format.count, format.short, format.percent, format.span, format.deviceTime, format.energy, format.power, format.bytes]) {
    assert.equal(print(null), "–");
    assert.equal(print(Number.NaN), "–");
  }
  assert.equal(format.money(null, "EUR"), "–");
  assert.equal(format.moment(null, new Date()), "–");
  assert.equal(format.moment("soon", new Date()), "–");
});

test("short numbers keep three digits and never say 1000 k", () => {
  assert.equal(format.short(0), "0");
  assert.equal(format.short(0.25), "0.250");
  assert.equal(format.short(950), "950");
  assert.equal(format.short(9120), "9,120");
  assert.equal(format.short(12345), "12.3 k");
  assert.equal(format.short(999_700), "1.00 M");
  assert.equal(format.short(4_560_000), "4.56 M");
  assert.equal(format.short(7.2e16), "72.0 P");
});

test("spans use two units and round without a 60", () => {
  assert.equal(format.span(0), "0 s");
  assert.equal(format.span(0.0403), "40 ms");
  assert.equal(format.span(0.0996), "0.1 s");
  assert.equal(format.span(4.24), "4.2 s");
  assert.equal(format.span(59.7), "1 min 00 s");
  assert.equal(format.span(188), "3 min 08 s");
  assert.equal(format.span(7500), "2 h 05 min");
  assert.equal(format.span(274_000), "3 d 04 h");
  assert.equal(format.span(-3), "0 s");
});

test("energy, power, device time and bytes change unit where a reader would", () => {
  assert.equal(format.energy(812), "812 J");
  assert.equal(format.energy(7200), "2.00 Wh");
  assert.equal(format.energy(9e6), "2.50 kWh");
  assert.equal(format.energy(7.2e9), "2.00 MWh");
  assert.equal(format.power(63.4), "63 W");
  assert.equal(format.power(41_250), "41.3 kW");
  assert.equal(format.deviceTime(412), "412 s");
  assert.equal(format.deviceTime(44_640), "12.4 h");
  assert.equal(format.deviceTime(36_000_000), "10,000 h");
  assert.equal(format.bytes(512), "512 B");
  assert.equal(format.bytes(80 * 2 ** 30), "80.0 GiB");
});

test("money is a decimal, as text or number, and small sums keep four places", () => {
  assert.equal(format.money("1234.5", "EUR"), "1,234.50 EUR");
  assert.equal(format.money(0.0042, "EUR"), "0.0042 EUR");
  assert.equal(format.money(0, null), "0.00");
  assert.equal(format.money("abc", "EUR"), "–");
});

test("the day is shown only when it is another day", () => {
  const today = new Date(2026, 4, 17, 12);
  assert.equal(format.moment(new Date(2026, 4, 17, 9, 5, 3).toISOString(), today), "09:05:03");
  assert.equal(format.moment(new Date(2026, 4, 16, 9, 5, 3).toISOString(), today), "16 May 09:05");
  assert.equal(format.moment(new Date(2025, 4, 16, 9, 5, 3).toISOString(), today), "16 May 2025 09:05");
});

test("a command is printed so that it can be pasted", () => {
  assert.equal(format.commandLine(["train", "--name=a b", "it's", "x/y.json"]), "train '--name=a b' 'it'\\''s' x/y.json");
  assert.equal(format.commandLine([""]), "''");
});

test("ids sort by their number", () => {
  assert.deepEqual(["j10", "j9", "j100"].sort((a, b) => format.idNumber(a) - format.idNumber(b)), ["j9", "j10", "j100"]);
});
