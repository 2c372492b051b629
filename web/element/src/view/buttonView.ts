import { isBusy, type RunState } from "@sluice/client/browser";
import { button, h, ICONS, icon, setAttribute, setText } from "../dom.js";
import type { Texts } from "../strings/texts.js";
import { Announcer } from "./announcer.js";
import { failureText, progressValueText, shownFraction, statusText } from "./statusText.js";

/** What the user can do with the button. */
export interface ButtonActions {
  /** The button was pressed while nothing runs. */
  onPress: () => void;
  onCancel: () => void;
}

/** What one rendering shows. */
export interface ButtonModel {
  state: RunState;
  texts: Texts;
  disabled: boolean;
  /** Whether pressing the button opens the dialog. */
  opensDialog: boolean;
  /** A failure before any request, such as an invalid attribute. */
  setupError: string | undefined;
}

/**
 * The button, its progress and its message. The button stays the same element in every state, so that it keeps the focus
 * and a second press never cancels.
 */
export class ButtonView {
  readonly root: HTMLElement;
  readonly #button: HTMLButtonElement;
  readonly #icon = h("span", { class: "icon", part: "icon" });
  /** The shipped label, in place of which the page may have its own. */
  readonly #label = h("span");
  readonly #status = h("span", { class: "status", part: "status" });
  readonly #detail = h("span", { class: "detail", part: "detail" });
  readonly #fill = h("span", { class: "fill", part: "progress-fill" });
  readonly #bar = h("span", { class: "bar", part: "progress", role: "progressbar" }, this.#fill);
  readonly #cancel: HTMLButtonElement;
  readonly #message = h("p", { class: "message", part: "message", id: "message" });
  readonly #live = h("span", { class: "live", role: "status" });
  readonly #announcer = new Announcer();
  #shownIcon = "";

  constructor(actions: ButtonActions) {
    const press = () => {
      if (this.#button.getAttribute("aria-disabled") !== "true") {
        actions.onPress();
      }
    };
    const label = h("span", { class: "label", part: "label" }, h("slot", {}, this.#label));
    const text = h("span", { class: "text" }, label, this.#status, this.#detail);
    this.#button = button({ class: "button", part: "button" }, press, this.#icon, text);
    this.#cancel = button({ class: "cancel", part: "cancel" }, actions.onCancel, icon(ICONS.close));
    const frame = h("span", { class: "frame" }, this.#button, this.#bar);
    this.root = h("div", { class: "base", part: "base" }, frame, this.#cancel, this.#message, this.#live);
  }

  /** Moves the focus to the button. */
  focus(options?: FocusOptions): void {
    this.#button.focus(options);
  }

  /** Does what a click of the user on the button does. */
  click(): void {
    this.#button.click();
  }

  /** Writes the state, the texts and the progress of the model into the elements. */
  render(model: ButtonModel): void {
    const { state, texts, disabled, opensDialog, setupError } = model;
    const busy = isBusy(state);
    const { main, detail } = statusText(state, texts);
    setAttribute(this.root, "data-phase", state.phase);
    setAttribute(this.root, "data-interrupted", state.interrupted);
    for (const element of [this.#label, this.#status, this.#detail, this.#message, this.#live]) {
      setAttribute(element, "lang", texts.language);
      setAttribute(element, "dir", texts.direction);
    }
    setText(this.#label, texts.get("export"));
    setText(this.#status, main ?? "");
    setText(this.#detail, detail);
    this.#showIcon(state);
    setAttribute(this.#button, "aria-disabled", busy || state.phase === "saved" ? "true" : undefined);
    // a name that changes with every percent would be read aloud while the button has the focus
    const activity = state.phase === "canceling" ? "canceling" : "exporting";
    setAttribute(this.#button, "aria-label", busy ? texts.get(activity) : undefined);
    setAttribute(this.#button, "aria-haspopup", opensDialog ? "dialog" : undefined);
    this.#button.disabled = disabled && !busy;
    this.#renderBar(state, texts, busy);
    this.#renderCancel(texts, busy && state.phase !== "canceling");
    const message = setupError ?? failureText(state, texts);
    setText(this.#message, message ?? "");
    this.#message.hidden = message === undefined;
    setAttribute(this.#button, "aria-describedby", message === undefined ? undefined : "message");
    const announced = setupError ?? this.#announcer.next(state, texts);
    if (announced !== undefined) {
      setText(this.#live, announced);
    }
  }

  #showIcon({ phase }: RunState): void {
    const path = phase === "saved" ? ICONS.check : phase === "failed" ? ICONS.retry : ICONS.download;
    if (path !== this.#shownIcon) {
      this.#shownIcon = path;
      this.#icon.replaceChildren(icon(path));
    }
  }

  #renderBar(state: RunState, texts: Texts, busy: boolean): void {
    const fraction = shownFraction(state);
    this.#bar.hidden = !busy;
    setAttribute(this.#bar, "aria-label", texts.get("progress"));
    setAttribute(this.#bar, "aria-valuetext", busy ? progressValueText(state, texts) : undefined);
    const percent = fraction === undefined ? undefined : String(Math.floor(fraction * 100));
    setAttribute(this.#bar, "aria-valuenow", percent);
    setAttribute(this.#bar, "data-indeterminate", fraction === undefined);
    // the style object, unlike the attribute, is allowed under a strict `style-src`
    this.#fill.style.inlineSize = fraction === undefined ? "" : `${fraction * 100}%`;
  }

  #renderCancel(texts: Texts, cancelable: boolean): void {
    const root = this.#cancel.getRootNode();
    const hadFocus = root instanceof ShadowRoot && root.activeElement === this.#cancel;
    setAttribute(this.#cancel, "aria-label", texts.get("cancel"));
    setAttribute(this.#cancel, "title", texts.get("cancel"));
    this.#cancel.hidden = !cancelable;
    if (hadFocus && !cancelable) {
      this.#button.focus(); // a hidden button loses the focus
    }
  }
}
