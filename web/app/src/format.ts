const integer = new Intl.NumberFormat(undefined);
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const shortMoment = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
});

const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const signed = new Intl.NumberFormat(undefined, { signDisplay: "exceptZero" });
const percent = new Intl.NumberFormat(undefined, { style: "percent" });

const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** A whole number in the person's locale. */
export function formatCount(value: number): string {
  return integer.format(value);
}

/** A large number in few characters, such as `3M`. */
export function formatCompact(value: number): string {
  return compact.format(value);
}

/** A size in the person's locale, such as `12.7 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return new Intl.NumberFormat(undefined, {
    style: "unit",
    unit: BYTE_UNITS[unit] ?? "byte",
    unitDisplay: unit === 0 ? "long" : "short",
    maximumFractionDigits: value < 100 && unit > 0 ? 1 : 0,
  }).format(value);
}

/** A duration, rounded up to whole seconds, minutes or hours. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  const [value, unit] =
    seconds < 90
      ? [seconds, "second"]
      : seconds < 90 * 60
        ? [Math.ceil(seconds / 60), "minute"]
        : [Math.ceil(seconds / 3600), "hour"];
  return new Intl.NumberFormat(undefined, { style: "unit", unit, unitDisplay: "short" }).format(value);
}

/** Date and time to the second. */
export function formatTime(iso: string): string {
  return moment.format(new Date(iso));
}

/** Date and time to the minute, without the year. */
export function formatShortTime(iso: string): string {
  return shortMoment.format(new Date(iso));
}

/** `a, b and c` in the person's language. */
export function formatList(items: readonly string[]): string {
  return new Intl.ListFormat(undefined, { type: "conjunction" }).format(items);
}

/** A day without the year; `at` is in milliseconds since 1970. */
export function formatDay(at: number): string {
  return day.format(new Date(at));
}

/** A number with its sign, such as `+1`. */
export function formatSigned(value: number): string {
  return signed.format(value);
}

/** A part of the whole, 0 to 1. */
export function formatPercent(value: number): string {
  return percent.format(value);
}
