import { baseCss } from "./base.js";
import { dialogCss } from "./dialog.js";

let sheet: CSSStyleSheet | undefined;

/**
 * Adopts the styles into a shadow root. All elements share one sheet. Constructed sheets, unlike `<style>`, are allowed
 * under a strict `style-src`.
 */
export function adoptStyles(root: ShadowRoot): void {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(baseCss + dialogCss);
  }
  root.adoptedStyleSheets = [sheet];
}
