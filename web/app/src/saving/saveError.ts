import { SluiceError } from "@sluice/client";

/** What can go wrong with saving on this page's side alone, where the SDK has no word for it. */
export type SaveErrorReason =
  /** The page is of an older version than the server: a part of it is gone. */
  | "outdated"
  /** The server made the file anew, and what a download of the browser has can't be taken back. */
  | "file-replaced"
  /** The browser has ended the service worker that its download came from. */
  | "stream-lost";

/** An error with a sentence of its own. To everything else it is a place for bytes that fails. */
export class SaveError extends SluiceError {
  readonly reason: SaveErrorReason;

  constructor(reason: SaveErrorReason) {
    super({ slug: "sink", title: `The file was not saved: ${reason}` });
    this.reason = reason;
  }
}
