import type { Filter, TokenProvider } from "@sluice/client";
import { setAttribute } from "./dom.js";
import { scriptBase } from "./scriptBase.js";
import type { StringOverrides } from "./strings/strings.js";

/** The properties that a page may set before the script has run. */
const PROPERTIES = [
  ...[
    "dataset",
    "datasetName",
    "filter",
    "columns",
    "params",
    "format",
    "template",
    "compression",
    "timeZone",
  ],
  ...["baseUrl", "tokenUrl", "token", "tokenProvider", "strings", "disabled", "dialog"],
] as const;

/** `HTMLElement`, or an empty class on a server, so that modules with the element can be imported there. */
const Base: typeof HTMLElement =
  typeof HTMLElement === "undefined" ? (class {} as unknown as typeof HTMLElement) : HTMLElement;

/** The attributes and properties of `<sluice-export>`. */
export abstract class ExportSettings extends Base {
  // private fields, because a public field would overwrite what the page set before the upgrade
  #tokenProvider: TokenProvider | undefined;
  #token: string | undefined;
  #filter: string | Filter | null | undefined;
  #columns: string | readonly string[] | null | undefined;
  #params: string | Record<string, unknown> | null | undefined;
  #baseUrl: string | undefined;
  #strings: StringOverrides = {};

  /** The map of `data-*` attributes, as of every element. A text sets the attribute `dataset`, as frameworks do. */
  override get dataset(): DOMStringMap {
    return super.dataset;
  }
  override set dataset(name: string) {
    this.setAttribute("dataset", name);
  }

  /**
   * The name of the dataset, for frameworks that would set the read-only property {@link dataset} instead of the
   * attribute.
   */
  get datasetName(): string | null {
    return this.getAttribute("dataset-name") ?? this.getAttribute("dataset");
  }
  set datasetName(value: string | null | undefined) {
    setAttribute(this, "dataset-name", value ?? undefined);
  }

  /** The filter: an object, or JSON. */
  get filter(): string | Filter | null {
    return this.#filter === undefined ? this.getAttribute("filter") : this.#filter;
  }
  set filter(value: string | Filter | null | undefined) {
    this.#filter = value;
    this.settingsChanged();
  }

  /** The columns, in the order of the file: names, or a text as in the attribute. */
  get columns(): string | readonly string[] | null {
    return this.#columns === undefined ? this.getAttribute("columns") : this.#columns;
  }
  set columns(value: string | readonly string[] | null | undefined) {
    this.#columns = value;
    this.settingsChanged();
  }

  /** The parameters of the dataset: an object, or JSON. */
  get params(): string | Record<string, unknown> | null {
    return this.#params === undefined ? this.getAttribute("params") : this.#params;
  }
  set params(value: string | Record<string, unknown> | null | undefined) {
    this.#params = value;
    this.settingsChanged();
  }

  /** The format of the file, such as `xlsx`. */
  get format(): string | null {
    return this.getAttribute("format");
  }
  set format(value: string | null | undefined) {
    setAttribute(this, "format", value ?? undefined);
  }

  /** The template of the dataset. */
  get template(): string | null {
    return this.getAttribute("template");
  }
  set template(value: string | null | undefined) {
    setAttribute(this, "template", value ?? undefined);
  }

  /** The compression of the file, such as `gzip`. */
  get compression(): string | null {
    return this.getAttribute("compression");
  }
  set compression(value: string | null | undefined) {
    setAttribute(this, "compression", value ?? undefined);
  }

  /** The time zone of moments relative to now, such as `Europe/Berlin`. */
  get timeZone(): string | null {
    return this.getAttribute("time-zone");
  }
  set timeZone(value: string | null | undefined) {
    setAttribute(this, "time-zone", value ?? undefined);
  }

  /**
   * The address of the gateway. Default: the attribute, then the gateway that served the script. The attribute, which
   * markup sets, may name that gateway only, because the gateway gets the user's token.
   */
  get baseUrl(): string {
    return this.#baseUrl ?? this.getAttribute("base-url") ?? scriptBase() ?? "";
  }
  set baseUrl(value: string | null | undefined) {
    this.#baseUrl = value ?? undefined;
    this.settingsChanged();
  }

  /** Whether the page's script has set {@link baseUrl}, and not markup. */
  protected get baseUrlSetByScript(): boolean {
    return this.#baseUrl !== undefined;
  }

  /** Address of the page's own server that answers a POST with `{"token": "…"}` for the signed-in user. */
  get tokenUrl(): string | null {
    return this.getAttribute("token-url");
  }
  set tokenUrl(value: string | null | undefined) {
    setAttribute(this, "token-url", value ?? undefined);
  }

  /** Returns the token of the current user. Comes before {@link token}. */
  get tokenProvider(): TokenProvider | undefined {
    return this.#tokenProvider;
  }
  set tokenProvider(value: TokenProvider | null | undefined) {
    this.#tokenProvider = value ?? undefined;
  }

  /** The token of the current user. It has no attribute, because attributes end up in logs and snapshots. */
  get token(): string | undefined {
    return this.#token;
  }
  set token(value: string | null | undefined) {
    this.#token = value ?? undefined;
  }

  /** Whether pressing the button opens a dialog with filter, columns, format and estimate. */
  get dialog(): boolean {
    return this.hasAttribute("dialog");
  }
  set dialog(value: boolean) {
    this.toggleAttribute("dialog", Boolean(value));
  }

  /** Whether the button can't be pressed. */
  get disabled(): boolean {
    return this.hasAttribute("disabled");
  }
  set disabled(value: boolean) {
    this.toggleAttribute("disabled", Boolean(value));
  }

  /** The page's own texts, which replace the shipped ones. */
  get strings(): StringOverrides {
    return this.#strings;
  }
  set strings(value: StringOverrides | null | undefined) {
    this.#strings = value ?? {};
    this.updateTexts();
  }

  /** Called after a change of what the next press exports. */
  protected abstract settingsChanged(): void;

  /** Shows the texts again after the language or a text has changed. */
  protected abstract updateTexts(): void;

  /** Sets the properties again that the page set before this class was known, so that the setters see them. */
  protected upgradeProperties(): void {
    const own = this as unknown as Record<string, unknown>;
    for (const name of PROPERTIES) {
      if (Object.hasOwn(own, name)) {
        const value = own[name];
        delete own[name];
        own[name] = value;
      }
    }
  }
}
