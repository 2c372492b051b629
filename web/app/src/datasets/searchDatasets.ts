import type { Dataset } from "@sluice/client";

/** Returns the datasets whose title, name or description contains every word of the search. */
export function searchDatasets(datasets: readonly Dataset[], search: string): Dataset[] {
  const words = search.toLocaleLowerCase().split(/\s+/);
  return datasets.filter(({ title, name, description }) => {
    const text = `${title} ${name} ${description}`.toLocaleLowerCase();
    return words.every((word) => text.includes(word));
  });
}
