import { fractionOf, type RunState } from "@sluice/client/browser";
import type { Texts } from "../strings/texts.js";

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
    return { main: percentOf(state, texts) ?? texts.get("exporting"), detail: texts.get("interrupted") };
  }
  switch (phase) {
    case "idle":
      return { main: undefined, detail: "" };
    case "starting":
      return { main: texts.get("starting"), detail: "" };
    case "queued":
      return queuedText(
        item?.progress.queue_position ?? undefined,
        item?.progress.eta_ms ?? undefined,
        texts,
      );
    case "running":
      return { main: percentOf(state, texts) ?? texts.get("exporting"), detail: runningDetail(state, texts) };
    case "saving": {
      const size = item?.file?.size ?? received;
      const values = { bytes: texts.format.bytes(received), total: texts.format.bytes(size) };
      return {
        main: texts.get("saving"),
        detail: received < size ? texts.get("bytesOf", values) : values.total,
      };
    }
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
export function failureText({ phase, error }: RunState, texts: Texts): string | undefined {
  if (phase !== "failed" || !error) {
    return undefined;
  }
  if (error.slug === "unauthorized" && error.status === 0) {
    return texts.get("noToken");
  }
  return texts.fill(texts.strings.problems[error.slug] ?? texts.strings.problems.internal);
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

function runningDetail({ export: item }: RunState, texts: Texts): string {
  const { rows = 0, rows_total, eta_ms, waiting_for } = item?.progress ?? {};
  if (waiting_for != null) {
    return texts.fill(texts.strings.waitingFor[waiting_for]);
  }
  const count = texts.get("rows", { count: rows_total || rows });
  const shown =
    rows_total && rows < rows_total
      ? texts.get("rowsOf", { count: rows, total: count })
      : texts.get("rows", { count: rows });
  return [rows > 0 ? shown : undefined, timeLeft(eta_ms ?? undefined, texts)]
    .filter((part) => part !== undefined)
    .join(" · ");
}

function timeLeft(ms: number | undefined, texts: Texts): string | undefined {
  return ms === undefined ? undefined : texts.get("timeLeft", { time: texts.format.duration(ms) });
}

function percentOf(state: RunState, texts: Texts): string | undefined {
  const fraction = fractionOf(state);
  // rounds down, so that 100 % means done
  return fraction === undefined ? undefined : texts.format.percent(Math.floor(fraction * 100) / 100);
}
