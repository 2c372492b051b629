import type { Export } from "@sluice/client";

/** Exports of one day in the user's time zone. */
export interface Day {
  /** Midnight at the start of the day, milliseconds since 1970. */
  at: number;
  completed: number;
  other: number;
}

/** Counts exports of the last `days` days, oldest day first. Days without exports have zeros. */
export function exportsPerDay(
  items: readonly Pick<Export, "requested_at" | "status">[],
  days: number,
  now: Date,
): Day[] {
  const all: Day[] = [];
  const byKey = new Map<string, Day>();
  for (let back = days - 1; back >= 0; back -= 1) {
    const date = new Date(now.getFullYear(), now.getMonth(), now.getDate() - back);
    const day = { at: date.getTime(), completed: 0, other: 0 };
    all.push(day);
    byKey.set(date.toDateString(), day);
  }
  for (const item of items) {
    const day = byKey.get(new Date(item.requested_at).toDateString());
    if (day) {
      const done = item.status === "completed" || item.status === "expired";
      day[done ? "completed" : "other"] += 1;
    }
  }
  return all;
}
