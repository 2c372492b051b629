/** Lifetime of an object URL after the click, in milliseconds; far longer than a browser needs to start the copy. */
const URL_LIFETIME_MS = 60_000;

/** Saves a file to the browser's downloads. */
export function saveToDownloads(name: string, file: File): void {
  const url = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), URL_LIFETIME_MS);
}
