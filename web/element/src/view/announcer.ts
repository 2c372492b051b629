import { fractionOf, type RunState } from "@sluice/client/browser";
import type { Texts } from "../strings/texts.js";
import { failureText, isFinishing, statusText } from "./statusText.js";

/** Progress is announced at each quarter. */
const STEPS = 4;

/** Chooses the few changes of a run that a screen reader announces. */
export class Announcer {
  #last = "";

  /** Returns the text to announce now; `undefined` when nothing important has changed. */
  next(state: RunState, texts: Texts): string | undefined {
    const { key, text } = announcementOf(state, texts);
    if (key === this.#last) {
      return undefined;
    }
    this.#last = key;
    return text;
  }
}

function announcementOf(state: RunState, texts: Texts): { key: string; text: string } {
  const { phase, interrupted, export: item, file } = state;
  if (interrupted) {
    return { key: "interrupted", text: texts.get("interrupted") };
  }
  const main = statusText(state, texts).main ?? "";
  switch (phase) {
    case "idle":
      return { key: phase, text: "" };
    case "queued":
      return { key: `${phase} ${item?.progress.queue_position ?? ""}`, text: main };
    case "running": {
      if (isFinishing(state)) {
        return { key: "finishing", text: texts.get("finishing") };
      }
      const step = Math.floor((fractionOf(state) ?? 0) * STEPS);
      return {
        key: `${phase} ${step}`,
        text: step === 0 ? texts.get("exporting") : texts.format.percent(step / STEPS),
      };
    }
    case "saved":
      return { key: phase, text: texts.get("savedFile", { name: file?.name ?? "" }) };
    case "failed": {
      const text = failureText(state, texts) ?? "";
      return { key: `${phase} ${text}`, text };
    }
    default:
      return { key: phase, text: main };
  }
}
