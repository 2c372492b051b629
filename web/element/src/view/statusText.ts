import type { SluiceError } from "@sluice/client";
import { fractionOf, type RunState } from "@sluice/client/browser";
import { pointerParts } from "@sluice/client/form";
import { isForeignAnswer } from "../faults.js";
import type { Texts } from "../strings/texts.js";
import { TokenError } from "../token.js";

/** The texts of the button in one state. */
export interface StatusText {
  /** The main text; `undefined` for the button's own label. */
  main: string | undefined;
  /** Further numbers; may be empty. */
  detail: string;
}

/** Returns the texts of the button. */
export function statusText(state: RunState, texts: Texts): StatusText {
  const { phase, export: item, received, interrupted } = state;
  if (interrupted && (phase === "queued" || phase === "running" || phase === "saving")) {
    return { main: doneText(state, texts), detail: texts.get("interrupted") };
  }
  switch (phase) {
    case "idle":
      return { main: undefined, detail: "" };
    case "starting":
      return { main: texts.get("starting"), detail: "" };
    case "queued":
      if (item?.progress.waiting_for != null) {
        const waits = texts.strings.waitingFor[item.progress.waiting_for];
        return { main: texts.get("starting"), detail: texts.fill(waits) };
      }
      return queuedText(
        item?.progress.queue_position ?? undefined,
        item?.progress.eta_ms ?? undefined,
        texts,
      );
    case "running":
      return { main: doneText(state, texts), detail: runningDetail(state, texts) };
    case "saving": {
      const size = item?.file?.size ?? received;
      const values = { bytes: texts.format.bytes(received), total: texts.format.bytes(size) };
      return {
        main: texts.get("saving"),
        detail: received < size ? texts.get("bytesOf", values) : values.total,
      };
    }
    case "canceling":
      return { main: texts.get("canceling"), detail: "" };
    case "saved":
      return { main: texts.get("saved"), detail: state.file?.name ?? "" };
    case "failed":
      return { main: texts.get("retry"), detail: "" };
  }
}

/** Returns what a screen reader reads for the progress bar. */
export function progressValueText(state: RunState, texts: Texts): string {
  const { main = "", detail } = statusText(state, texts);
  return detail ? `${main}, ${detail}` : main;
}

/** Returns the explanation of a failure; `undefined` in every other phase. */
export function failureText(state: RunState, texts: Texts): string | undefined {
  const { phase, export: item, error } = state;
  if (phase !== "failed" || !error) {
    return undefined;
  }
  const problem = problemText(error, texts, item !== undefined);
  const field = pointerParts(error.errors[0]?.pointer ?? "").join(" › ");
  const named = error.slug === "invalid-filter" || error.slug === "invalid-request";
  return named && field ? texts.get("problemField", { problem, field }) : problem;
}

/** Returns the explanation of an error, without its fields. `accepted`: whether the server has accepted the export. */
export function problemText(error: SluiceError, texts: Texts, accepted = false): string {
  if (error instanceof TokenError) {
    return tokenText(error, texts);
  }
  if (error.slug === "unauthorized" && error.status === 0) {
    return texts.get("noToken");
  }
  if (!accepted && isForeignAnswer(error)) {
    return texts.get("invalidAttribute", { name: "base-url" });
  }
  // without an export, only the dataset can be missing
  if (error.slug === "unknown-dataset" || (!accepted && error.slug === "not-found")) {
    return texts.get("invalidAttribute", { name: "dataset" });
  }
  return texts.fill(texts.strings.problems[error.slug] ?? texts.strings.problems.internal);
}

/** Returns why the page gives no token. */
function tokenText({ reason, status }: TokenError, texts: Texts): string {
  switch (reason) {
    case "missing":
      return texts.get("noToken");
    case "refused":
      return texts.get("invalidAttribute", { name: "token-url" });
    case "answer":
      return texts.get("tokenAnswer");
    case "endpoint":
      if (status === 0) {
        return texts.get("tokenFailed");
      }
      return status === 401
        ? texts.fill(texts.strings.problems.unauthorized)
        : texts.get(status === 403 ? "tokenForbidden" : "tokenStatus", { status: String(status) });
    case "timeout":
      return texts.get("tokenTimeout");
    default:
      return texts.get("tokenFailed");
  }
}

/** Returns whether all rows are written and the file is being completed, of which there is no measure. */
export function isFinishing({ phase, export: item }: RunState): boolean {
  const { rows = 0, rows_total } = item?.progress ?? {};
  return phase === "running" && Boolean(rows_total) && rows >= (rows_total ?? 0);
}

/** Returns how much is done, from 0 to 1; `undefined` while that is unknown. */
export function shownFraction(state: RunState): number | undefined {
  return isFinishing(state) ? undefined : fractionOf(state);
}

function queuedText(ahead: number | undefined, etaMs: number | undefined, texts: Texts): StatusText {
  const main =
    ahead === undefined
      ? texts.get("starting")
      : ahead === 0
        ? texts.get("nextInQueue")
        : texts.get("queued", { count: ahead });
  return { main, detail: timeLeft(etaMs, texts) ?? "" };
}

function runningDetail(state: RunState, texts: Texts): string {
  const { rows = 0, rows_total, eta_ms, waiting_for } = state.export?.progress ?? {};
  if (waiting_for != null) {
    return texts.fill(texts.strings.waitingFor[waiting_for]);
  }
  const count = texts.get("rows", { count: rows_total || rows });
  const shown =
    rows_total && rows < rows_total
      ? texts.get("rowsOf", { count: rows, total: count })
      : texts.get("rows", { count: rows });
  const left = isFinishing(state) ? undefined : timeLeft(eta_ms ?? undefined, texts);
  return [rows > 0 ? shown : undefined, left].filter((part) => part !== undefined).join(" · ");
}

function timeLeft(ms: number | undefined, texts: Texts): string | undefined {
  return ms === undefined ? undefined : texts.get("timeLeft", { time: texts.format.duration(ms) });
}

/** Returns the percentage, or what happens while there is none. */
function doneText(state: RunState, texts: Texts): string {
  const fraction = shownFraction(state);
  if (fraction === undefined) {
    return texts.get(isFinishing(state) ? "finishing" : "exporting");
  }
  // rounds down, so that 100 % means done
  return texts.format.percent(Math.floor(fraction * 100) / 100);
}
