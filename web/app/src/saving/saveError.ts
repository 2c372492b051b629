import { SluiceError } from "@sluice/client";

/** Reasons of a failed save that the SDK has no slug for. */
export type SaveErrorReason =
  /** The page is older than the server, which no longer has the worker's script. */
  | "outdated"
  /** The server wrote the file again, and the browser's download can't be restarted. */
  | "file-replaced"
  /** The browser stopped the service worker during its download. */
  | "stream-lost";

/** An error with its own text on the page. Other code treats it as a `sink` error. */
export class SaveError extends SluiceError {
  readonly reason: SaveErrorReason;

  constructor(reason: SaveErrorReason) {
    super({ slug: "sink", title: `The file was not saved: ${reason}` });
    this.reason = reason;
  }
}
