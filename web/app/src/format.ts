import { formatters } from "@sluice/client/form";

const userLocale = formatters(undefined);
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

/** Formats a whole number in the user's locale. */
export const formatCount = userLocale.count;

/** Formats a size in the user's locale, such as `12.7 MB`. */
export const formatBytes = userLocale.bytes;

/** Formats a duration, rounded up to whole seconds, minutes or hours. */
export const formatDuration = userLocale.duration;

/** Formats a large number in few characters, such as `3M`. */
export function formatCompact(value: number): string {
  return compact.format(value);
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
export const formatPercent = userLocale.percent;
