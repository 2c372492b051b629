const integer = new Intl.NumberFormat(undefined);
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const shortDateTime = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
});

const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const signed = new Intl.NumberFormat(undefined, { signDisplay: "exceptZero" });
const percent = new Intl.NumberFormat(undefined, { style: "percent" });

const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** Formats a whole number in the user's locale. */
export function formatCount(value: number): string {
  return integer.format(value);
}

/** Formats a large number in few characters, such as `3M`. */
export function formatCompact(value: number): string {
  return compact.format(value);
}

/** Formats a size in the user's locale, such as `12.7 MB`. */
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

/** Formats a duration, rounded up to whole seconds, minutes or hours. */
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

/** Formats date and time to the second. */
export function formatTime(iso: string): string {
  return dateTime.format(new Date(iso));
}

/** Formats date and time to the minute, without the year. */
export function formatShortTime(iso: string): string {
  return shortDateTime.format(new Date(iso));
}

/** Formats a list in the user's language: `a, b and c`. */
export function formatList(items: readonly string[]): string {
  return new Intl.ListFormat(undefined, { type: "conjunction" }).format(items);
}

/** Formats a day without the year; `at` is in milliseconds since 1970. */
export function formatDay(at: number): string {
  return day.format(new Date(at));
}

/** Formats a number with its sign, such as `+1`. */
export function formatSigned(value: number): string {
  return signed.format(value);
}

/** Formats a fraction from 0 to 1 as a percentage. */
export function formatPercent(value: number): string {
  return percent.format(value);
}
