const integer = new Intl.NumberFormat(undefined);
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const shortMoment = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
});

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

/** A duration, rounded up to whole seconds or minutes. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  const [value, unit] = seconds < 90 ? [seconds, "second"] : [Math.ceil(seconds / 60), "minute"];
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
