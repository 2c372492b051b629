const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** Formats numbers for people, in one locale. */
export interface Formatters {
  /** Formats a whole number. */
  count(value: number): string;
  /** Formats a size, such as `12.7 MB`. */
  bytes(bytes: number): string;
  /** Formats a duration in milliseconds, rounded up to whole seconds, minutes or hours. */
  duration(ms: number): string;
  /** Formats a fraction from 0 to 1 as a percentage. */
  percent(value: number): string;
}

/** Returns the formatters of a locale; `undefined` means the locale of the browser. */
export function formatters(locale: string | undefined): Formatters {
  const integer = new Intl.NumberFormat(locale);
  const percent = new Intl.NumberFormat(locale, { style: "percent" });
  return {
    count: (value) => integer.format(value),
    bytes: (bytes) => formatBytes(locale, bytes),
    duration: (ms) => formatDuration(locale, ms),
    percent: (value) => percent.format(value),
  };
}

function formatBytes(locale: string | undefined, bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return new Intl.NumberFormat(locale, {
    style: "unit",
    unit: BYTE_UNITS[unit] ?? "byte",
    unitDisplay: unit === 0 ? "long" : "short",
    maximumFractionDigits: value < 100 && unit > 0 ? 1 : 0,
  }).format(value);
}

function formatDuration(locale: string | undefined, ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  const [value, unit] =
    seconds < 90
      ? [seconds, "second"]
      : seconds < 90 * 60
        ? [Math.ceil(seconds / 60), "minute"]
        : [Math.ceil(seconds / 3600), "hour"];
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short" }).format(value);
}
