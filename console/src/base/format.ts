// SPDX-License-Identifier: Apache-2.0
// Numbers, spans and times as the console prints them. What is not known is a dash, never 0.

export const kUnknown = "–";
type Maybe = number | string | null | undefined;

/// The API sends money as a decimal, which may arrive as text.
export function number(value: Maybe): number | null {
  if (value === null || value === undefined || value === "") return null;
  const n = typeof value === "number" ? value : Number(value);
  return Number.isFinite(n) ? n : null;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value: Maybe): string {
  const n = number(value);
  return n === null ? kUnknown : whole.format(n);
}

/// 950, 9,120, 12.3 k, 4.56 M: at most three or four digits.
export function short(value: Maybe): string {
  const n = number(value);
  if (n === null) return kUnknown;
  if (Math.abs(n) < 9999.5) return Math.abs(n) >= 100 || Number.isInteger(n) ? whole.format(n) : digits(n, 3);
  let scaled = n;
  for (const unit of ["k", "M", "G", "T", "P"]) {
    scaled /= 1000;
    if (Math.abs(scaled) < 999.5 || unit === "P") return `${digits(scaled, 3)} ${unit}`;
  }
  return kUnknown;
}

/// `significant` digits, and never in exponent form between 1e-4 and 1e6.
export function digits(value: Maybe, significant: number): string {
  const n = number(value);
  if (n === null) return kUnknown;
  if (n === 0) return "0";
  const size = Math.abs(Number(n.toPrecision(significant))); // 0.9996 is 1.00, not 1.000
  if (size < 1e-4 || size >= 1e6) return n.toExponential(significant - 1);
  const decimals = Math.max(0, significant - 1 - Math.floor(Math.log10(size)));
  return n.toFixed(decimals);
}

export function percent(value: Maybe): string {
  const n = number(value);
  return n === null ? kUnknown : `${Math.round(n * 100)} %`;
}

/// Two units at most: 40 ms, 4.2 s, 51 s, 3 min 08 s, 2 h 05 min, 3 d 04 h.
export function span(seconds: Maybe): string {
  const s = number(seconds);
  if (s === null) return kUnknown;
  if (s < 0) return "0 s";
  if (s > 0 && s < 0.0995) return `${Math.max(1, Math.round(s * 1000))} ms`;
  if (s < 9.95) return `${s.toFixed(s === 0 ? 0 : 1)} s`;
  const total = Math.round(s);
  if (total < 60) return `${total} s`;
  const two = (n: number): string => String(n).padStart(2, "0");
  if (total < 3600) return `${Math.floor(total / 60)} min ${two(total % 60)} s`;
  if (total < 86400) return `${Math.floor(total / 3600)} h ${two(Math.floor((total % 3600) / 60))} min`;
  return `${whole.format(Math.floor(total / 86400))} d ${two(Math.floor((total % 86400) / 3600))} h`;
}

/// Chips × time.
export function deviceTime(seconds: Maybe): string {
  const s = number(seconds);
  if (s === null) return kUnknown;
  if (s < 1000) return `${digits(s, 3)} s`;
  return s < 3.6e6 ? `${digits(s / 3600, 3)} h` : `${whole.format(s / 3600)} h`;
}

export function energy(joules: Maybe): string {
  const j = number(joules);
  if (j === null) return kUnknown;
  if (j < 1000) return `${digits(j, 3)} J`;
  if (j < 3.6e6) return `${digits(j / 3600, 3)} Wh`;
  return j < 3.6e9 ? `${digits(j / 3.6e6, 3)} kWh` : `${digits(j / 3.6e9, 3)} MWh`;
}

export function power(watts: Maybe): string {
  const w = number(watts);
  if (w === null) return kUnknown;
  if (w < 1000) return `${Math.round(w)} W`;
  return w < 1e6 ? `${digits(w / 1000, 3)} kW` : `${digits(w / 1e6, 3)} MW`;
}

export function bytes(value: Maybe): string {
  const n = number(value);
  if (n === null) return kUnknown;
  let scaled = n;
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (scaled < 1024 || unit === "TiB") return `${unit === "B" ? scaled : digits(scaled, 3)} ${unit}`;
    scaled /= 1024;
  }
  return kUnknown;
}

/// Small sums keep four decimals: a second of one chip costs less than a cent.
export function money(value: Maybe, currency: string | null): string {
  const n = number(value);
  if (n === null) return kUnknown;
  const decimals = n !== 0 && Math.abs(n) < 1 ? 4 : 2;
  const amount = new Intl.NumberFormat("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(n);
  return currency ? `${amount} ${currency}` : amount;
}

const month = new Intl.DateTimeFormat("en", { month: "short" });

/// The reader's own clock; the day instead of the seconds when it is not today.
export function moment(rfc3339: string | null | undefined, today: Date): string {
  if (!rfc3339) return kUnknown;
  const at = new Date(rfc3339);
  if (Number.isNaN(at.getTime())) return kUnknown;
  const two = (n: number): string => String(n).padStart(2, "0");
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (at.toDateString() === today.toDateString()) return `${clock}:${two(at.getSeconds())}`;
  const year = at.getFullYear() === today.getFullYear() ? "" : ` ${at.getFullYear()}`;
  return `${at.getDate()} ${month.format(at)}${year} ${clock}`;
}

/// `t12` -> 12, for order; anything else comes last.
export function idNumber(id: string): number {
  const n = Number(id.slice(1));
  return Number.isFinite(n) ? n : Number.MAX_SAFE_INTEGER;
}

/// A command as a shell would need it, for reading and copying.
export function commandLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}
