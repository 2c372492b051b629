import type { Slug } from "@sluice/client";

/** Returns the text of each problem: what has happened, and what the user can do next, if there is anything to do. */
export function withNextSteps(
  titles: Readonly<Record<Slug, string>>,
  nextSteps: Readonly<Record<Slug, string>>,
): Record<Slug, string> {
  const entries = Object.entries(titles) as [Slug, string][];
  const texts = entries.map(([slug, title]) => [
    slug,
    [`${title}.`, nextSteps[slug]].filter(Boolean).join(" "),
  ]);
  return Object.fromEntries(texts) as Record<Slug, string>;
}
